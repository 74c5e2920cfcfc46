"""A client's rate of events: what it allows, and how it recovers."""

from __future__ import annotations

from vws.core.rate import NEVER_CHARGED, Rate


class Client:
    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._whole_at = NEVER_CHARGED

    def sends(self, now: float, cost: float = 1) -> bool:
        charged = self._rate.charge(self._whole_at, now, cost)
        if charged is not None:
            self._whole_at = charged
        return charged is not None


def test_a_burst_is_allowed_and_no_more() -> None:
    client = Client(Rate(10, burst=20))
    assert [client.sends(0) for _ in range(21)] == [True] * 20 + [False]


def test_sums_of_odd_times_come_out_right() -> None:
    for uptime in (0.1, 7_777.7, 1e8):
        client = Client(Rate(1000, burst=2000))
        assert [client.sends(uptime) for _ in range(2001)] == [True] * 2000 + [False]


def test_it_recovers_with_time_up_to_a_burst() -> None:
    client = Client(Rate(10, burst=20))
    for _ in range(20):
        client.sends(0)
    assert [client.sends(0.5) for _ in range(6)] == [True] * 5 + [False]
    assert [client.sends(1000) for _ in range(21)] == [True] * 20 + [False]


def test_large_events_cost_more_and_one_larger_than_a_burst_is_paid_off_later() -> None:
    client = Client(Rate(10, burst=20))
    assert client.sends(0, cost=30)
    assert not client.sends(1)
    assert client.sends(1.2)


def test_an_event_that_was_refused_costs_nothing() -> None:
    client = Client(Rate(1, burst=2))
    assert [client.sends(0) for _ in range(9)] == [True] * 2 + [False] * 7
    assert client.sends(1)


def test_a_clock_that_steps_back_gives_and_takes_nothing() -> None:
    client = Client(Rate(1, burst=1))
    assert client.sends(100)
    assert not client.sends(50)


def test_no_rate_means_no_limit() -> None:
    client = Client(Rate(0, burst=0))
    assert all(client.sends(0) for _ in range(1000))
