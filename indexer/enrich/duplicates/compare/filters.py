"""Filters of planes of pixels: blurs, extremes and sums over small windows, each pass along one axis."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""(height, width) numbers."""
Edge = Literal["symmetric", "reflect"]
"""How a plane goes on beyond its border, as in ``numpy.pad``: mirrored with its last pixels or without."""
_BAND = 1 << 14
"""Pixels that are filtered at a time: what a pass reads and writes stays in the processor's cache."""


@lru_cache(maxsize=64)
def gaussian(sigma: float, side: int) -> NDArray[np.float32]:
    """Return the weights (side,) of a Gaussian; they sum to 1."""
    away = np.arange(side, dtype=np.float64) - (side - 1) / 2
    weights = np.exp(-(away**2) / (2 * sigma**2))
    found: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
    return found


@lru_cache(maxsize=64)
def gaussian_matrix(size: int, sigma: float, side: int, edge: Edge) -> NDArray[np.float32]:
    """Return the matrix (size, size) that blurs a column of numbers: for many small planes."""
    return _convolved_rows(np.eye(size, dtype=np.float32), gaussian(sigma, side), edge)


def blurred(values: NDArray[Any], sigma: float, side: int, edge: Edge) -> Plane:
    """Blur a plane by a Gaussian, cut off to ``side`` x ``side`` weights."""
    weights = gaussian(sigma, side)
    margin, (height, width) = side // 2, values.shape
    tall = padded(values.astype(np.float32, copy=False), margin, 0, edge)
    found = np.empty((height, width), np.float32)
    for rows in bands(height, width):
        # the rows' ends follow each other in memory: one pass over all, then what ran across ends is cut off
        down = _pass(tall[rows.start : rows.stop + 2 * margin].ravel(), weights, width)
        wide = padded(down.reshape(-1, width), margin, 1, edge)
        flat = np.concatenate([wide.ravel(), np.zeros(2 * margin, np.float32)])
        found[rows] = _pass(flat, weights, 1).reshape(wide.shape)[:, :width]
    return found


def correlated(values: NDArray[Any], kernel: NDArray[np.float32]) -> Plane:
    """Return the sums of a plane weighted by a kernel (side, side) around each pixel; mirrored beyond the
    border, without its last pixels."""
    margin, (height, width) = len(kernel) // 2, values.shape
    wide = padded(padded(values.astype(np.float32, copy=False), margin, 0, "reflect"), margin, 1, "reflect")
    across = width + 2 * margin
    found = np.empty((height, width), np.float32)
    for rows in bands(height, width):
        flat = np.zeros((rows.stop - rows.start + 2 * margin) * across + 2 * margin, np.float32)
        flat[: -2 * margin] = wide[rows.start : rows.stop + 2 * margin].ravel()
        count = (rows.stop - rows.start) * across
        total, term = np.zeros(count, np.float32), np.empty(count, np.float32)
        for (down, right), weight in np.ndenumerate(kernel):
            if weight:
                start = down * across + right
                total += np.multiply(flat[start : start + count], weight, out=term)
        found[rows] = total.reshape(-1, across)[:, :width]
    return found


def contrast(plane: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the brightest less the darkest level of the square of ``side`` around each pixel; nothing beyond
    the border counts."""
    return brightest(plane, side) - (255 - brightest(255 - plane, side))


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return how many levels two pictures differ by at each place."""
    return np.maximum(one, other) - np.minimum(one, other)


def brightest(plane: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return the largest level of the square of ``side`` around each pixel."""
    margin, (height, width) = side // 2, plane.shape
    tall = np.zeros((height + 2 * margin, width), np.uint8)
    tall[margin : margin + height] = plane
    wide = np.zeros((height + 1, width + 2 * margin), np.uint8)  # a row more: the last window ends there
    wide[:height, margin : margin + width] = _largest(tall.ravel(), side, width).reshape(height, width)
    flat = _largest(wide.ravel(), side, 1)
    return flat[: height * (width + 2 * margin)].reshape(height, -1)[:, :width]


def padded(values: NDArray[Any], margin: int, axis: int, edge: Edge) -> NDArray[Any]:
    """Return ``values`` with a mirrored ``margin`` at both ends of an axis; ``numpy.pad``, but quick."""
    size, skipped = values.shape[axis], 1 if edge == "reflect" else 0
    if size < margin + skipped or size == 1:
        widths = [(margin, margin) if each == axis else (0, 0) for each in range(values.ndim)]
        return np.pad(values, widths, mode=edge)
    before = np.arange(margin - 1 + skipped, skipped - 1, -1)
    after = size - 1 - skipped - np.arange(margin)
    return values.take(np.concatenate([before, np.arange(size), after]), axis=axis)


def bands(height: int, width: int, pixels: int = _BAND) -> Iterator[slice]:
    """Cut a plane into bands of rows of about so many pixels."""
    rows = max(1, pixels // max(1, width))
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))


def _pass(flat: NDArray[np.float32], weights: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Return the sums of numbers that lie ``step`` apart, weighted by symmetric weights."""
    last = len(weights) - 1
    count = len(flat) - last * step
    middle = last // 2
    found: NDArray[np.float32] = flat[middle * step : middle * step + count] * weights[middle]
    both = np.empty_like(found)
    for place in range(middle):
        opposite = (last - place) * step
        np.add(flat[place * step : place * step + count], flat[opposite : opposite + count], out=both)
        both *= weights[place]
        found += both
    return found


def _convolved_rows(values: NDArray[np.float32], weights: NDArray[np.float32], edge: Edge) -> Plane:
    tall = padded(values, len(weights) // 2, 0, edge)
    return _pass(tall.ravel(), weights, values.shape[1]).reshape(values.shape)


def _largest(flat: NDArray[np.uint8], side: int, step: int) -> NDArray[np.uint8]:
    """Return the largest of ``side`` numbers that lie ``step`` apart (van Herk, 1992, by doubling)."""
    reach = 1
    while 2 * reach <= side:
        flat = np.maximum(flat[: -reach * step], flat[reach * step :])
        reach *= 2
    rest = (side - reach) * step
    return np.maximum(flat[: flat.size - rest], flat[rest:]) if rest else flat
