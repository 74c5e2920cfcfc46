"""How much load each figure gets: the full benchmark, and a smoke of it that only shows it still works."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "SMOKE", "Scale"]


@dataclass(frozen=True, slots=True)
class Scale:
    """Numbers of clients and messages, and seconds.

    No sender says more than fits the burst of events that the server allows by default (2,000), and each
    rests until it may do so again.
    """

    rounds: int = 3
    pairs: int = 200
    messages: int = 1500
    warm_up: int = 300
    windows: tuple[int, ...] = (1, 2, 4, 8, 16)
    rooms: tuple[int, ...] = (100, 500)
    deliveries: int = 200_000
    crowds: tuple[int, ...] = (1000, 5000, 10_000)
    connects: int = 4000
    leavers: int = 500
    leave_from: tuple[int, ...] = (1000, 5000, 10_000)
    idlers: int = 3000
    idle_seconds: float = 15.0
    latency_seconds: float = 6.0
    tls_crowd: int = 2000
    period: float = 5.0  # seconds between two pings of a client

    @property
    def budget(self) -> int:
        return self.messages + self.warm_up


FULL = Scale()
SMOKE = Scale(
    rounds=1,
    pairs=4,
    messages=40,
    warm_up=10,
    windows=(1, 16),
    rooms=(5, 10),
    deliveries=200,
    crowds=(10, 20, 30),
    connects=20,
    leavers=4,
    leave_from=(10, 20, 30),
    idlers=10,
    idle_seconds=0.5,
    latency_seconds=0.3,
    tls_crowd=10,
    period=0.2,
)
