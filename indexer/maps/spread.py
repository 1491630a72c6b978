"""Which points of a map to show a picture of: spread out, so that no two pictures touch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from indexer.maps.coordinates import Places

LARGEST = 0.09
"""The widest a picture gets, in units of the map."""
SMALLEST = 0.35
"""The narrowest, times the square root of how many are asked for."""
_LOOKED_AT = 20_000
_HALVINGS = 10


def spread(places: Places, most: int, seed: int = 0) -> tuple[NDArray[np.int64], float]:
    """Positions of at most ``most`` points, and the side of a square about each such that no two overlap.

    The narrower the squares, the more fit: they are as wide as gives the number asked for, but not so narrow that nothing could
    be seen in them.
    """
    order = np.random.default_rng(seed).permutation(len(places))[:_LOOKED_AT]
    low, high = SMALLEST / np.sqrt(most), 1.01  # farther apart than the map is wide there is one
    chosen = _apart(places, order, low, most)
    if chosen is not None:
        return np.array(chosen, np.int64), min(low, LARGEST)
    chosen = order[:1].tolist()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = _apart(places, order, middle, most)
        if found is None:
            low = middle
        else:
            high, chosen = middle, found
    return np.array(chosen, np.int64), min(high, LARGEST)


def _apart(places: Places, order: NDArray[np.int64], side: float, most: int) -> list[int] | None:
    """The points of ``order`` that are a side from all taken before; None once they are more than ``most``."""
    taken: dict[tuple[int, int], list[tuple[float, float]]] = {}
    found: list[int] = []
    for position in order.tolist():
        x, y = float(places[position, 0]), float(places[position, 1])
        column, row = int(x / side), int(y / side)
        near = (place for c in (-1, 0, 1) for r in (-1, 0, 1) for place in taken.get((column + c, row + r), ()))
        if any(abs(x - other) < side and abs(y - another) < side for other, another in near):
            continue
        taken.setdefault((column, row), []).append((x, y))
        found.append(position)
        if len(found) > most:
            return None
    return found
