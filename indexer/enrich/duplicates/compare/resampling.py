"""Estimate what another resampler, a slight blur or sharpening did to a whole picture: one small kernel, by
least squares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

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
    squares, goals, totals = (
        np.array(each, np.float64) for each in zip(*_products(made, given), strict=True)
    )

    def left(weights: Weights) -> NDArray[np.float64]:
        return np.asarray(totals - 2 * goals @ weights + (squares @ weights) @ weights)

    every = left(_weights(squares, goals))
    best = np.argsort(every, kind="stable")[: max(1, round(_KEPT * len(every)))]
    weights = _weights(squares[best], goals[best])
    if np.abs(weights[:2]).max() > _SHIFTED:
        return None
    return Fit(np.tensordot(weights, _BASIS, 1).astype(np.float32), float(left(weights)[best].mean()))


def _products(made: Plane, given: Plane) -> Iterator[tuple[NDArray[Any], NDArray[Any], float]]:
    """Yield the normal equations of each tile: products of the filtered pixels (k, k), with the target (k,),
    and the target squared."""
    for place in _with_edges(given):
        wanted = (_cut(made, place).astype(np.float32) - _cut(given, place)).ravel()
        seen = _filtered(given, place)
        count = float(wanted.size)
        yield (seen.T @ seen) / count, (wanted @ seen) / count, float(wanted @ wanted) / count


def _with_edges(plane: Plane) -> list[tuple[int, int]]:
    """Return the top left corners of the tiles with most edges; a small picture is one tile."""
    height, width = plane.shape
    down, across = max(1, height // _TILE), max(1, width // _TILE)
    edges = cv2.absdiff(plane[1:, 1:], plane[:-1, :-1]) if min(plane.shape) > 1 else plane
    energy = cv2.resize(edges, (across, down), interpolation=cv2.INTER_AREA).ravel()
    best = np.argsort(-energy.astype(np.int64), kind="stable")[:_TILES]
    return [(int(place) // across * _TILE, int(place) % across * _TILE) for place in best]


def _cut(plane: Plane, place: tuple[int, int]) -> Plane:
    return plane[place[0] : place[0] + _TILE, place[1] : place[1] + _TILE]


def _filtered(plane: Plane, place: tuple[int, int]) -> NDArray[np.float32]:
    """Return (pixels of the tile, kernels of the basis)."""
    tile = _cut(plane, place)
    return np.stack([cv2.filter2D(tile, cv2.CV_32F, kernel).ravel() for kernel in _BASIS], axis=1)


def _weights(squares: NDArray[np.float64], goals: NDArray[np.float64]) -> Weights:
    """Solve the least squares with a small ridge: a flat picture has no answer."""
    square = squares.sum(axis=0)
    ridge = 1e-3 * (len(squares) + np.trace(square)) / len(square)
    return np.linalg.solve(square + ridge * np.eye(len(square)), goals.sum(axis=0))


def _basis() -> NDArray[np.float32]:
    """Return the derivatives: first, second, the mixed second, fourth, the mixed fourth."""
    none, once = np.array([0, 0, 1, 0, 0]), np.array([0, -0.5, 0, 0.5, 0])
    twice, fourth = np.array([0, 1, -2, 1, 0]), np.array([1, -4, 6, -4, 1])
    first, second = [(none, once), (once, none)], [(none, twice), (twice, none), (once, once)]
    pairs = [*first, *second, (none, fourth), (fourth, none), (twice, twice)]
    return np.stack([np.outer(down, across) for down, across in pairs]).astype(np.float32)


_BASIS = _basis()
