"""Resize pictures by area: each new pixel is the mean of the part of the picture that it covers."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.filters import Plane, bands

Pixels = NDArray[np.uint8]
"""(height, width) or (height, width, channels)."""


def resized(pixels: Pixels, size: tuple[int, int], *, to_even: bool = False) -> Pixels:
    """Return a picture brought to ``size`` (width, height), rounded; enlarged along an axis, it is
    interpolated along both. ``to_even``: the mean of four pixels that ends in a half is rounded to the even
    level, not up."""
    (width, height), (high, wide) = size, pixels.shape[:2]
    if (wide, high) == size:
        return pixels
    shrinks = width <= wide and height <= high
    if shrinks and high % height == 0 and wide % width == 0:
        return _joined(pixels, high // height, wide // width, to_even)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    down, across = _taps(high, height, shrinks), _taps(wide, width, shrinks)
    found = np.empty((height, width, channels), np.uint8)
    lines = pixels.reshape(high, wide * channels)
    for rows in bands(height, wide * channels):
        taken, weights = down[0][:, rows], down[1][:, rows]
        first = int(taken.min())
        tall = _sum(lines[first : int(taken.max()) + 1].astype(np.float32), taken - first, weights)
        columns = np.ascontiguousarray(tall.reshape(-1, wide, channels).transpose(1, 2, 0))
        sums = _sum(columns.reshape(wide, -1), *across)
        levels = np.rint(sums, out=sums).astype(np.uint8).reshape(width, channels, -1)
        found[rows] = levels.transpose(2, 0, 1)
    return found.reshape(height, width, *pixels.shape[2:])


def _joined(pixels: Pixels, down: int, across: int, to_even: bool) -> Pixels:
    """Return the means of blocks of ``down`` x ``across`` pixels."""
    total = np.zeros(
        (pixels.shape[0] // down, *pixels.shape[1:]), np.uint32 if down * across > 256 else np.uint16
    )
    for row in range(down):
        total += pixels[row::down]
    sums = total[:, ::across].copy()
    for column in range(1, across):
        sums += total[:, column::across]
    if (down, across) == (2, 2) and not to_even:
        return ((sums + 2) >> 2).astype(np.uint8)
    return np.rint(sums * np.float32(1 / (down * across))).astype(np.uint8)


def _sum(lines: Plane, taken: NDArray[np.int64], weights: Plane) -> Plane:
    """Return the weighted sums of some lines, one for each column of ``taken``."""
    total: Plane = lines[taken[0]]
    total *= weights[0][:, None]
    for line, weight in zip(taken[1:], weights[1:], strict=True):
        term = lines[line]
        term *= weight[:, None]
        total += term
    return total


@lru_cache(maxsize=256)
def _taps(size: int, smaller: int, shrinks: bool) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return which pixels along an axis make each new one, and with what weight, both (taps, new)."""
    factor, places = smaller / size, np.arange(smaller)
    scale = 1 / factor
    if not shrinks:
        first = np.floor(places * scale).astype(np.int64)
        part = np.maximum(places + 1 - (first + 1) * factor, 0).astype(np.float32)
        part -= np.floor(part)
        return np.stack([first, first + 1]).clip(0, size - 1), np.stack([1 - part, part]).astype(np.float32)
    start, end = places * scale, np.minimum((places + 1) * scale, size)
    taken = np.floor(start + 1e-9).astype(np.int64) + np.arange(math.ceil(scale - 1e-9) + 1)[:, None]
    covered = np.minimum(taken + 1, end) - np.maximum(taken, start)
    covered = np.where(covered < 1e-3, 0, covered)
    used = covered.any(axis=1)
    weights = (covered / covered.sum(axis=0))[used]
    return taken[used].clip(0, size - 1), weights.astype(np.float32)
