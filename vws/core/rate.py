"""A budget of events that refills with time."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Budget"]


@dataclass(slots=True)
class Budget:
    """Allows ``rate`` events per second and bursts of ``burst``; a rate of 0 allows everything."""

    rate: float
    burst: float
    left: float = field(init=False)
    _updated: float | None = None

    def __post_init__(self) -> None:
        self.left = self.burst

    def spend(self, now: float, cost: float = 1) -> bool:
        """Take what an event costs at ``now`` in seconds; False when not enough is left."""
        if not self.rate:
            return True
        since = 0 if self._updated is None else max(0, now - self._updated)
        self.left = min(self.burst, self.left + since * self.rate)
        self._updated = now
        if self.left < min(cost, self.burst):
            return False
        self.left -= cost
        return True
