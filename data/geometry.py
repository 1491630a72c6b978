"""Outlines of drawn objects: arrays of points, x to the right, y downwards, about -1..1."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(n, 2) corners of a polygon or of an open path."""

Role = Literal["main", "accent", "main_dark", "accent_dark", "dark", "light", "glass"]
"""What a part is painted with; only `main` carries the pattern."""


@dataclass(frozen=True)
class Part:
    """One painted area of an object (`width` 0), or one stroke along an open path (`width` > 0)."""

    role: Role
    points: Points
    width: float = 0.0
    outlined: bool = True


@dataclass(frozen=True)
class Variation:
    """What makes two objects of a kind differ in shape: three numbers in 0..1."""

    a: float
    b: float
    c: float

    def between(self, low: float, high: float) -> float:
        """`a` mapped to low..high."""
        return low + (high - low) * self.a

    def between_b(self, low: float, high: float) -> float:
        """`b` mapped to low..high."""
        return low + (high - low) * self.b

    def count(self, low: int, high: int) -> int:
        """`c` mapped to a whole number, `low` to `high`, both included."""
        return low + min(int(self.c * (high - low + 1)), high - low)


def poly(*corners: tuple[float, float]) -> Points:
    """A polygon or path through `corners`, as given."""
    return np.array(corners, dtype=np.float64)


def ellipse(
    cx: float, cy: float, rx: float, ry: float, start: float = 0.0, end: float = 360.0, steps: int = 36
) -> Points:
    """An ellipse, or the arc of it from `start` to `end` degrees (0 is right, 90 is down)."""
    angle = np.radians(np.linspace(start, end, steps))
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=1)


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> Points:
    """An upright rectangle, with round corners where `radius` > 0."""
    if radius <= 0:
        return poly((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    r = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    return np.concatenate(
        [
            ellipse(x1 - r, y0 + r, r, r, -90, 0, 7),
            ellipse(x1 - r, y1 - r, r, r, 0, 90, 7),
            ellipse(x0 + r, y1 - r, r, r, 90, 180, 7),
            ellipse(x0 + r, y0 + r, r, r, 180, 270, 7),
        ]
    )


def smooth(*corners: tuple[float, float], closed: bool = True, steps: int = 8) -> Points:
    """A Catmull-Rom curve through `corners`: closed, or open from the first to the last."""
    knots = np.array(corners, dtype=np.float64)
    if closed:
        p0, p1, p2, p3 = np.roll(knots, 1, 0), knots, np.roll(knots, -1, 0), np.roll(knots, -2, 0)
    else:
        padded = np.concatenate([knots[:1], knots, knots[-1:]])
        p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    a, b, c, d = (p[:, None, :] for p in (p0, p1, p2, p3))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    points: Points = curve.reshape(-1, 2)
    return points if closed else np.concatenate([points, knots[-1:]])


def star(cx: float, cy: float, outer: float, inner: float, spikes: int) -> Points:
    """A star with one spike upwards."""
    angle = np.radians(np.arange(2 * spikes) * 180.0 / spikes - 90.0)
    radius = np.where(np.arange(2 * spikes) % 2 == 0, outer, inner)
    return np.stack([cx + radius * np.cos(angle), cy + radius * np.sin(angle)], axis=1)


def mirrored(points: Points) -> Points:
    """`points` reflected left to right."""
    result: Points = points * np.array([-1.0, 1.0])
    return result


def both_sides(*right: tuple[float, float]) -> list[tuple[float, float]]:
    """The corners of the right half of a symmetric outline, from the top down, and of its left half."""
    return [*right, *((-x, y) for x, y in reversed(right))]


def rotated(points: Points, degrees: float, cx: float = 0.0, cy: float = 0.0) -> Points:
    """`points` turned clockwise about (`cx`, `cy`)."""
    t = np.radians(degrees)
    turn = np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])
    result: Points = (points - (cx, cy)) @ turn + (cx, cy)
    return result


def centred(parts: Iterable[Part]) -> list[Part]:
    """`parts` moved and scaled so that their longer side spans exactly -1..1."""
    listed = list(parts)
    low = np.min([p.points.min(axis=0) - p.width / 2 for p in listed], axis=0)
    high = np.max([p.points.max(axis=0) + p.width / 2 for p in listed], axis=0)
    scale = 2.0 / float((high - low).max())
    middle = (low + high) / 2
    return [Part(p.role, (p.points - middle) * scale, p.width * scale, p.outlined) for p in listed]
