"""Estimate what another resampler, a slight blur or sharpening did to a whole picture: one small kernel, by
least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.area import resized
from vitrine.indexer.enrich.duplicates.compare.filters import apart, padded
from vitrine.indexer.enrich.duplicates.compare.whole import Plane

Weights = NDArray[np.float64]
"""One for each filter of the basis."""
_TILE, _TILES = 48, 40
_KEPT = 0.9
"""Share of the tiles with which the kernel is fitted again: an edited place does not bend it."""
_SHIFTED = 0.4
"""Pixels: what is moved further is another picture."""


@dataclass(frozen=True, eq=False)
class Fit:
    """``kernel`` (5, 5): what is added to a picture is the picture filtered by it. ``left``: the mean square
    that remains where there are edges."""

    kernel: NDArray[np.float32]
    left: float


def fitted(made: Plane, given: Plane) -> Fit | None:
    """Return the kernel that turns ``given`` into ``made``, both (height, width), fitted where there are most
    edges; None if it would move the picture."""
    squares, goals, totals = _products(made, given)

    def left(weights: Weights) -> NDArray[np.float64]:
        return np.asarray(totals - 2 * goals @ weights + (squares @ weights) @ weights)

    every = left(_weights(squares, goals))
    best = np.argsort(every, kind="stable")[: max(1, round(_KEPT * len(every)))]
    weights = _weights(squares[best], goals[best])
    if np.abs(weights[:2]).max() > _SHIFTED:
        return None
    return Fit(np.tensordot(weights, _BASIS, 1).astype(np.float32), float(left(weights)[best].mean()))


def _products(made: Plane, given: Plane) -> tuple[Weights, Weights, Weights]:
    """Return the normal equations of each tile: products of the filtered pixels (n, k, k), with the target
    (n, k), and the target squared (n,)."""
    places = _with_edges(given)
    tiles = _cut(given, places)
    wanted = (_cut(made, places) - tiles).reshape(len(places), -1, 1)
    seen = _filtered(tiles)
    count = wanted.shape[1]
    squares, goals = seen @ seen.transpose(0, 2, 1) / count, (seen @ wanted)[..., 0] / count
    totals = np.square(wanted).sum(axis=(1, 2)) / count
    return squares.astype(np.float64), goals.astype(np.float64), totals.astype(np.float64)


def _with_edges(plane: Plane) -> list[tuple[int, int]]:
    """Return the top left corners of the tiles with most edges; a small picture is one tile."""
    height, width = plane.shape
    down, across = max(1, height // _TILE), max(1, width // _TILE)
    edges = apart(plane[1:, 1:], plane[:-1, :-1]) if min(plane.shape) > 1 else plane
    energy = resized(edges, (across, down)).ravel()
    best = np.argsort(-energy.astype(np.int64), kind="stable")[:_TILES]
    return [(int(place) // across * _TILE, int(place) % across * _TILE) for place in best]


def _cut(plane: Plane, places: list[tuple[int, int]]) -> NDArray[np.float32]:
    return np.array([plane[top : top + _TILE, left : left + _TILE] for top, left in places], np.float32)


def _filtered(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return tiles (n, height, width) filtered by each kernel of the basis (n, kernels, height * width)."""
    tall = padded(padded(tiles, 2, 1, "reflect"), 2, 2, "reflect")
    downs = dict(zip(_DERIVATIVES, _derivatives(tall, 1), strict=True))
    both = {
        (down, across): part
        for down, rows in downs.items()
        for across, part in zip(_DERIVATIVES, _derivatives(rows, 2), strict=True)
    }
    return np.stack([both[pair].reshape(len(tiles), -1) for pair in _PAIRS], axis=1)


def _derivatives(values: NDArray[np.float32], axis: int) -> list[NDArray[np.float32]]:
    """Return the values without two at both ends of an axis, and their first, second and fourth
    derivative."""
    lines = np.moveaxis(values, axis, 0)
    two, one, here, next, after = (lines[place : len(lines) - 4 + place] for place in range(5))
    around, far = one + next, two + after
    every = here, (next - one) * np.float32(0.5), around - 2 * here, far - 4 * around + 6 * here
    return [np.moveaxis(each, 0, axis) for each in every]


def _weights(squares: NDArray[np.float64], goals: NDArray[np.float64]) -> Weights:
    """Solve the least squares with a small ridge: a flat picture has no answer."""
    square = squares.sum(axis=0)
    ridge = 1e-3 * (len(squares) + np.trace(square)) / len(square)
    return np.linalg.solve(square + ridge * np.eye(len(square)), goals.sum(axis=0))


_DERIVATIVES = {
    "none": (0, 0, 1, 0, 0), "once": (0, -0.5, 0, 0.5, 0),
    "twice": (0, 1, -2, 1, 0), "fourth": (1, -4, 6, -4, 1),
}  # fmt: skip
_PAIRS = (
    ("none", "once"), ("once", "none"), ("none", "twice"), ("twice", "none"),
    ("once", "once"), ("none", "fourth"), ("fourth", "none"), ("twice", "twice"),
)  # fmt: skip
"""Derivatives down and across: first, second, the mixed second, fourth, the mixed fourth."""
_BASIS = np.stack([np.outer(_DERIVATIVES[down], _DERIVATIVES[across]) for down, across in _PAIRS]).astype(
    np.float32
)
