"""Vectors as float16 storage gives them back: not quite of unit length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vitrine.services.errors import StoreDamaged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDED: Final = 0.01
"""How far from 1 the length of a stored vector may be; float16 stays within a tenth of it."""


def unit_rows(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows at unit length, changed in place. ``StoreDamaged`` where one is far from it."""
    import numpy as np

    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    sound = np.abs(lengths - 1.0) <= ROUNDED
    if not sound.all():  # NaN too
        raise StoreDamaged(
            f"{int((~sound).sum())} of {len(matrix)} vectors are not as they were stored. "
            "`vitrine check --repair` computes them again."
        )
    matrix /= lengths
    return matrix
