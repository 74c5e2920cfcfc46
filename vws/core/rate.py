"""A budget of events that refills with time."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Budget"]


@dataclass(slots=True)
class Budget:
    """Allows ``rate`` events per second and bursts of ``burst``; a rate of 0 allows everything."""

    rate: float
    burst: float
    left: float = math.inf
    _updated: float = math.inf

    def spend(self, now: float, cost: float = 1) -> bool:
        """Take what an event costs at ``now`` in seconds; False when not enough is left.

        An event that costs more than a burst is allowed on a full budget, and paid off later.
        """
        if not self.rate:
            return True
        left = self.left
        if now > self._updated:
            left += (now - self._updated) * self.rate
        if left > self.burst:
            left = self.burst
        self._updated = now
        allowed = left >= cost or left >= self.burst
        self.left = left - cost if allowed else left
        return allowed
