"""Tables of positions, made for one size of images, stretched for another."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vitrine.services.errors import ModelUnavailable


def stretch(table: NDArray[np.float32], grid: tuple[int, int], *, smooth: bool) -> NDArray[np.float32]:
    """Return a square table (side * side, width) for ``grid`` (rows, columns) of patches, row by row.

    Between its entries it is bicubic, as torch's ``interpolate`` is with ``align_corners=False``; ``smooth``
    is its ``antialias``.
    """
    side = math.isqrt(len(table))
    if side * side != len(table):
        raise ModelUnavailable(
            f"The model has {len(table)} positions, which are no square, so they cannot be stretched for "
            "images of another size."
        )
    square = table.reshape(side, side, -1).astype(np.float64)
    down, across = (resizing(side, length, smooth=smooth) for length in grid)
    stretched: NDArray[np.float64] = np.einsum("yi,xj,ijd->yxd", down, across, square, optimize=True)
    return stretched.reshape(grid[0] * grid[1], -1).astype(np.float32)


def resizing(old: int, new: int, *, smooth: bool) -> NDArray[np.float64]:
    """Return the matrix (new, old) that makes ``new`` values of ``old`` ones by cubic interpolation."""
    matrix = np.zeros((new, old))
    scale = old / new
    for row in range(new):
        centre = scale * (row + 0.5)
        if smooth:
            # torch takes Pillow's way here: another curve, widened where it shrinks, cut at the edges
            wide = max(scale, 1.0)
            first, last = max(int(centre - 2 * wide + 0.5), 0), min(int(centre + 2 * wide + 0.5), old)
            shares = _cubic((np.arange(first, last, dtype=np.float64) - centre + 0.5) / wide, -0.5)
            matrix[row, first:last] = shares / shares.sum()
        else:
            base = math.floor(centre - 0.5)
            for place in range(base - 1, base + 3):  # what lies beyond an edge is the edge
                share = _cubic(np.array(centre - 0.5 - place), -0.75)
                matrix[row, min(max(place, 0), old - 1)] += float(share)
    return matrix


def _cubic(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """Return Keys' curve: 1 at distance 0, nothing from 2 on."""
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = a * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
