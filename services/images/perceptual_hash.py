"""The 64-bit hash of what a picture shows: the same bits as ImageHash's ``phash``, by numpy alone.

Source: N. Krawetz, "Looks Like It" (2011): of the discrete cosine transform of 32 x 32 grey pixels the 8 x 8
lowest frequencies, each compared with their median.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_EDGE = 32
_LOW = 8
_AVERAGED_TO = 96
"""Edge in pixels down to which a large picture is averaged first."""


def perceptual_hash(image: Image.Image) -> str:
    """Return the hash as 16 hex digits; near-duplicates differ in few bits.

    A large picture is averaged down first, which costs a third of hashing it whole and moves a bit or two at
    most.
    """
    factor = min(image.size) // _AVERAGED_TO
    grey = image.convert("L")
    grey = grey.reduce(factor) if factor > 1 else grey
    pixels = np.asarray(grey.resize((_EDGE, _EDGE), Image.Resampling.LANCZOS), np.float64)
    low = _WEIGHTS @ (_FOLDS @ pixels @ _FOLDS.T) @ _WEIGHTS.T
    middle = np.sort(low, axis=None)[31:33]
    return np.packbits(low > middle.sum() / 2).tobytes().hex()


def _transform() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights (8, 32) and folds (32, 32) of -1, 0 and 1, whose product gives the 8 lowest frequencies
    of 32 values (DCT-II, without normalisation).

    Folding, the sums and differences of values that mirror each other, is exact for whole numbers. So what is
    zero by symmetry comes out as zero, and not as a rounding error whose sign would make a bit: a flat
    picture has one bit, not 32 random ones.
    """
    folds, weights = np.zeros((_EDGE, _EDGE)), np.zeros((_LOW, _EDGE))
    cosines = 2 * np.cos(np.pi * np.outer(np.arange(_LOW), 2 * np.arange(_EDGE) + 1) / (2 * _EDGE))
    sums, row, step = np.eye(_EDGE), 0, 1
    while step < _LOW:
        half = len(sums) // 2
        mirrored = sums[::-1][:half]
        # frequencies of an odd multiple of ``step`` are odd about the middle, all others even
        folds[row : row + half] = sums[:half] - mirrored
        weights[step :: 2 * step, row : row + half] = cosines[step :: 2 * step, :half]
        sums, row, step = sums[:half] + mirrored, row + half, 2 * step
    folds[row:] = sums
    weights[0, row:] = 2
    return weights, folds


_WEIGHTS, _FOLDS = _transform()
