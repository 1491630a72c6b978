"""Find corners of a picture at several sizes: FAST (Rosten and Drummond, 2006), the strongest of them by
Harris' measure (Harris and Stephens, 1988), as ORB does (Rublee et al., 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.uint8]
"""(height, width) grey levels."""
EDGE, PATCH = 15, 31
"""Pixels from the edge without corners, and what is looked at round each: a smaller picture has none."""
_SCALE, _SIZES = 1.3, 5
_LEAST_SCORE = 10
"""Levels by which an arc of the circle is brighter or darker than the middle of a corner."""
_LOOKED_AT, _AT_LEAST, _SAMPLED = 16, 3000, 3
"""Places at most for each corner that is wanted, and for all, counted on every third."""
_ARC = 9
_RADIUS = 3
_CIRCLE = (
    (0, -3), (1, -3), (2, -2), (3, -1), (3, 0), (3, 1), (2, 2), (1, 3),
    (0, 3), (-1, 3), (-2, 2), (-3, 1), (-3, 0), (-3, -1), (-2, -2), (-1, -3),
)  # fmt: skip
"""x and y of the 16 pixels of a circle, in their order."""
_HARRIS, _BLOCK = 0.04, 7


@dataclass(frozen=True, eq=False)
class Corners:
    """Corners in ``stack``, the picture at several sizes, one below the other. ``y``, ``x`` (k,): where they
    lie in it; ``points`` (k, 2): x and y in the pixels of the picture."""

    stack: Grey
    y: NDArray[np.int64]
    x: NDArray[np.int64]
    points: NDArray[np.float32]


def corners(grey: Grey, count: int) -> Corners:
    """Return the ``count`` strongest corners; of smaller sizes of the picture fewer."""
    sizes = _sizes(*grey.shape)
    stack = _stacked(grey, sizes)
    wanted = 1 / _SCALE ** np.arange(len(sizes))
    wanted = np.rint(count * wanted / wanted.sum()).astype(int)
    places, scores = _fast(stack, _inside(tuple(sizes)), _LOOKED_AT * count + _AT_LEAST)
    y, x = np.divmod(places, stack.shape[1])
    tops = np.cumsum([0, *(height for height, _ in sizes)])
    size_of = np.searchsorted(tops, y, side="right") - 1
    best = _best_of_each(size_of, scores, 2 * wanted)[0]
    places, y, x, size_of = places[best], y[best], x[best], size_of[best]
    strength = _harris(stack, places)
    kept, others = _best_of_each(size_of, strength, wanted)
    if len(kept) < count:  # small sizes have too few: others instead
        others = np.sort(others)
        more = np.argsort(-strength[others], kind="stable")[: count - len(kept)]
        kept = np.concatenate([kept, others[more]])
    y, x, size_of = y[kept], x[kept], size_of[kept]
    shares = np.array([(grey.shape[1] / wide, grey.shape[0] / high) for high, wide in sizes])[size_of]
    points = (np.stack([x, y - tops[size_of]], axis=1) + 0.5) * shares - 0.5
    return Corners(stack, y, x, points.astype(np.float32))


def _sizes(height: int, width: int) -> list[tuple[int, int]]:
    sizes = [(round(height / _SCALE**n), round(width / _SCALE**n)) for n in range(_SIZES)]
    return [size for size in sizes if min(size) >= PATCH]


def _stacked(grey: Grey, sizes: list[tuple[int, int]]) -> Grey:
    stack = Image.new("L", (grey.shape[1], sum(height for height, _ in sizes)))
    image, top = Image.fromarray(grey), 0
    for height, width in sizes:
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        stack.paste(image, (0, top))
        top += height
    return np.asarray(stack)


@lru_cache(maxsize=64)
def _inside(sizes: tuple[tuple[int, int], ...]) -> NDArray[np.uint8]:
    """Return 1 where in the stack a corner may lie."""
    inside = np.zeros((sum(height for height, _ in sizes), sizes[0][1]), np.uint8)
    top = 0
    for height, width in sizes:
        inside[top + EDGE : top + height - EDGE, EDGE : width - EDGE] = 1
        top += height
    return inside


def _fast(stack: Grey, inside: NDArray[np.uint8], most: int) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Return the corners' places in the flat stack, and their scores: by how much every pixel of some arc of
    nine of the circle is brighter, or darker, than the middle. Only the ``most`` promising places count."""
    width, flat = stack.shape[1], stack.ravel()
    steps = np.array([y * width + x for x, y in _CIRCLE])
    reach = _RADIUS * width + _RADIUS
    ring = [flat[reach + step : flat.size - reach + step] for step in steps]
    # an arc of nine has one of any two opposite pixels: that bounds the score
    bright, dark, one = np.maximum(ring[0], ring[8]), np.minimum(ring[0], ring[8]), np.empty_like(ring[0])
    for place in (4, 2, 6):
        np.minimum(bright, np.maximum(ring[place], ring[place + 8], out=one), out=bright)
        np.maximum(dark, np.minimum(ring[place], ring[place + 8], out=one), out=dark)
    middle = flat[reach : flat.size - reach]
    np.subtract(np.maximum(bright, middle, out=bright), middle, out=bright)
    np.subtract(middle, np.minimum(dark, middle, out=dark), out=dark)
    bound = np.maximum(bright, dark, out=bright)
    bound *= inside.ravel()[reach : flat.size - reach]
    least = _least_bound(bound[::_SAMPLED].copy(), most // _SAMPLED)
    places = np.flatnonzero(bound > least)
    circle = np.empty((len(_CIRCLE) + _ARC - 1, len(places)), np.uint8)
    for number, pixels in enumerate(ring):
        pixels.take(places, out=circle[number], mode="clip")
    circle[len(_CIRCLE) :] = circle[: _ARC - 1]
    here = middle[places].astype(np.int16)
    brighter = _best_arc(circle, np.minimum, np.maximum).astype(np.int16) - here
    darker = here - _best_arc(circle, np.maximum, np.minimum)
    return _peaks(places + reach, np.maximum(brighter, darker), flat.size, width, least)


def _least_bound(bound: NDArray[np.uint8], most: int) -> int:
    """Return the level, ``_LEAST_SCORE`` or more, above which at most ``most`` lie, by halving."""
    low, high = _LEAST_SCORE, 255
    while low < high:
        middle = (low + high) // 2
        if np.count_nonzero(bound > middle) <= most:
            high = middle
        else:
            low = middle + 1
    return low


def _best_arc(circle: Grey, within: np.ufunc, among: np.ufunc) -> Grey:
    """Return for each column the best of the 16 arcs, by ``among``; an arc is as good as ``within`` says of
    its pixels. ``circle``: 16 pixels and the first eight again."""
    reach, arcs = 1, circle
    while 2 * reach <= _ARC:
        arcs = within(arcs[:-reach], arcs[reach:])
        reach *= 2
    found: Grey = among.reduce(within(arcs[:16], circle[_ARC - 1 :]), axis=0)
    return found


def _peaks(
    places: NDArray[np.int64], scores: NDArray[np.int16], size: int, width: int, least: int
) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Keep the corners that have a larger score than the eight pixels around."""
    strong = scores > least
    places, scores = places[strong], scores[strong]
    plane = np.zeros(size, np.uint8)
    plane[places] = scores
    peak = np.ones(len(places), bool)
    for step in (1, width - 1, width, width + 1):
        peak &= (scores > plane[places - step]) & (scores >= plane[places + step])
    return places[peak], scores[peak]


def _best_of_each(
    groups: NDArray[np.int64], scores: NDArray[Any], most: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the ``most`` largest scores of each group, in the order of the groups, and the
    places of the others. ``groups`` (k,) are in ascending order."""
    order = np.lexsort((-scores, groups))
    first = np.searchsorted(groups, np.arange(len(most)))
    among = np.arange(len(groups)) - first[groups] < most[groups]
    return order[among], order[~among]


def _harris(stack: Grey, places: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return Harris' measure of corners: how far the gradients of a block around differ in direction."""
    side, width = _BLOCK + 2, stack.shape[1]
    away = np.arange(side) - side // 2
    around = (away[:, None] * width + away).ravel()
    seen = stack.ravel().take(around[:, None] + places, mode="clip").astype(np.int16)
    seen = seen.reshape(side, side, -1)  # corners last: each step below runs through memory in one go
    down = seen[:-2] + 2 * seen[1:-1] + seen[2:]
    across = seen[:, :-2] + 2 * seen[:, 1:-1] + seen[:, 2:]
    scale = np.float32(1 / (4 * 255))
    dx = (down[:, 2:] - down[:, :-2]).reshape(_BLOCK * _BLOCK, -1) * scale
    dy = (across[2:] - across[:-2]).reshape(_BLOCK * _BLOCK, -1) * scale
    xx, yy, xy = ((a * b).sum(axis=0) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    found: NDArray[np.float32] = xx * yy - xy * xy - np.float32(_HARRIS) * (xx + yy) ** 2
    return found
