"""ORB features (Rublee et al., 2011): corners of a picture, their direction, and what surrounds them.

What surrounds a corner is described by 256 bits, each of which compares the brightness at two places (BRIEF;
Calonder et al., 2010), turned with the corner's direction.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.corners import EDGE, PATCH, Corners, Grey, corners
from vitrine.indexer.enrich.duplicates.compare.filters import bands
from vitrine.indexer.enrich.duplicates.compare.pattern import TESTS, test_places

_TURNS = 72
"""Directions for which the places are turned beforehand."""
_BAND = 3 << 12
"""Numbers that are read round corners at a time: more of fresh memory costs more than the rest."""
_TOGETHER = 1 << 16
"""Distances between descriptors that are computed at a time."""


def orb_features(
    grey: Grey, count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Return the ``count`` strongest features: x and y in pixels (k, 2), angles in degrees, clockwise (k,),
    descriptors (k, 32)."""
    found = corners(grey, count) if min(grey.shape) >= PATCH else None
    if found is None or not len(found.x):
        return np.empty((0, 2), np.float32), np.empty(0, np.float32), np.empty((0, 32), np.uint8)
    angles = directions(found)
    return found.points, angles, _descriptors(found, angles)


def directions(found: Corners) -> NDArray[np.float32]:
    """Return the direction from each corner to the centroid of the brightness around it (Rosin, 1999), in
    degrees, clockwise (k,)."""
    high, wide = found.stack.shape
    windows = np.lib.stride_tricks.as_strided(
        found.stack,
        (high - PATCH + 1, wide - PATCH + 1, PATCH, PATCH),
        2 * found.stack.strides,
        writeable=False,
    )
    angles = np.empty(len(found.x), np.float32)
    for part in bands(len(angles), PATCH * PATCH, 4 * _BAND):
        seen = windows[found.y[part] - EDGE, found.x[part] - EDGE].reshape(-1, PATCH * PATCH)
        across, down = (seen.astype(np.float32) @ _disc()).T
        angles[part] = np.degrees(np.arctan2(down, across)) % 360
    return angles


@lru_cache(maxsize=1)
def _disc() -> NDArray[np.float32]:
    """Return x and y of each pixel of a patch, 0 outside its circle, (pixels, 2)."""
    y, x = np.mgrid[-EDGE : EDGE + 1, -EDGE : EDGE + 1]
    round = x * x + y * y <= (EDGE + 0.5) ** 2
    return np.stack([x * round, y * round], axis=-1).reshape(-1, 2).astype(np.float32)


def _descriptors(found: Corners, angles: NDArray[np.float32]) -> NDArray[np.uint8]:
    width, levels = found.stack.shape[1], summed(found.stack).ravel()
    steps = _steps(width)
    turns = np.rint(angles * (_TURNS / 360)).astype(np.int64) % _TURNS
    corner = found.y * width + found.x
    bits = np.empty((len(corner), TESTS), bool)
    for part in bands(len(corner), 2 * TESTS, _BAND):
        places = steps.take(turns[part], axis=0)
        places += corner[part, None]
        seen = levels.take(places, mode="clip")
        np.less(seen[:, :TESTS], seen[:, TESTS:], out=bits[part])
    return np.packbits(bits, axis=1)


def summed(stack: Grey) -> NDArray[np.uint16]:
    """Return the sum of the 5 x 5 pixels around each, which makes the tests hardy against noise; beyond the
    border it means nothing, and no corner lies near it."""
    flat = stack.astype(np.uint16).reshape(-1)
    for step in (1, stack.shape[1]):
        two = flat[:-step] + flat[step:]
        five = two[: -2 * step] + two[2 * step :]
        five[:-step] += flat[4 * step :]
        flat[2 * step : -2 * step] = five[:-step]
    return flat.reshape(stack.shape)


@lru_cache(maxsize=16)
def _steps(width: int) -> NDArray[np.int64]:
    """Return how far from a corner, in a flat picture of this width, both places of each test lie: the first
    of all and then the second, turned clockwise, (turns, 2 * tests)."""
    angles = np.arange(_TURNS) * (2 * np.pi / _TURNS)
    turned = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], axis=1)
    places = test_places() @ turned.reshape(-1, 2, 2).transpose(0, 2, 1)
    x, y = np.rint(places).astype(np.int64).transpose(2, 0, 1)
    found: NDArray[np.int64] = y * width + x
    return found


def matched(
    one: NDArray[np.uint8], other: NDArray[np.uint8], most: int, least: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of descriptors that are each other's nearest, at most ``most`` bits apart.

    None are returned, in half of the time, where fewer than ``least`` of the first are that near to any of
    the second.
    """
    nothing = np.empty(0, np.int64), np.empty(0, np.int64)
    if not len(one) or not len(other):
        return nothing
    bits = _bits_apart(_words(one), _words(other))
    nearest = bits.argmin(axis=1)
    rows = np.flatnonzero(bits[np.arange(len(one)), nearest] <= most)
    if len(rows) < max(least, 1):
        return nothing
    mutual = bits.T[nearest[rows]].argmin(axis=1) == rows
    return rows[mutual], nearest[rows][mutual]


def nearest_rows(
    one: NDArray[np.uint8], other: NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the bits to the nearest row of ``other``, and its number."""
    apart, nearest = np.empty(len(one), np.int32), np.empty(len(one), np.int64)
    first, second = _words(one), _words(other)
    rows = max(1, _TOGETHER // max(1, len(other)))
    for start in range(0, len(one), rows):
        bits = _bits_apart(first[start : start + rows], second)
        nearest[start : start + rows] = near = bits.argmin(axis=1)
        apart[start : start + rows] = bits[np.arange(len(bits)), near]
    return apart, nearest


def _words(descriptors: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(descriptors).view(np.uint64)


def _bits_apart(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Return by how many bits each of the one differs from each of the other, (rows, rows)."""
    bits = np.zeros((len(one), len(other)), np.uint16)
    columns = np.ascontiguousarray(other.T)
    for rows in bands(len(one), len(other)):  # what differs of a word stays in the processor's cache
        differ = np.empty((rows.stop - rows.start, len(other)), np.uint64)
        for word, column in enumerate(columns):
            bits[rows] += np.bitwise_count(np.bitwise_xor(one[rows, word, None], column, out=differ))
    return bits
