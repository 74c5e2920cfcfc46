"""The timer wheel: time is an argument here, nothing waits."""

from __future__ import annotations

import logging
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vws.transport.timers import TimerWheel

TICK = 0.125  # seconds, and even in binary: times add up without rounding


def wheel(
    tick: float = TICK, now: float = 1000
) -> tuple[TimerWheel, list[str], Callable[[str], Callable[[], None]]]:
    """Return a wheel, what has run on it, and a maker of callbacks that note their name there."""
    ran: list[str] = []
    return TimerWheel(tick, now), ran, lambda name: lambda: ran.append(name)


def nothing() -> None:
    pass


def test_a_timer_runs_once_when_its_time_has_come() -> None:
    timers, ran, note = wheel()
    timers.after(10, note("late"))
    timers.advance(1009.875)
    assert ran == []
    timers.advance(1010)
    assert ran == ["late"]
    timers.advance(1030)
    assert ran == ["late"]


def test_a_delay_is_cut_to_whole_ticks_and_so_met_rather_than_passed() -> None:
    timers, ran, note = wheel(tick=1)
    timers.advance(1000.75)
    timers.after(9.5, note("late"))
    timers.advance(1008.99)
    assert ran == []
    timers.advance(1009)
    assert ran == ["late"]


@pytest.mark.parametrize("delay", [0, -5, 0.001, TICK])
def test_even_the_shortest_delay_waits_for_the_next_tick(delay: float) -> None:
    timers, ran, note = wheel()
    timers.after(delay, note("soon"))
    timers.advance(1000 + TICK / 2)
    assert ran == []
    timers.advance(1000 + TICK)
    assert ran == ["soon"]


def test_a_delay_counts_from_the_last_advance() -> None:
    timers, ran, note = wheel()
    timers.advance(1500)
    timers.after(1, note("later"))
    timers.advance(1500.875)
    assert ran == []
    timers.advance(1501)
    assert ran == ["later"]


def test_ticks_that_are_not_even_lose_none() -> None:
    """A tenth of a second is no round number to a computer; ten of them have to be a second all the same."""
    timers, ran, note = wheel(tick=0.1, now=0)
    for tenths in range(1, 50):
        timers.after(0.3, note(f"{tenths + 2}"))
        timers.advance(tenths * 0.1)
        timers.advance(tenths * 0.1)
        assert ran == [str(due) for due in range(3, tenths + 1)]


def test_a_late_advance_catches_up_in_order() -> None:
    timers, ran, note = wheel()
    for delay in (5, 1, 3, 1, 60):
        timers.after(delay, note(f"{delay}"))
    timers.advance(1010)
    assert ran == ["1", "1", "3", "5"]
    timers.advance(100_000)
    assert ran == ["1", "1", "3", "5", "60"]


def test_time_that_stands_still_or_goes_back_changes_nothing() -> None:
    timers, ran, note = wheel()
    timers.advance(1010)
    timers.after(1, note("first"))
    for now in (1010, 1000, 0):
        timers.advance(now)
    timers.after(2, note("second"))
    timers.advance(1010.875)
    assert ran == []
    timers.advance(1011)
    assert ran == ["first"]
    timers.advance(1011.875)
    assert ran == ["first"]
    timers.advance(1012)
    assert ran == ["first", "second"]


def test_a_callback_may_ask_for_the_next() -> None:
    timers, ran, note = wheel()

    def again() -> None:
        note("again")()
        timers.after(1, again)

    timers.after(1, again)
    for now in (1001, 1002, 1003):
        timers.advance(now)
    assert len(ran) == 3
    timers.advance(1100)  # late: one run, and the next one from now on, not one for each that was missed
    assert len(ran) == 4
    timers.advance(1100.875)
    assert len(ran) == 4
    timers.advance(1101)
    assert len(ran) == 5


def test_a_callback_that_asks_for_no_delay_does_not_run_within_the_same_advance() -> None:
    timers, ran, note = wheel()
    timers.after(0, lambda: timers.after(0, note("next")))
    timers.advance(1050)
    assert ran == []
    timers.advance(1050 + TICK)
    assert ran == ["next"]


def test_a_callback_that_fails_keeps_nobody_else_from_running(caplog: pytest.LogCaptureFixture) -> None:
    timers, ran, note = wheel()

    def fail() -> None:
        raise ValueError("broken")

    for callback in (note("before"), fail, note("after")):
        timers.after(1, callback)
    timers.after(2, note("later"))
    timers.advance(1010)
    assert ran == ["before", "after", "later"]
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "timer failed")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "broken"


def test_a_timer_costs_a_place_in_a_list() -> None:
    timers = TimerWheel(TICK, 0)
    tracemalloc.start()
    try:
        for number in range(10_000):
            timers.after(number % 10, nothing)
        assert tracemalloc.get_traced_memory()[0] < 10_000 * 12
        timers.advance(10)
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()


@given(
    st.lists(st.tuples(st.floats(0, 20), st.integers(1, 40)), min_size=1, max_size=30), st.floats(0.0625, 3)
)
def test_every_timer_runs_once_and_in_time(steps: list[tuple[float, int]], tick: float) -> None:
    """However ticks and delays lie to each other; `steps` are delays, and looks until the next."""
    timers, now, look = TimerWheel(tick, 0), 0.0, tick / 8
    fired: list[tuple[float, float]] = []
    count = 0
    for delay, looks in [*steps, (0.0, 25 * 8 * 16)]:
        timers.after(delay, partial(fired.append, (now, delay)))
        for _ in range(looks):
            now += look
            timers.advance(now)
            for asked, wanted in fired:
                assert asked + wanted - 2 * tick <= now <= asked + max(wanted, tick) + look + 0.001
            count += len(fired)
            fired.clear()
    assert count == len(steps) + 1
