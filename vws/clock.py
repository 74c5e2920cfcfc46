"""The time, of two kinds: what deadlines count by, and what people are shown. Milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Clock", "steady", "wall"]

Clock = Callable[[], int]
"""A time in milliseconds, of either kind."""


def steady() -> int:
    """Return a time that only ever passes, whatever is done to the machine's clock; it means nothing else."""
    return time.monotonic_ns() // 1_000_000


def wall() -> int:
    """Return the time since the epoch, which may be set forward or back at any moment."""
    return time.time_ns() // 1_000_000
