"""Whether what the program depends on works, looked at no more often than needed."""

from __future__ import annotations

from collections.abc import Callable

from gevent.lock import BoundedSemaphore

from vws.clock import Clock

__all__ = ["FRESH", "Readiness"]

FRESH = 1_000
"""Milliseconds that an outcome is good for: anybody may ask, and each look may cost a connection."""


class Readiness:
    """Remembers what ``look`` found; of many who ask at once, one looks, and the others wait for it."""

    def __init__(self, look: Callable[[], dict[str, str]], *, clock: Clock) -> None:
        self._look = look
        self._clock = clock
        self._found: dict[str, str] = {}
        self._until = 0
        self._looking = BoundedSemaphore()

    def __call__(self) -> dict[str, str]:
        """Return each component with what is wrong with it, "" when nothing is."""
        with self._looking:
            if self._clock() >= self._until:
                self._found = self._look()
                self._until = self._clock() + FRESH
            return self._found
