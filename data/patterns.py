"""The patterns an object's main colour carries, as polygons painted in the accent colour."""

from typing import Final

import numpy as np

from vitrine.data.geometry import Points, box, ellipse, rotated

PATTERNS: Final = ("plain", "striped", "dotted", "checked", "two-tone")

_REACH = 1.5
"""Patterns cover -1.5..1.5, so that a turned object is covered to its corners."""


def pattern_polygons(pattern: str, period: float, angle: float) -> list[Points]:
    """Return the areas of `pattern` in the object's coordinates.

    `period` is the distance from one stripe, dot or square to the next (an object spans 2), `angle` turns the
    pattern, in degrees. A plain object has no areas.
    """
    steps = np.arange(-_REACH, _REACH + period, period)
    if pattern == "striped":
        areas = [box(x, -_REACH, x + period * 0.42, _REACH) for x in steps]
    elif pattern == "dotted":
        r = period * 0.3
        areas = [
            ellipse(x + (row % 2) * period / 2, y, r, r, steps=14)
            for row, y in enumerate(steps)
            for x in steps
        ]
    elif pattern == "checked":
        half = period * 0.5
        areas = [
            box(x + dx, y + dx, x + dx + half, y + dx + half)
            for x in steps
            for y in steps
            for dx in (0, half)
        ]
    elif pattern == "two-tone":
        # Left and right, whatever the angle: every kind is centred from left to right, not from top to
        # bottom.
        return [box(0.0, -_REACH, _REACH, _REACH)]
    else:
        areas = []
    return [rotated(area, angle) for area in areas]
