"""Structural similarity (SSIM; Wang et al., 2004) of two grey pictures of the same size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.filters import Plane, blurred, gaussian_matrix

Grey = NDArray[np.uint8]
"""(height, width) grey levels."""
FLAT = 4.0
"""Standard deviation in grey levels below which a picture shows nothing that could be compared."""
WINDOW = 11
"""Pixels across the Gaussian window, with sigma 1.5."""
_SIGMA = 1.5
_SMALL = 64
"""Pixels a side up to which two products of matrices blur a picture in less time."""
_LOW, _HIGH = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True, eq=False)
class Local:
    """A picture with the mean and the variance around each of its pixels, weighted by a Gaussian of sigma
    1.5."""

    values: Plane
    mean: Plane
    variance: Plane


def local(grey: Grey | Plane) -> Local:
    """Compute what ``ssim`` needs of a grey picture in 0..255."""
    values = grey.astype(np.float32)
    mean = _blurred(values)
    return Local(values, mean, np.maximum(_blurred(values * values) - mean * mean, 0))


def similarity(one: Local, other: Local, shown: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """Return the mean SSIM where both are shown, and the mean weighted by the larger of both standard
    deviations around each pixel.

    Both are first brought to the same mean and contrast: a change of brightness is an edit, not a difference.
    The weighted mean ignores what is plain in both. -1 if one of them is flat, or fewer than 400 pixels are
    shown.
    """
    where = slice(None) if shown is None else shown
    first, second = one.values[where], other.values[where]
    spread, their_spread = first.std(), second.std()
    if first.size < 400 or min(spread, their_spread) < FLAT:
        return -1.0, -1.0
    gain = float(spread / their_spread)
    similar = ssim(one, other, gain, float(first.mean() - gain * second.mean()))[where]
    weights = np.sqrt(np.maximum(one.variance, gain * gain * other.variance)[where])
    return float(similar.mean()), float((similar * weights).sum() / max(float(weights.sum()), 1e-6))


def ssim(one: Local, other: Local, gain: float = 1.0, offset: float = 0.0) -> Plane:
    """Return the structural similarity of ``one`` and ``gain * other + offset`` at each pixel, -1..1.

    It is ``skimage.metrics.structural_similarity`` with Gaussian weights of sigma 1.5 and population
    covariance. Means and variances of the second follow from the ones
    of ``other``: only the product of both is filtered anew.
    """
    common = gain * (_blurred(one.values * other.values) - one.mean * other.mean)
    mean = gain * other.mean + offset
    spread = one.variance + gain * gain * other.variance
    levels = (2 * one.mean * mean + _LOW) / (one.mean * one.mean + mean * mean + _LOW)
    similar: Plane = (levels * (2 * common + _HIGH) / (spread + _HIGH)).astype(np.float32, copy=False)
    return similar


def _blurred(values: Plane) -> Plane:
    height, width = values.shape
    if max(height, width) <= _SMALL:
        down, across = (gaussian_matrix(size, _SIGMA, WINDOW, "symmetric") for size in (height, width))
        return np.asarray(down @ values @ across.T, np.float32)
    return blurred(values, _SIGMA, WINDOW, "symmetric")
