"""Compare two small pictures: do they show the same?

If a plain resize aligns them, structural similarity (SSIM; Wang et al., 2004) decides. Otherwise ORB features
(Rublee et al., 2011) and a homography by RANSAC align them or, failing that, an affine map that maximises
correlation (ECC; Evangelidis and Psarakis, 2008); then the part that both show is compared in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.duplicates.compare.colour import differ
from vitrine.indexer.enrich.duplicates.compare.features import matched
from vitrine.indexer.enrich.duplicates.compare.prepared_picture import COLOURED, COMPARED, PreparedPicture
from vitrine.indexer.enrich.duplicates.compare.structure import FLAT, Grey, local, similarity

Kind = Literal["identical", "resized", "edited", "look-alike"]
"""The same pixels; saved again or resized, and nothing else; cropped, edited or another version of it, such
as a form filled otherwise; another picture that looks alike."""
_ASPECT = 0.03
_ROUNDS = 50
_MANY, _HOPELESS = 15, 0.50
"""From 15 matches on, hardly any pair of copies has a smaller share of inliers."""
_DIFFERENT, _LENIENT, _ROUGHLY = 0.40, 2.0, 0.25
_ENOUGH = 40
"""The least number of the 64 x 64 places that are compared."""
_SHRINK = COLOURED / COMPARED
_SHRUNK = np.array([[_SHRINK, 0, (_SHRINK - 1) / 2], [0, _SHRINK, (_SHRINK - 1) / 2], [0, 0, 1]])


@dataclass(frozen=True)
class Thresholds:
    """Thresholds chosen on the train half of benchmarks/duplicates.py, and on look-alikes among 66,000
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
    theirs, mine = matched(their_descriptors, descriptors, 64)
    if len(theirs) < 12:
        return nothing
    cv2.setRNGSeed(4)  # RANSAC draws from it: the same pair gives the same result
    matrix, kept = cv2.findHomography(others[theirs], points[mine], cv2.RANSAC, 3.0, maxIters=_ROUNDS)
    if matrix is None or kept is None:
        return nothing
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
    first, second = (cv2.resize(seen.square, half, interpolation=cv2.INTER_AREA) for seen in (one, other))
    rough = _correlated(first, second, np.eye(2, 3, dtype=np.float32), 30)
    if rough is None:
        return nothing
    alike, shapes = _alike_under(first, second, rough)
    if alike < given.correlated - _ROUGHLY or shapes < given.shapes_correlated - _ROUGHLY:
        return nothing
    linear, shift = rough[:, :2], rough[:, 2]
    start = np.column_stack([linear, 2 * shift + 0.5 - linear.sum(axis=1) / 2]).astype(
        np.float32
    )  # centres of pixels
    matrix = _correlated(one.square, other.square, start, 20)
    if matrix is None:
        return nothing
    inverse = np.linalg.inv(
        np.vstack([matrix, [0, 0, 1]])
    )  # the map found leads from the first to the second
    if not _plausible(inverse):
        return nothing
    found, shapes = _laid(one, other, inverse, given, given.colours)
    return Comparison("edited", found if shapes >= given.shapes_correlated else min(found, shapes))


def _correlated(
    one: Grey, other: Grey, start: NDArray[np.float32], rounds: int
) -> NDArray[np.float32] | None:
    """Return the affine map (2, 3) from the first to the second under which they correlate most; None if it
    does not converge."""
    steps = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, rounds, 1e-4)
    try:
        found: NDArray[np.float32] = cv2.findTransformECC(
            one, other, start, cv2.MOTION_AFFINE, steps, None, 5
        )[1]
    except cv2.error:  # another picture
        return None
    return found


def _alike_under(one: Grey, other: Grey, matrix: NDArray[np.float32]) -> tuple[float, float]:
    """Return ``similarity`` of both where the map shows both."""
    inverse, size = cv2.WARP_INVERSE_MAP, one.shape[::-1]
    warped = cv2.warpAffine(other, matrix, size, flags=cv2.INTER_LINEAR | inverse)
    shown = (
        cv2.warpAffine(np.full(other.shape, 255, np.uint8), matrix, size, flags=cv2.INTER_NEAREST | inverse)
        > 0
    )
    return similarity(local(one), local(warped), shown)


def _laid(
    one: PreparedPicture, other: PreparedPicture, matrix: NDArray[Any], given: Thresholds, colours: float
) -> tuple[float, float]:
    """Return ``similarity`` of the part that both show, with the square of ``other`` mapped onto the
    square of ``one``; -1 if that part is too small, or its colours differ by more than ``colours``."""
    size = (COMPARED, COMPARED)
    shown = cv2.warpPerspective(np.full(size, 255, np.uint8), matrix, size, flags=cv2.INTER_NEAREST) > 0
    area = abs(float(np.linalg.det(matrix[:2, :2]))) * COMPARED**2  # of the whole other picture, as it lies
    if shown.sum() < given.overlap * min(COMPARED**2, area) or not _coloured_alike(
        one, other, colours, matrix
    ):
        return -1.0, -1.0
    warped = cv2.warpPerspective(other.square, matrix, size, flags=cv2.INTER_LINEAR)
    return similarity(one.local, local(warped), shown)


def _coloured_alike(
    one: PreparedPicture, other: PreparedPicture, most: float, matrix: NDArray[Any] | None = None
) -> bool:
    """Return whether the colours agree where both are shown and at least one is not background, or one
    picture has no colours; ``matrix`` as in ``_laid``."""
    if one.is_grey or other.is_grey:
        return True
    size, shown = (COLOURED, COLOURED), np.ones((COLOURED, COLOURED), bool)
    colours, others = other.colours, other.stands_out
    if matrix is not None:
        moved = _SHRUNK @ matrix @ np.linalg.inv(_SHRUNK)
        colours = cv2.warpPerspective(colours, moved, size, flags=cv2.INTER_LINEAR)
        others = cv2.warpPerspective(others.view(np.uint8), moved, size, flags=cv2.INTER_NEAREST) > 0
        whole = cv2.warpPerspective(np.full(size, 255, np.uint8), moved, size, flags=cv2.INTER_NEAREST)
        shown = cv2.erode(whole, np.ones((3, 3), np.uint8)) > 0  # what is outside is black, and bleeds in
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
