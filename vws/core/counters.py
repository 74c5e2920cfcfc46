"""What has happened since the start, in numbers that only grow."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Events carried out by name, refusals by code, clients admitted, and gone by reason."""

    events: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    connects: int = 0
    disconnects: Counter[str] = field(default_factory=Counter)
