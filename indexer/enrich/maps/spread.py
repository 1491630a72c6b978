"""Choose the points of a map to show a picture of: spread out, so that no two pictures touch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.maps.coordinates import Places

LARGEST = 0.09
"""The widest a picture gets, in units of the map."""
NARROWEST = 0.015
"""The narrowest, some twenty pixels of a plot: in less nothing could be seen."""
_LOOKED_AT = 20_000
_HALVINGS = 10


def spread(places: Places, most: int, seed: int = 0) -> tuple[NDArray[np.int64], float]:
    """Return positions of at most ``most`` points, and the side of a square around each such that no two
    overlap.

    The narrower the squares, the more fit: they are as wide as possible with all that are asked for, but wide
    enough to see something, so there are fewer of them where many images lie at one spot.
    """
    order = np.random.default_rng(seed).permutation(len(places))[:_LOOKED_AT]
    wanted = min(most, len(order))
    low, high = NARROWEST, 1.01  # farther apart than the map is wide there is one
    chosen = _apart(places, order, low, wanted)
    if len(chosen) == wanted:
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            found = _apart(places, order, middle, wanted)
            if len(found) < wanted:
                high = middle
            else:
                low, chosen = middle, found
    return np.array(chosen, np.int64), min(low, LARGEST)


def _apart(places: Places, order: NDArray[np.int64], side: float, most: int) -> list[int]:
    """Return the first points of ``order``, at most ``most``, that are a side away from all taken before."""
    taken: dict[tuple[int, int], list[tuple[float, float]]] = {}
    found: list[int] = []
    for position in order.tolist():
        x, y = float(places[position, 0]), float(places[position, 1])
        column, row = int(x / side), int(y / side)
        near = (
            place for c in (-1, 0, 1) for r in (-1, 0, 1) for place in taken.get((column + c, row + r), ())
        )
        if any(abs(x - other) < side and abs(y - another) < side for other, another in near):
            continue
        taken.setdefault((column, row), []).append((x, y))
        found.append(position)
        if len(found) == most:
            break
    return found
