"""Decide whether one picture is another saved again or resized, and nothing else, by what differs once the
larger is resized to the smaller.

A mean over the picture does not notice a changed digit. So the largest residual counts, anywhere, at full
resolution: less what lossy formats and resamplers leave at edges, which grows with the contrast there. One
small kernel takes out what another resampler, a slight blur or sharpening does, since it does it everywhere.
Colour is compared separately; drawn pages are held to stricter limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.area import resized
from vitrine.indexer.enrich.duplicates.compare.filters import apart, blurred, contrast, correlated
from vitrine.indexer.enrich.duplicates.compare.grain import same_exposure
from vitrine.indexer.enrich.duplicates.compare.prepared_picture import PreparedPicture
from vitrine.indexer.enrich.duplicates.compare.resampling import Fit, fitted
from vitrine.indexer.enrich.duplicates.compare.whole import NO_COLOUR, Plane, Planes, Whole, planes

SURE = 0.5
"""Below it two pictures are one, saved again or resized. Of 24,156 look-alikes with a visible change
(benchmarks/copies/look_alikes.py) 8 are."""
_ROUNDED = 1.5
"""Pixels by which the sides of a resized picture may be off."""
_SMALLEST = 32
"""Pixels that each side must have: too many pictures are resized to the same smaller one, and icons differ in
a few pixels."""
_LEAST_DOCUMENT = 0.5
"""A drawn page at less than this share of the other's sides has lost what distinguishes
characters."""
_AROUND = 15
"""Side in pixels of the surroundings in which contrast is taken."""
_CONTRASTED, _FEWEST, _SAMPLED, _MANY = 24, 100, 4, 250_000
"""Edges have this much contrast, and there are at least so many pixels of them; of many every fourth
counts."""
_BLURS, _LEAST_SHARE = (1.0, 1.6), 0.01
_SHARES, _DOCUMENT_SHARES = (0.05, 0.03), (0.03, 0.02)
"""Gaussian blurs of the residual, and the least and the largest share of the contrast that is taken off, for
each; of a page of the same size, to which no resampler did anything, less."""
_LEVELS, _DOCUMENT_LEVELS = (12.0, 6.0), (12.0, 8.0)
"""Levels of what is left then that count as 1, for each blur."""
_SMALL_LEVELS, _SMALL_SHARE = 30.0, 0.10
"""The same for small pictures, compared first, far beyond what copies have."""
_NOISY, _LEAST_LEVELS = 0.0125, 0.25
"""The share of its contrast that a lossy format leaves at most edges of a page; without it so many of the
levels count as 1."""
_COLOURS = ((2.0, 8.0), (4.0, 4.5))
"""For colour, at half size: blur, and levels that count as 1."""
_COLOUR_AROUND, _COLOUR_SHARE = 11, 0.02
_BAND, _MARGIN = 1 << 20, 16
"""A large picture is compared in bands of so many pixels, which takes little memory; bands overlap by so many
rows."""

_SPOT_BLUR, _SPOT_REST, _SPOT_TIMES, _SPOT_LEVELS = 0.6, 0.99, 2.4, 4.0
"""A spot stands out if it differs by this many times the difference that 99 in 100 pixels stay below, plus
some levels for rounding. Of genuine copies 1 in 60 has one."""
_HOPELESS = 4.0
"""A difference too large for another resampler or a kernel to bring it down to what a copy has."""
_TINY = 1e-9
"""Pixels that are the same after resizing or rounding are no identical pixels."""

Residual = NDArray[np.float32]


def difference(one: Whole, other: Whole, enough: float = SURE) -> float:
    """Return how far two upright pictures are from being one picture, saved again or resized: they are below
    ``SURE``.

    0 only if everything in the files is the same. Once below ``enough``, no closer fit is looked for.
    Infinite where no residual can decide: different shapes, one lacks the colours or the transparency of the
    other, pages too small to be read, a file with more than 8 bits or more than one picture.
    """
    if one.same_pixels(other):
        return 0.0
    small, large = sorted((one, other), key=lambda whole: (whole.pixels, whole.planes.sum()))
    if not _comparable(small, large):
        return math.inf
    held = _Held.of(small, large, enough)
    shown = held.least((small.planes, planes(guess)) for guess in _resized(large.rgb, small.size))
    if shown < enough and _spot_stands_out(small, large):
        return math.inf
    if shown >= enough or small.alpha is None or large.alpha is None:
        return shown + _TINY
    return (
        max(
            shown,
            held.least((_opaque(small.alpha), _opaque(guess)) for guess in _resized(large.alpha, small.size)),
        )
        + _TINY
    )


def _spot_stands_out(small: Whole, large: Whole) -> bool:
    """Return whether some spot differs by far more than nearly all of the rest: formats and resamplers err
    all over a picture."""
    levels = apart(small.rgb, next(_resized(large.rgb, small.size)))
    # the largest of the three; max(axis=2) is slow along so short an axis
    largest = np.maximum(np.maximum(levels[..., 0], levels[..., 1]), levels[..., 2])
    spots = _blurred(largest, _SPOT_BLUR)
    return bool(spots.max() > _SPOT_TIMES * (np.quantile(spots, _SPOT_REST) + _SPOT_LEVELS))


def may_be_one(one: PreparedPicture, other: PreparedPicture) -> bool:
    """Return whether two pictures that show the same are worth comparing at full resolution.

    Already at a small size most versions of one form differ by more than any copy.
    """
    first, second = sorted((one.grey, other.grey), key=lambda grey: grey.size)
    second = resized(second, (first.shape[1], first.shape[0]))
    if apart(first, second).max() < _SMALL_LEVELS:  # a blur does not make it more
        return True
    left = np.abs(_blurred(_subtracted(first, second), _BLURS[0]))
    near = np.maximum(contrast(first, _AROUND), contrast(second, _AROUND))
    return float((left - np.float32(_SMALL_SHARE) * near).max()) < _SMALL_LEVELS


def _comparable(small: Whole, large: Whole) -> bool:
    (width, height), (wide, high) = small.size, large.size
    if min(width, height) < _SMALLEST:
        return False
    most = min((width + _ROUNDED) / wide, (height + _ROUNDED) / high)
    if max((width - _ROUNDED) / wide, (height - _ROUNDED) / high) > most or small.beyond or large.beyond:
        return False
    if small.is_grey != large.is_grey or (small.alpha is None) != (large.alpha is None):
        return False
    return most >= _LEAST_DOCUMENT or not large.is_document


def _resized(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Resize ``pixels`` to the smaller ``size``, by one resampler after the other."""
    if pixels.shape[1::-1] == size:
        yield pixels
        return
    yield resized(pixels, size)
    from PIL import Image

    for resampling in (
        Image.Resampling.LANCZOS,
        Image.Resampling.BILINEAR,
        Image.Resampling.BOX,
        Image.Resampling.NEAREST,
    ):
        yield np.asarray(Image.fromarray(pixels).resize(size, resampling))


def _opaque(alpha: Plane) -> Planes:
    """Return opacity as the brightness of a picture without colours."""
    return np.stack([alpha, np.full_like(alpha, NO_COLOUR), np.full_like(alpha, NO_COLOUR)])


@dataclass(frozen=True)
class _Held:
    """The limits of a pair, for each blur: at most ``shares`` of the contrast are taken off, and so many
    ``levels`` of what is left count as 1.

    ``best_only``: only the guess that fits best counts, not any that fits well enough. ``quiet``: where the
    rest of the picture has hardly any residual, fewer levels count.
    """

    shares: tuple[float, ...]
    levels: tuple[float, ...]
    best_only: bool
    quiet: bool
    enough: float

    @classmethod
    def of(cls, small: Whole, large: Whole, enough: float) -> _Held:
        if not large.is_document:
            return cls(_SHARES, _LEVELS, False, False, enough)
        if small.size == large.size:
            return cls(_DOCUMENT_SHARES, _DOCUMENT_LEVELS, True, True, enough)
        levels = tuple(level * small.pixels / large.pixels for level in _DOCUMENT_LEVELS)
        return cls(_SHARES, levels, True, False, enough)

    def least(self, guesses: Iterator[tuple[Planes, Planes]]) -> float:
        """Return the difference of the guess that fits best, or of the first below ``enough``."""
        if self.best_only:
            fits = [(fitted(made[0], given[0]), made, given) for made, given in guesses]
            fit, made, given = min(fits, key=lambda each: math.inf if each[0] is None else each[0].left)
            return self.difference(made, given, fit)
        least = math.inf
        for made, given in guesses:
            least = min(least, self.difference(made, given, None))
            if least >= _HOPELESS:
                break
            if least >= self.enough and (fit := fitted(made[0], given[0])) is not None:
                least = min(least, self.difference(made, given, fit))
            if least < self.enough:
                break
        return least

    def difference(self, made: Planes, given: Planes, fit: Fit | None) -> float:
        """Return the largest difference of all bands, or the first above ``enough``."""
        found = 0.0
        for rows in _bands(made.shape):
            grey = _band_difference(made[0, rows], given[0, rows], fit, self)
            found = max(found, grey, _colour_difference(made[:, rows], given[:, rows]))
            if found >= self.enough:
                return found
        return found if same_exposure(made[0], given[0]) else math.inf


def _bands(shape: tuple[int, ...]) -> Iterator[slice]:
    height, width = shape[1:]
    rows = max(4 * _MARGIN, _BAND // width)
    for top in range(0, height, rows):
        yield slice(max(0, top - _MARGIN), min(height, top + rows + _MARGIN))


def _band_difference(made: Plane, given: Plane, fit: Fit | None, held: _Held) -> float:
    if fit is None:
        residual = _subtracted(made, given)
    else:
        residual = made - np.clip(given + correlated(given, fit.kernel), 0, 255)
    near = np.maximum(contrast(made, _AROUND), contrast(given, _AROUND)).astype(np.float32)
    found = 0.0
    for blur, most, level in zip(_BLURS, held.shares, held.levels, strict=True):
        left = np.abs(_blurred(residual, blur))
        usual = _usual(left, near)
        share = min(max(2 * usual, _LEAST_SHARE), most)
        counts = level * min(1.0, max(usual / _NOISY, _LEAST_LEVELS)) if held.quiet else level
        found = max(found, float((left - np.float32(share) * near).max()) / counts)
    return found


def _usual(residual: Residual, contrast: Residual) -> float:
    """Return the share of the contrast that nine tenths of a picture's edges stay below."""
    step = _SAMPLED if residual.size > _MANY else 1
    sample, near = residual[::step, ::step], contrast[::step, ::step]
    where = near > _CONTRASTED
    return float(np.quantile(sample[where] / near[where], 0.9)) if np.count_nonzero(where) >= _FEWEST else 0.0


def _colour_difference(made: Planes, given: Planes) -> float:
    half = max(1, made.shape[2] // 2), max(1, made.shape[1] // 2)
    first, second = ([resized(tint, half, to_even=True) for tint in each[1:]] for each in (made, given))
    near = np.max([contrast(tint, _COLOUR_AROUND) for tint in (*first, *second)], axis=0)
    allowed = np.float32(_COLOUR_SHARE) * near
    residuals = [_subtracted(one, other) for one, other in zip(first, second, strict=True)]
    found = 0.0
    for blur, levels in _COLOURS:
        red, blue = (_blurred(residual, blur) for residual in residuals)
        found = max(found, float((np.hypot(red, blue) - allowed).max()) / levels)
    return found


def _subtracted(one: Plane, other: Plane) -> Residual:
    return one.astype(np.float32) - other


def _blurred(residual: Residual | Plane, sigma: float) -> Residual:
    return blurred(residual, sigma, 2 * math.ceil(3 * sigma) + 1, "symmetric")
