"""A client's budget of events: what it allows, and how it refills."""

from __future__ import annotations

from vws.core.rate import Budget


def test_a_burst_is_allowed_and_no_more() -> None:
    budget = Budget(rate=10, burst=20)
    assert [budget.spend(0) for _ in range(21)] == [True] * 20 + [False]


def test_it_refills_with_time_up_to_a_burst() -> None:
    budget = Budget(rate=10, burst=20)
    for _ in range(20):
        budget.spend(0)
    assert [budget.spend(0.5) for _ in range(6)] == [True] * 5 + [False]
    assert [budget.spend(1000) for _ in range(21)] == [True] * 20 + [False]


def test_large_events_cost_more_and_one_larger_than_a_burst_is_paid_off_later() -> None:
    budget = Budget(rate=10, burst=20)
    assert budget.spend(0, cost=30)
    assert not budget.spend(1)
    assert budget.spend(1.2)


def test_a_clock_that_steps_back_gives_and_takes_nothing() -> None:
    budget = Budget(rate=1, burst=1)
    assert budget.spend(100)
    assert not budget.spend(50)


def test_no_rate_means_no_limit() -> None:
    budget = Budget(rate=0, burst=0)
    assert all(budget.spend(0) for _ in range(1000))
