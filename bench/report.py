"""The report: docs/performance.md and its plots, from the raw numbers of a run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from bench.figures import Group
from bench.plots import Plot, draw
from bench.scale import Scale
from bench.servers import ROOT, Contender
from bench.table import Results, Row, Shown, median, show

__all__ = ["RESULTS", "SOAK", "Raw", "load", "save", "table", "write"]

TEMPLATE = Path(__file__).with_name("performance.md.template")
RESULTS = ROOT / "bench" / "results"
SOAK = ROOT / "docs" / "performance" / "soak.json"
"""What `make soak` found; kept, as it takes longer than all the rest."""
HEAD = ("figure", "unit", "ours", "Node", "ratio", "goal", "reached")
VERDICTS = ("| what | measured | bound | held |", "| --- | --- | --- | --- |")
MINUTES = (
    "| minute | p50, ms | p99, ms | worst, ms | memory, MB | load average |",
    "| ---: | ---: | ---: | ---: | ---: | ---: |",
)
NAMES = {Contender.OURS: "this server", Contender.NODE: "Node"}


@dataclasses.dataclass(frozen=True, slots=True)
class Raw:
    """Everything a run measured, and where."""

    machine: Mapping[str, str]
    scale: Scale
    minutes: float
    results: Results


def save(raw: Raw, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dataclasses.asdict(raw), indent=1) + "\n")


def load(path: Path) -> Raw:
    """Read what `save` wrote."""
    data = json.loads(path.read_text())
    scale: dict[str, Any] = {
        name: tuple(each) if isinstance(each, list) else each for name, each in data["scale"].items()
    }
    results = {
        Contender(contender): {Group(group): rounds for group, rounds in groups.items()}
        for contender, groups in data["results"].items()
    }
    return Raw(data["machine"], Scale(**scale), data["minutes"], results)


# The table


def table(shown: Sequence[Shown]) -> str:
    """Return the rows as a Markdown table, wide enough to be read as it is."""
    cells = [HEAD, *(_cells(each) for each in shown)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    lines = [_table_line(row, widths) for row in cells]
    rule = ["-" * width if column < 2 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([lines[0], _table_line(rule, widths), *lines[1:]])


def _table_line(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
    padded += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return f"| {' | '.join(padded)} |"


def _cells(shown: Shown) -> tuple[str, ...]:
    row = shown.row
    ratio = "" if shown.ratio is None else f"{shown.ratio:.2f}"
    goal = "" if row.goal is None else f"≤ {row.goal:g}"
    return (row.title, row.unit, _number(shown.ours), _number(shown.node), ratio, goal, shown.verdict)


def _number(value: float | None) -> str:
    """Write a number with three digits that mean something."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


# The document


def write(raw: Raw, folder: Path, soak: Mapping[str, Any] | None = None) -> Path:
    """Write performance.md and the plots beside it into ``folder``; return the path of the document."""
    plots = folder / "performance"
    plots.mkdir(parents=True, exist_ok=True)
    for name, plot in _plots(raw).items():
        (plots / f"{name}.svg").write_text(draw(plot))
    text = Template(TEMPLATE.read_text()).substitute(
        machine="\n".join(f"| {name} | {value} |" for name, value in raw.machine.items()),
        table=table(show(raw.results, raw.scale)),
        soak=_soak(soak),
        minutes=f"{raw.minutes:.0f}",
        **{name: _plain(value) for name, value in dataclasses.asdict(raw.scale).items()},
    )
    path = folder / "performance.md"
    path.write_text(text)
    return path


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_plain, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _plots(raw: Raw) -> dict[str, Plot]:
    scale = raw.scale
    return {
        "relay": _plot(
            raw,
            "CPU per relayed candidate",
            "messages in flight per sender",
            [Row(f"relay.candidate.{window}", f"{window}", "µs") for window in scale.windows],
        ),
        "memory": _plot(
            raw,
            "Memory per idle client",
            "clients",
            [Row(f"memory.{crowd}", f"{crowd:,}", "KB") for crowd in scale.crowds],
        ),
        "disconnect": _plot(
            raw,
            "CPU per disconnect of a client in a channel",
            "clients connected",
            [Row(f"disconnect.{crowd}", f"{crowd:,}", "µs") for crowd in scale.leave_from],
        ),
    }


def _plot(raw: Raw, title: str, x_title: str, points: Sequence[Row]) -> Plot:
    lines = {
        name: [median(raw.results, contender, point) for point in points] for contender, name in NAMES.items()
    }
    return Plot(title, x_title, points[0].unit, [point.title for point in points], lines)


def _soak(soak: Mapping[str, Any] | None) -> str:
    if soak is None:
        return "Not made yet: `make soak`."
    held = [f"| {_verdict(each)} |" for each in soak["verdicts"]]
    minutes = [f"| {number} | {_minute(each)} |" for number, each in enumerate(soak["minutes"], 1)]
    return "\n".join([soak["summary"], "", *VERDICTS, *held, "", *MINUTES, *minutes])


def _verdict(verdict: Mapping[str, Any]) -> str:
    held = "yes" if verdict["held"] else "no"
    return " | ".join([verdict["what"], verdict["measured"], verdict["bound"], held])


def _minute(minute: Mapping[str, float]) -> str:
    return " | ".join(f"{minute[name]:.1f}" for name in ("p50", "p99", "worst", "memory", "load"))
