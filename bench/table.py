"""The rows of the report: which raw numbers are shown, in what unit, and the goal of each."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.figures import Group, Numbers
from bench.scale import Scale
from bench.servers import Contender

__all__ = ["Results", "Row", "Shown", "median", "rows", "show"]

Results = Mapping[Contender, Mapping[Group, Sequence[Numbers]]]
"""Raw rounds of each contender and group."""

MICROSECONDS = "µs"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: ``goal`` is the largest ratio to Node, or to our own number ``against``."""

    key: str
    title: str
    unit: str
    goal: float | None = None
    against: str = ""

    @property
    def group(self) -> Group:
        return Group(self.key.split(".")[0])


@dataclass(frozen=True, slots=True)
class Shown:
    """A row with its medians; ``node`` is our own other number where the row says so."""

    row: Row
    ours: float | None
    node: float | None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.node if self.ours is not None and self.node else None

    @property
    def verdict(self) -> str:
        if self.row.goal is None or self.ratio is None:
            return ""
        return "yes" if self.ratio <= self.row.goal else "no"


def rows(scale: Scale) -> list[Row]:
    """Return the rows in the order of the report."""
    small, large = scale.leave_from[0], scale.leave_from[-1]
    return [
        *(_relay(window) for window in reversed(scale.windows)),
        Row("relay.offer.16", "CPU per relayed offer, 3 KB, 16 in flight", MICROSECONDS, 0.25),
        Row("relay.candidate.16.rate", "candidates relayed per second, 16 in flight", "/s"),
        *(_chat(size, window) for size in scale.rooms for window in (8, 1)),
        *(_memory(crowd, last=crowd == scale.crowds[-1]) for crowd in scale.crowds),
        Row("connect", "CPU per connect and authenticate", MICROSECONDS, 0.5),
        Row(f"disconnect.{small}", f"CPU per disconnect, {small:,} clients", MICROSECONDS),
        Row(f"disconnect.{large}", f"CPU per disconnect, {large:,} clients", MICROSECONDS, 0.6),
        Row(
            f"disconnect.{large}",
            f"the same, against our own at {small:,}",
            MICROSECONDS,
            1.2,
            against=f"disconnect.{small}",
        ),
        Row("idle", "idle CPU per ping and pong", MICROSECONDS, 0.3),
        Row("latency.p99", "p99 relay latency at half of Node's saturation", "ms", 1.0),
        Row("latency.p50", "median latency there", "ms"),
        Row("tls.relay", "TLS: CPU per relayed candidate, 16 in flight", MICROSECONDS, 0.4),
        Row("tls.connect", "TLS: CPU per connect and authenticate", MICROSECONDS, 0.7),
        Row("tls.memory", f"TLS: memory per idle client, {scale.tls_crowd:,} clients", "KB", 0.3),
    ]


def _relay(window: int) -> Row:
    goal = {16: 0.25, 1: 0.8}.get(window)
    title = f"CPU per relayed candidate, 300 bytes, {window} in flight"
    return Row(f"relay.candidate.{window}", title, MICROSECONDS, goal)


def _chat(size: int, window: int) -> Row:
    title = f"CPU per delivery, chat of {size} members, {window} in flight"
    return Row(f"chat.{size}.{window}", title, MICROSECONDS, 0.2 if window == 8 else 0.8)


def _memory(crowd: int, *, last: bool) -> Row:
    return Row(f"memory.{crowd}", f"memory per idle client, {crowd:,} clients", "KB", 0.25 if last else None)


def show(results: Results, scale: Scale) -> list[Shown]:
    """Return the rows that something was measured for, with medians over the rounds."""
    shown = [_show(row, results) for row in rows(scale)]
    return [each for each in shown if each.ours is not None or each.node is not None]


def _show(row: Row, results: Results) -> Shown:
    ours = median(results, Contender.OURS, row)
    if row.against:
        return Shown(row, ours, median(results, Contender.OURS, replace(row, key=row.against)))
    return Shown(row, ours, median(results, Contender.NODE, row))


def median(results: Results, contender: Contender, row: Row) -> float | None:
    """Return the median over a contender's rounds, None when there was none."""
    rounds = results.get(contender, {}).get(row.group, ())
    numbers = [each[row.key] for each in rounds if row.key in each]
    return statistics.median(numbers) if numbers else None
