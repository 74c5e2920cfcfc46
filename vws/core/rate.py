"""How many events a client may send: so many per second, and so many at once."""

from __future__ import annotations

__all__ = ["NEVER_CHARGED", "Allowance", "Rate"]

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


class Allowance:
    """What is left to one of many under a rate that they have in common."""

    __slots__ = ("_rate", "_whole_at")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._whole_at = NEVER_CHARGED

    def take(self, now: float) -> bool:
        """Say whether one more is allowed, and charge it if so; times in seconds."""
        whole_at = self._rate.charge(self._whole_at, now)
        if whole_at is not None:
            self._whole_at = whole_at
        return whole_at is not None
