"""How many events a client may send: so many per second, and so many at once."""

from __future__ import annotations

__all__ = ["NEVER_CHARGED", "Rate"]

NEVER_CHARGED = float("-inf")


class Rate:
    """Allows ``per_second`` events in the long run and ``burst`` of them at once; 0 per second allows all.

    All that has to be kept of a client is when its burst will be whole again.
    """

    __slots__ = ("_each", "_span")

    def __init__(self, per_second: float, burst: float) -> None:
        self._each = 1 / per_second if per_second else 0.0
        # Half an event more, as sums of seconds seldom come out even.
        self._span = (burst + 0.5) * self._each

    def charge(self, whole_at: float, now: float, cost: float = 1) -> float | None:
        """Return when the burst will be whole again if an event comes ``now``; None when it is one too many.

        Times are in seconds. One that costs more than a burst is allowed on a whole one, and paid off later.
        """
        if whole_at <= now:
            return now + cost * self._each
        after = whole_at + cost * self._each
        return after if after <= now + self._span else None

    def owe(self, whole_at: float, now: float, cost: float) -> float:
        """Return the same for what cannot be refused any more, however much it is."""
        return max(whole_at, now) + cost * self._each
