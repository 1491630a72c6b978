"""Figures over sizes as a small SVG: panels of lines on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 330, 210, 52, 30, 14, 34
COLOURS = ("#2563eb", "#dc2626", "#059669", "#9333ea")
Line = tuple[str, Callable[[dict[str, Any]], float]]


def _of_search(name: str, figure: str) -> Callable[[dict[str, Any]], float]:
    return lambda row: float(row["search"][name][figure])


def _of(figure: str) -> Callable[[dict[str, Any]], float]:
    return lambda row: float(row.get(figure, 0.0))


PANELS: tuple[tuple[str, tuple[Line, ...]], ...] = (
    (
        "a query, processor milliseconds",
        tuple((name, _of_search(name, "cpu_ms")) for name in ("plain", "class 2 %", "tag 5 %", "width 54 %")),
    ),
    (
        "a query, milliseconds at p50",
        tuple((name, _of_search(name, "p50_ms")) for name in ("plain", "tag 5 %")),
    ),
    ("index of what is new, processor seconds", (("index", _of("index_cpu_s")),)),
    (
        "megabytes",
        (
            ("disk", _of("disk_mb")),
            ("resident", _of("fresh_resident_mb")),
            ("its own", _of("fresh_resident_own_mb")),
            ("indexing, its own", _of("index_peak_own_mb")),
        ),
    ),
)


def draw(rows: Sequence[dict[str, Any]]) -> str:
    """Return the SVG of figures as ``benchmarks.vectors.million`` writes them."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {2 * HEIGHT}" '
        'font-family="sans-serif" font-size="10" fill="#374151">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number, (title, lines) in enumerate(PANELS):
        x, y = number % 2 * WIDTH, number // 2 * HEIGHT
        parts.append(f'<g transform="translate({x} {y})">{_panel(title, lines, rows)}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(title: str, lines: Sequence[Line], rows: Sequence[dict[str, Any]]) -> str:
    series = [
        (name, [(row["points"], value) for row in rows if (value := read(row)) > 0]) for name, read in lines
    ]
    values = [value for _, points in series for _, value in points]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)) + 1e-9)
    first, last = rows[0]["points"], rows[-1]["points"]

    def across(size: float) -> float:
        share = math.log(size / first) / (math.log(last / first) or 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def up(value: float) -> float:
        share = math.log(value / low) / (math.log(high / low) or 1)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    found = [f'<text x="{LEFT}" y="16" font-weight="bold">{title}</text>']
    tick = low
    while tick <= high * 1.001:
        found.append(
            f'<path d="M{LEFT} {up(tick):.1f}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>'
            f'<text x="{LEFT - 4}" y="{up(tick) + 3:.1f}" text-anchor="end">{tick:g}</text>'
        )
        tick *= 10
    for row in rows:
        size = row["points"]
        label = f"{size / 1e6:g}M" if size >= 1e6 else f"{size / 1e3:g}k"
        found.append(
            f'<text x="{across(size):.1f}" y="{HEIGHT - BOTTOM + 13}" text-anchor="middle">{label}</text>'
        )
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number]
        path = "L".join(f"{across(size):.1f} {up(value):.1f}" for size, value in points)
        found.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        found += [
            f'<circle cx="{across(size):.1f}" cy="{up(value):.1f}" r="2" fill="{colour}"/>'
            for size, value in points
        ]
        found.append(
            f'<text x="{LEFT + number * 68}" y="{HEIGHT - 6}" fill="{colour}" font-size="9">{name}</text>'
        )
    return "".join(found)
