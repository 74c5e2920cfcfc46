"""Line plots as SVG: small, the same for the same numbers, and readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Plot", "draw"]

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 92, 40, 46
STEPS = 4
MARGIN = 0.05

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #3d444d; }
  .title { font-size: 14px; font-weight: 600; }
  .grid { stroke: #d1d9e0; }
  .line { fill: none; stroke-width: 2.5; }
  .s0 { stroke: #0969da; } .f0 { fill: #0969da; }
  .s1 { stroke: #bc4c00; } .f1 { fill: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    text { fill: #d1d7e0; }
    .grid { stroke: #3d444d; }
    .s0 { stroke: #58a6ff; } .f0 { fill: #58a6ff; }
    .s1 { stroke: #f0883e; } .f1 { fill: #f0883e; }
  }
"""


@dataclass(frozen=True, slots=True)
class Plot:
    """What to draw: for each label on the x axis one number per line, None where there is none."""

    title: str
    x_title: str
    unit: str
    labels: Sequence[str]
    lines: Mapping[str, Sequence[float | None]]


def draw(plot: Plot) -> str:
    """Return the plot as an SVG document."""
    top = _ceiling(max((y for line in plot.lines.values() for y in line if y is not None), default=1))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{plot.title}</title>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="20">{plot.title}</text>',
        *_y_axis(top, plot.unit),
        *_x_axis(plot),
        *(part for number, line in enumerate(plot.lines.items()) for part in _line(number, *line, top)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _ceiling(highest: float) -> float:
    """Return a round number above all."""
    step = 10.0 ** math.floor(math.log10(max(highest, 1e-6)))
    return next(step * factor for factor in (1, 2, 4, 6, 8, 10, 20) if step * factor >= highest)


def _x(index: int, count: int) -> float:
    inner = WIDTH - LEFT - RIGHT
    return LEFT + inner * (MARGIN + (1 - 2 * MARGIN) * index / max(1, count - 1))


def _y(value: float, top: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)


def _y_axis(top: float, unit: str) -> list[str]:
    parts = []
    for step in range(STEPS + 1):
        value = top * step / STEPS
        y = _y(value, top)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        label = f"{value:g} {unit}"
        parts.append(f'<text text-anchor="end" x="{LEFT - 6}" y="{y + 4:.1f}">{label}</text>')
    return parts


def _x_axis(plot: Plot) -> list[str]:
    base = HEIGHT - BOTTOM
    middle = (LEFT + WIDTH - RIGHT) / 2
    return [
        *(
            f'<text text-anchor="middle" x="{_x(at, len(plot.labels)):.1f}" y="{base + 18}">{label}</text>'
            for at, label in enumerate(plot.labels)
        ),
        f'<text text-anchor="middle" x="{middle:.1f}" y="{base + 38}">{plot.x_title}</text>',
    ]


def _line(number: int, name: str, values: Sequence[float | None], top: float) -> list[str]:
    points = [(_x(at, len(values)), _y(y, top)) for at, y in enumerate(values) if y is not None]
    if not points:
        return []
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    end_x, end_y = points[-1]
    return [
        f'<polyline class="line s{number}" points="{path}"/>',
        *(f'<circle class="f{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in points),
        f'<text class="f{number}" x="{end_x + 10:.1f}" y="{end_y + 4:.1f}">{name}</text>',
    ]
