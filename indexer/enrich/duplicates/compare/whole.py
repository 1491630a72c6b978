"""A picture at full resolution, as planes of numbers that are compared pixel by pixel."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.filters import bands, padded
from vitrine.services.images.open import WholePicture

Planes = NDArray[np.uint8]
"""(3, height, width): brightness, red difference, blue difference (YCrCb), 128 standing for no colour."""
Plane = NDArray[np.uint8]

NO_COLOUR = 128
"""The level of both colour differences where there is no colour."""
_BITS, _HALF = 14, 1 << 13
_RED, _GREEN, _BLUE = 4899, 9617, 1868
_RED_DIFFERENCE, _BLUE_DIFFERENCE = 11682, 9241
"""Shares of the colours in brightness, and what the differences are multiplied by, times 2 ** 14."""
_TINT = 4
"""Levels of colour difference, blurred, that a picture without colours may have after a lossy format."""
_PAPER, _INKS = 0.60, 0.85
"""Shares of a drawn page that lie in two neighbouring of 32 bins of brightness, or in any three of 16."""


class Whole:
    """One picture to be compared at full resolution. ``beyond`` as in ``WholePicture``."""

    def __init__(self, picture: WholePicture) -> None:
        self.rgb: NDArray[np.uint8] = np.asarray(picture.image)
        self.alpha: Plane | None = None if picture.alpha is None else np.asarray(picture.alpha)
        self.beyond = picture.beyond

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.rgb.shape[1], self.rgb.shape[0]

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    @cached_property
    def planes(self) -> Planes:
        """Return brightness and colour differences of the picture on white."""
        return planes(self.rgb)

    @cached_property
    def is_grey(self) -> bool:
        """Whether it has no colours at all; a small spot of colour is one."""
        sums = np.stack([_nine(plane) for plane in self.planes[1:]])
        return bool(sums.min() > 9 * (NO_COLOUR - _TINT - 0.5) and sums.max() < 9 * (NO_COLOUR + _TINT + 0.5))

    @cached_property
    def is_document(self) -> bool:
        """Whether it is drawn rather than photographed: a page, a form, a screenshot, an icon. A small change
        in it matters."""
        counts = np.bincount(self.planes[0].ravel(), minlength=256) / self.pixels
        fine, coarse = counts.reshape(32, -1).sum(axis=1), counts.reshape(16, -1).sum(axis=1)
        return bool((fine[1:] + fine[:-1]).max() >= _PAPER or np.sort(coarse)[-3:].sum() >= _INKS)

    def same_pixels(self, other: Whole) -> bool:
        """Return whether every pixel is the same, and everything else in the files."""
        if (
            self.rgb.shape != other.rgb.shape
            or self.beyond != other.beyond
            or not np.array_equal(self.rgb, other.rgb)
        ):
            return False
        if self.alpha is None or other.alpha is None:
            return self.alpha is other.alpha
        return np.array_equal(self.alpha, other.alpha)


def planes(rgb: NDArray[np.uint8]) -> Planes:
    """Return the planes of (height, width, 3) red, green and blue (ITU-R BT.601, all 256 levels in use)."""
    height, width = rgb.shape[:2]
    found: Planes = np.empty((3, height, width), np.uint8)
    for rows in bands(height, width):
        red, green, blue = (np.ascontiguousarray(rgb[rows, :, place]).astype(np.int32) for place in range(3))
        grey = (red * _RED + green * _GREEN + blue * _BLUE + _HALF) >> _BITS
        found[0, rows] = grey
        found[1, rows] = _level((red - grey) * _RED_DIFFERENCE)
        found[2, rows] = _level((blue - grey) * _BLUE_DIFFERENCE)
    return found


def _level(difference: NDArray[np.int32]) -> NDArray[np.int32]:
    difference += (NO_COLOUR << _BITS) + _HALF
    difference >>= _BITS
    return np.clip(difference, 0, 255, out=difference)


def _nine(plane: Plane) -> NDArray[np.uint16]:
    """Return the sum of the nine pixels around each."""
    tall = padded(plane.astype(np.uint16), 1, 0, "reflect")
    wide = padded(tall[2:] + tall[1:-1] + tall[:-2], 1, 1, "reflect")
    found: NDArray[np.uint16] = wide[:, 2:] + wide[:, 1:-1] + wide[:, :-2]
    return found
