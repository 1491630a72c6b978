"""Compare grain: the noise that a camera or a scanner leaves, different in each exposure.

It distinguishes two exposures of one scene from two files of one exposure, where nothing else differs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.filters import gaussian_matrix
from vitrine.indexer.enrich.duplicates.compare.whole import Plane

_TILE, _TILES = 16, 512
_FINE, _WINDOW = 1.5, 13
"""Sigma and pixels across of the blur that grain is what it takes away."""
_SMOOTH, _FEWEST = 0.03, 8
"""Share of the tiles, the smoothest, in which there is little else."""
_VISIBLE = 1.0
"""Variance in grey levels from which there is grain."""
_LEAST_ALIKE = 0.25
"""Correlation below which two grains are of two exposures."""


def same_exposure(made: Plane, given: Plane) -> bool:
    """Return whether two pictures of one scene (height, width) have the same grain, or one of them has none
    to compare."""
    alike = grain_correlation(made, given)
    return alike is None or alike >= _LEAST_ALIKE


def grain_correlation(made: Plane, given: Plane) -> float | None:
    """Return the correlation of the grain of two pictures, -1..1; None if one of them has no grain."""
    tiles = np.stack([_tiles(made), _tiles(given)])
    down, across = (gaussian_matrix(size, _FINE, _WINDOW, "reflect") for size in tiles.shape[2:])
    smooth = down @ (tiles @ across.T)
    structure = smooth.std(axis=(2, 3)).max(axis=0)
    smoothest = np.argsort(structure, kind="stable")[: max(_FEWEST, round(_SMOOTH * len(structure)))]
    one, other = (tiles - smooth)[:, smoothest].astype(np.float64).reshape(2, -1)
    variances = np.square(one).mean(), np.square(other).mean()
    return (
        None
        if min(variances) < _VISIBLE
        else float((one * other).mean() / np.sqrt(variances[0] * variances[1]))
    )


def _tiles(plane: Plane) -> NDArray[np.float32]:
    """Cut tiles (n, height, width) from all over the picture; a small picture is one tile."""
    height, width = plane.shape
    tops, lefts = range(0, max(1, height - _TILE + 1), _TILE), range(0, max(1, width - _TILE + 1), _TILE)
    places = [(top, left) for top in tops for left in lefts]
    step = -(-len(places) // _TILES)
    tiles = [plane[top : top + _TILE, left : left + _TILE] for top, left in places[::step]]
    return np.array(tiles, np.float32)
