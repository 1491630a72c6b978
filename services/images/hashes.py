"""Pairs of perceptual hashes within a band, without comparing all pairs.

A 64-bit DCT hash (``vitrine.services.images.perceptual_hash``) marks the coefficients above their
median: 32 of 64, unless many are equal, as in plain and symmetrical drawings.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
"""(n,) 64-bit perceptual hashes."""
Pairs = NDArray[np.int64]
"""(m, 3): bits apart, position of one, position of the other; one < other. Closest first."""
SET_BITS = 24
"""Hashes with fewer set bits share those with any plain drawing: of 2,023 emoji, squares, bars and crosses
had at most 19."""
MAX_BAND = 15


def parse_hashes(texts: Sequence[str]) -> Hashes:
    """Return the hashes of texts with 16 hex digits each."""
    return np.array([int(text, 16) for text in texts], np.uint64)


def telling(hashes: Hashes) -> NDArray[np.bool_]:
    """Return which hashes tell their picture from others: hashes of plain pictures do not."""
    enough: NDArray[np.bool_] = np.bitwise_count(hashes) >= SET_BITS
    return enough


def close_pairs(hashes: Hashes, band: int) -> Pairs:
    """Return the pairs of hashes that differ in at most ``band`` bits. ``ValueError`` for a band outside
    0..15.

    Cut into band + 1 pieces, two such hashes share at least one piece: only those that share one are
    compared. Of 100,000 random hashes at 8 bits that is one pair in 14.
    """
    if not 0 <= band <= MAX_BAND:
        raise ValueError(f"a band of {band} bits is not in 0..{MAX_BAND}")
    found = [np.empty((0, 3), np.int64)]
    cuts = [round(piece * 64 / (band + 1)) for piece in range(band + 2)]
    for low, high in pairwise(cuts):
        piece = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(piece, kind="stable")
        ordered, at, step = piece[order], np.arange(len(piece)), 1
        while len(
            at := at[at + step < len(piece)]
        ):  # each with the next but step, while they share the piece
            at = at[ordered[at] == ordered[at + step]]
            one, other = order[at], order[at + step]
            apart = np.bitwise_count(hashes[one] ^ hashes[other])
            near = apart <= band
            one, other, apart = one[near], other[near], apart[near].astype(np.int64)
            found.append(np.stack([apart, np.minimum(one, other), np.maximum(one, other)], 1))
            step += 1
    return np.unique(np.concatenate(found), axis=0)
