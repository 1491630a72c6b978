"""How exact similarities are, and what follows for thresholds and for order.

Vectors are stored, and compared, as 16-bit floats. So a vector compared with itself gives 0.9999 or 1.0001
instead of 1; and an encoder that sees a picture once alone and once among others may give vectors that differ
as much.
"""

from __future__ import annotations

from typing import Final

from vitrine.services.domain import Embedding

RESOLUTION: Final = 1e-4
"""Similarities that differ by less are not distinguished from a threshold, nor from 1."""
_CLOSE: Final = 0.999
"""From here on a similarity is counted from what the same vector gives."""
_DIGITS: Final = 6
"""Engines add up in different orders: beyond these digits the same two vectors may differ."""


def at_least(similarity: float, least: float) -> bool:
    """Return whether a similarity reaches a threshold, as far as it is known.

    >>> at_least(0.99996, 1.0), at_least(0.9997, 1.0)
    (True, False)
    """
    return similarity >= least - RESOLUTION


def shown(similarity: float) -> float:
    """Return the similarity, or 1 where it cannot be distinguished from 1."""
    return 1.0 if at_least(similarity, 1.0) else similarity


def engine_threshold(least: float | None) -> float | None:
    """Return the threshold for an engine with which nothing is missing that is ``at_least`` so similar.

    Engines keep what is strictly above their threshold, in float32; we promise at or above.
    """
    if least is None:
        return None
    import numpy as np

    return float(np.nextafter(np.float32(min(least - RESOLUTION, _CLOSE)), np.float32(-np.inf)))


def step(computed: float) -> float:
    """Return what an engine has computed, to the digits that count. Whatever is close to 1 is one step: its
    order is only known from ``Scale``."""
    return min(_CLOSE, round(computed, _DIGITS))


class Scale:
    """Turns what an engine computed for a query vector into a similarity in -1..1, the same on every
    engine."""

    def __init__(self, vector: Embedding) -> None:
        self._vector = vector
        self._itself: float | None = None

    def similarity(self, computed: float) -> float:
        """Return the similarity, to six digits; exactly 1 for the vector itself."""
        import numpy as np

        if computed < _CLOSE:
            return max(-1.0, round(computed, _DIGITS))
        if self._itself is None:
            stored = np.asarray(self._vector, np.float16).astype(np.float64)
            self._itself = float(stored @ stored)
        off = min(abs(computed - self._itself), abs(computed - 1.0))  # 1 where an engine keeps 32 bits
        return round(max(_CLOSE, 1.0 - off), _DIGITS)
