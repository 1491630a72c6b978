"""Compare two small pictures: do they show the same?

If a plain resize aligns them, structural similarity (SSIM; Wang et al., 2004) decides. Otherwise ORB features
(Rublee et al., 2011) and a homography by RANSAC align them or, failing that, an affine map that maximises
correlation (ECC; Evangelidis and Psarakis, 2008); then the part that both show is compared in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.indexer.enrich.duplicates.compare.area import resized
from vitrine.indexer.enrich.duplicates.compare.colour import differ
from vitrine.indexer.enrich.duplicates.compare.features import matched
from vitrine.indexer.enrich.duplicates.compare.filters import brightest
from vitrine.indexer.enrich.duplicates.compare.maps import Map, aligned, homography, warped
from vitrine.indexer.enrich.duplicates.compare.prepared_picture import COLOURED, COMPARED, PreparedPicture
from vitrine.indexer.enrich.duplicates.compare.structure import FLAT, Grey, local, similarity

Kind = Literal["identical", "resized", "edited", "look-alike"]
"""The same pixels; saved again or resized, and nothing else; cropped, edited or another version of it, such
as a form filled otherwise; another picture that looks alike."""
_ASPECT = 0.03
_BITS, _OFF, _ROUNDS = 60, 3.0, 50
"""Bits of 256 in which the descriptors of two features may differ, pixels that a map may be off, samples."""
_MANY, _HOPELESS = 15, 0.50
"""From 15 matches on, hardly any pair of copies has a smaller share of inliers."""
_DIFFERENT, _LENIENT, _ROUGHLY = 0.40, 2.0, 0.25
_ENOUGH = 40
"""The least number of the 64 x 64 places that are compared."""
_SHRINK = COLOURED / COMPARED
_DOUBLED = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])
"""From the centre of a pixel to the same place in a picture of twice the size."""
_SHRUNK = np.array([[_SHRINK, 0, (_SHRINK - 1) / 2], [0, _SHRINK, (_SHRINK - 1) / 2], [0, 0, 1]])


@dataclass(frozen=True)
class Thresholds:
    """Thresholds chosen on the train half of benchmarks/copies/duplicates.py, and on look-alikes among 66,000
    drawings.

    All structural similarities are in -1..1. ``edited``: least similarity of a picture that fits as it is.
    ``correlated`` and ``registered``: the same for one that fits only after alignment, by correlation or by
    features. Maximising correlation makes other pictures similar too (of 150 pairs of look-alikes up to
    0.80), whereas features hardly ever fit by chance. ``inliers``: share of matched features that the
    homography explains: 99 of 100 copies are above 0.7, no photographs that only look alike are above 0.45.
    ``colours``: how far chromaticities may differ in 95 of 100 of the area: 99 of 100 copies are below 0.08;
    drawings of one shape in two colours are mostly above 0.15. ``overlap``: share of the smaller picture that
    both show. ``radius``: least similarity of two pictures of a group that are not copies of each other.
    ``shapes`` and ``shapes_correlated``: least similarity where the pictures are not plain, for a picture
    that fits as it is and for one aligned by correlation: on a plain background, a flower and a kite are
    similar nearly everywhere else.
    """

    edited: float = 0.82
    correlated: float = 0.85
    registered: float = 0.60
    inliers: float = 0.65
    colours: float = 0.10
    overlap: float = 0.60
    radius: float = 0.78
    shapes: float = 0.80
    shapes_correlated: float = 0.75


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison. ``similarity``: structural, of what both show; ``turn``: how the second was
    turned."""

    kind: Kind
    similarity: float
    turn: str = ""
    inliers: float = 0.0

    @property
    def same(self) -> bool:
        """Whether they show the same, edited or not."""
        return self.kind != "look-alike"


def compare(one: PreparedPicture, other: PreparedPicture, thresholds: Thresholds | None = None) -> Comparison:
    """Return whether two pictures as they lie are edited versions or look-alikes; a small change is not
    visible at this size."""
    given = thresholds or Thresholds()
    if (
        one.size == other.size
        and np.array_equal(one.grey, other.grey)
        and np.array_equal(one.colours, other.colours)
    ):
        return Comparison("edited", 1.0)
    straight = -1.0
    if _alike_in_aspect(one, other):
        straight, shapes = similarity(one.local, other.local)
        if min(straight, shapes) >= given.radius and not _coloured_alike(one, other, given.colours):
            straight = -1.0
        elif straight >= given.edited and shapes >= given.shapes:
            return Comparison("edited", straight)
        straight = min(straight, shapes)
    by_features, sure = _by_features(one, other, given)
    if by_features.similarity >= given.registered:
        return by_features
    if sure:
        return Comparison("look-alike", max(straight, by_features.similarity), inliers=by_features.inliers)
    laid = _by_correlation(one, other, given)
    if laid.similarity >= given.correlated:
        return laid
    return Comparison(
        "look-alike",
        max(straight, laid.similarity, by_features.similarity, -1.0),
        inliers=by_features.inliers,
    )


# Laying one on the other
# ------------------------------------------------------------------------------------------------------


def _by_features(one: PreparedPicture, other: PreparedPicture, given: Thresholds) -> tuple[Comparison, bool]:
    """Align by features and compare; the flag says that no other alignment would find more.

    That is so with many features that do not fit together, or that do and show something quite different. It
    saves three milliseconds with most pictures that only look alike.
    """
    nothing = Comparison("look-alike", -1.0), False
    (points, descriptors), (others, their_descriptors) = one.features, other.features
    if min(len(points), len(others)) < 12:
        return nothing
    theirs, mine = matched(their_descriptors, descriptors, _BITS)
    if len(theirs) < 12:
        return nothing
    fitted = homography(others[theirs], points[mine], _OFF, _ROUNDS)
    if fitted is None:
        return nothing
    matrix, kept = fitted
    inliers = float(kept.mean())
    if inliers < given.inliers or int(kept.sum()) < 10 or not _plausible(matrix):
        return nothing[0], len(theirs) >= _MANY and inliers < _HOPELESS
    squared = _squared(one) @ matrix @ np.linalg.inv(_squared(other))
    found = _laid(one, other, squared, given, given.colours)[0]
    if found >= _DIFFERENT:
        return Comparison("edited", found, inliers=inliers), False
    # no copy, or one whose colours are off: it may still be one of a third
    shared = _laid(one, other, squared, given, _LENIENT * given.colours)[0] >= _DIFFERENT
    return Comparison("look-alike", -1.0, inliers=inliers if shared else 0.0), True


def _by_correlation(one: PreparedPicture, other: PreparedPicture, given: Thresholds) -> Comparison:
    """Align by correlation, first at half of the size: most look-alikes end there, and the others are nearly
    aligned."""
    nothing = Comparison("look-alike", -1.0)
    if min(one.square.std(), other.square.std()) < FLAT:
        return nothing
    half = (COMPARED // 2, COMPARED // 2)
    first, second = (resized(seen.square, half) for seen in (one, other))
    rough = aligned(first, second, np.eye(3), 30)
    if rough is None:
        return nothing
    alike, shapes = _alike_under(first, second, rough)
    if alike < given.correlated - _ROUGHLY or shapes < given.shapes_correlated - _ROUGHLY:
        return nothing
    matrix = aligned(one.square, other.square, _DOUBLED @ rough @ np.linalg.inv(_DOUBLED), 20)
    if matrix is None:
        return nothing
    inverse = np.linalg.inv(matrix)  # the map found leads from the first to the second
    if not _plausible(inverse):
        return nothing
    found, shapes = _laid(one, other, inverse, given, given.colours)
    return Comparison("edited", found if shapes >= given.shapes_correlated else min(found, shapes))


def _alike_under(one: Grey, other: Grey, matrix: Map) -> tuple[float, float]:
    """Return ``similarity`` of both where the map from the first to the second shows both."""
    moved = _warped(other, matrix, Image.Resampling.BILINEAR)
    return similarity(local(one), local(moved), _shown(len(one), matrix))


def _warped(plane: NDArray[Any], back: Map, resampling: Image.Resampling) -> NDArray[Any]:
    return np.asarray(warped(Image.fromarray(plane), back, resampling))


def _shown(side: int, back: Map) -> NDArray[np.bool_]:
    """Return which pixels of a square the map leads from into another of the same size."""
    whole = Image.new("L", (side, side), 255)
    return np.asarray(warped(whole, back, Image.Resampling.NEAREST)) > 0


def _laid(
    one: PreparedPicture, other: PreparedPicture, matrix: NDArray[Any], given: Thresholds, colours: float
) -> tuple[float, float]:
    """Return ``similarity`` of the part that both show, with the square of ``other`` mapped onto the
    square of ``one``; -1 if that part is too small, or its colours differ by more than ``colours``."""
    back = np.linalg.inv(matrix)
    shown = _shown(COMPARED, back)
    area = abs(float(np.linalg.det(matrix[:2, :2]))) * COMPARED**2  # of the whole other picture, as it lies
    if shown.sum() < given.overlap * min(COMPARED**2, area) or not _coloured_alike(
        one, other, colours, matrix
    ):
        return -1.0, -1.0
    return similarity(one.local, local(_warped(other.square, back, Image.Resampling.BILINEAR)), shown)


def _coloured_alike(
    one: PreparedPicture, other: PreparedPicture, most: float, matrix: NDArray[Any] | None = None
) -> bool:
    """Return whether the colours agree where both are shown and at least one is not background, or one
    picture has no colours; ``matrix`` as in ``_laid``."""
    if one.is_grey or other.is_grey:
        return True
    colours, others, shown = other.colours, other.stands_out, np.ones((COLOURED, COLOURED), bool)
    if matrix is not None:
        back = np.linalg.inv(_SHRUNK @ matrix @ np.linalg.inv(_SHRUNK))
        planes = [np.ascontiguousarray(colours[..., place]) for place in range(2)]
        colours = np.stack([_warped(plane, back, Image.Resampling.BILINEAR) for plane in planes], axis=-1)
        others = _warped(others.astype(np.uint8), back, Image.Resampling.NEAREST) > 0
        shown = brightest((~_shown(COLOURED, back)).astype(np.uint8), 3) == 0  # not next to what is outside
    where = shown & (one.stands_out | others)
    where = where if np.count_nonzero(where) >= _ENOUGH else shown
    return not differ(one.colours[where], colours[where], most)


def _squared(seen: PreparedPicture) -> NDArray[np.float64]:
    """Return the map from a picture's pixels to the pixels of its square."""
    height, width = seen.grey.shape
    across, down = COMPARED / width, COMPARED / height
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])


def _plausible(matrix: NDArray[Any]) -> bool:
    """Return whether a map is a crop or a resize: hardly any perspective, neither mirrored nor squeezed,
    within a factor of three."""
    linear = matrix[:2, :2] / matrix[2, 2]
    scales = np.linalg.svd(linear, compute_uv=False)
    perspective = np.abs(matrix[2, :2] / matrix[2, 2]).max()
    return bool(
        np.linalg.det(linear) > 0
        and scales[0] < 3
        and scales[1] > 1 / 3
        and scales[0] < 1.5 * scales[1]
        and perspective < 1e-3
    )


def _alike_in_aspect(one: PreparedPicture, other: PreparedPicture) -> bool:
    """Return whether both have the same aspect ratio, within the rounding of small pictures."""
    first, second = one.size[0] / one.size[1], other.size[0] / other.size[1]
    return abs(first / second - 1) <= _ASPECT + 1 / min(*one.size, *other.size)
