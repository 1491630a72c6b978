"""Compare the colours of two pictures: the same thing in another colour is another thing.

Chromaticity is compared: red and green against grey of the same brightness, as shares of it. A brighter or
darker copy has the same chromaticity. A picture without colours may be a copy of a coloured one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.area import resized
from vitrine.indexer.enrich.duplicates.compare.filters import gaussian_matrix

Chroma = NDArray[np.float32]
"""(..., 2), each in -1/3..2/3; 0 is grey."""
_DARK = 60.0
"""Added to the sum of red, green and blue: the colour of what is nearly black means nothing."""
_GREY = 0.02
_OUTLIERS, _SPECKS = 0.05, 0.003
_GROUND, _GROUND_LEVELS = 0.03, 20.0


def chroma(rgb: NDArray[np.uint8], side: int) -> Chroma:
    """Return the chromaticity (side, side, 2) of a picture (height, width, 3), slightly blurred, since lossy
    formats store colours coarsely."""
    small = resized(rgb, (side, side)).astype(np.float32)
    blur = gaussian_matrix(side, 1.0, 5, "reflect")
    planes = blur @ np.ascontiguousarray(small.transpose(2, 0, 1)) @ blur.T
    total = planes.sum(axis=0)
    found: Chroma = np.stack([(plane - total / 3) / (total + _DARK) for plane in planes[:2]], axis=-1)
    return found


def stands_out(colours: Chroma, grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where a picture (side, side) differs from its background, in colour or in brightness."""
    ground = np.median(colours.reshape(-1, 2), axis=0)
    apart = np.abs(colours - ground).sum(axis=-1) > _GROUND
    darker: NDArray[np.bool_] = apart | (np.abs(grey.astype(np.float32) - np.median(grey)) > _GROUND_LEVELS)
    return darker


def is_grey(colours: Chroma) -> bool:
    """Return whether there are no colours except for a few specks."""
    return not _more(np.abs(colours).sum(axis=-1), _GREY, _SPECKS)


def differ(one: Chroma, other: Chroma, most: float) -> bool:
    """Return whether colours at the same places differ by more than ``most`` in over 5 of 100 of them: less
    is a line of text or a stain."""
    return _more(np.abs(one - other).sum(axis=-1), most, _OUTLIERS)


def _more(values: NDArray[np.float32], most: float, share: float) -> bool:
    return int(np.count_nonzero(values > most)) > share * values.size
