"""Many timers for the price of one: callbacks in slots of time, run by whoever knows what time it is."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["TimerWheel"]

# Seconds divided by seconds seldom come out even: three ticks of 0.1 are not quite 0.3.
ROUNDING = 1e-6

_LOGGER = logging.getLogger(__name__)


class TimerWheel:
    """Runs callbacks once, after a time; there is no cancelling: they look whether they still matter.

    ``tick`` is a slot's length in seconds, ``now`` the time in seconds by any clock that never goes back.
    """

    __slots__ = ("_current", "_slots", "_start", "_tick")

    def __init__(self, tick: float, now: float) -> None:
        self._tick = tick
        self._start = now
        self._current = 0  # the slot of the last `advance`
        self._slots: dict[int, list[Callable[[], None]]] = {}

    def after(self, delay: float, callback: Callable[[], None]) -> None:
        """Have a callback run ``delay`` seconds after the last `advance`, rather sooner than later.

        Delays are cut to whole ticks, at least one: nothing runs within this call.
        """
        slot = self._current + max(1, int(delay / self._tick + ROUNDING))
        if slot in self._slots:
            self._slots[slot].append(callback)
        else:
            self._slots[slot] = [callback]

    def advance(self, now: float) -> None:
        """Run what is due by now, the earliest first; errors are logged and stop nothing else."""
        reached = int((now - self._start) / self._tick + ROUNDING)
        passed = range(self._current + 1, reached + 1)
        self._current = max(reached, self._current)  # first, so that what callbacks ask for starts from now
        for slot in passed:
            for callback in self._slots.pop(slot, ()):
                _run(callback)


def _run(callback: Callable[[], None]) -> None:
    try:
        callback()
    except Exception:
        _LOGGER.exception("timer failed")
