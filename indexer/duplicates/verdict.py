"""Two pictures side by side: is one a copy of the other?

They are laid on each other first. If a plain resize does it, structural similarity (SSIM; Wang et al., 2004) tells a copy from
another picture. Otherwise an affine map that maximises correlation (ECC; Evangelidis and Psarakis, 2008) or, failing that, ORB
features (Rublee et al., 2011) and a homography by RANSAC say how one lies in the other; then the part that both show is compared
alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from indexer.clustering.extra import load

Grey = NDArray[np.uint8]
"""(height, width) of a picture shrunk to at most ``SIDE`` pixels, upright."""
Kind = Literal["identical", "resized", "edited", "look-alike"]
"""identical pixels; re-encoded or resized; cropped or edited; another picture that looks alike."""
KINDS: tuple[Kind, ...] = ("identical", "resized", "edited", "look-alike")
TURNS = ("", "flip", "turn-180", "flip-180", "transpose", "turn-90", "turn-270", "transverse")
"""The eight ways a picture can lie: as it is, mirrored left to right, upside down ..."""

SIDE = 256
"""Longest side in pixels at which pictures are compared."""
_COMPARED = 128
_ASPECT = 0.03
_FEATURES = 300
_FLAT = 4.0
"""Standard deviation in grey levels below which a picture shows nothing that could be compared."""


@dataclass(frozen=True)
class Thresholds:
    """Chosen on the train half of benchmarks/duplicates.py. All structural similarities are in -1..1.

    ``resized``: from here on a picture that fits as it is counts as re-encoded or resized, from ``edited`` on as edited.
    ``correlated`` and ``registered``: the same for one that fits only after it was laid on the other, by correlation or by its
    features. Maximising correlation makes other pictures alike too (of 150 pairs of look-alikes up to 0.80), whereas features
    hardly ever fit by chance (0.59). ``inliers``: share of matched features that the homography explains. ``overlap``: share of
    the smaller picture that both show. ``radius``: least similarity of two pictures of a group that are no copies themselves.
    ``shapes`` and ``shapes_correlated``: least similarity where the pictures show something, for a picture that fits as it is and
    for one laid by correlation: on a plain ground, a flower and a kite are alike nearly everywhere else.
    """

    resized: float = 0.90
    edited: float = 0.82
    correlated: float = 0.85
    registered: float = 0.60
    inliers: float = 0.30
    overlap: float = 0.60
    radius: float = 0.78
    shapes: float = 0.80
    shapes_correlated: float = 0.75


@dataclass(frozen=True)
class Verdict:
    """What was seen. ``similarity`` is the structural one of what both show; ``turn`` says how the second was laid."""

    kind: Kind
    similarity: float
    turn: str = ""
    inliers: float = 0.0

    @property
    def same(self) -> bool:
        """Whether they are copies of each other."""
        return self.kind != "look-alike"


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture ready to be compared. ``size`` is (width, height) of the original in pixels."""

    grey: Grey
    size: tuple[int, int]
    points: NDArray[np.float32]
    """(k, 2): x and y of its ORB features, in ``grey``."""
    descriptors: NDArray[np.uint8]
    """(k, 32)."""


def see(image: Image.Image, size: tuple[int, int]) -> Seen:
    """Prepare an upright picture whose original is ``size`` large. ``BadRequest`` where the extra is not installed."""
    cv2 = load("cv2", "opencv-python-headless")
    scale = min(1.0, SIDE / max(image.size))
    small = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    grey = np.asarray(image.convert("L").resize(small, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BILINEAR))
    points, descriptors = _features(cv2, grey)
    return Seen(grey, size, points, descriptors)


def turned(seen: Seen, turn: str) -> Seen:
    """The picture laid another way, one of ``TURNS``."""
    if not turn:
        return seen
    cv2 = load("cv2", "opencv-python-headless")
    grey = np.ascontiguousarray(_TURNED[turn](seen.grey))
    size = seen.size if grey.shape == seen.grey.shape else (seen.size[1], seen.size[0])
    return Seen(grey, size, *_features(cv2, grey))


def best_turn(one: Seen, other: Seen) -> str:
    """The way to lay ``other`` so that it correlates best with ``one``, both shrunk to 24 x 24 pixels."""
    cv2 = load("cv2", "opencv-python-headless")
    target = _normal(cv2.resize(one.grey, (24, 24), interpolation=cv2.INTER_AREA))
    small = cv2.resize(other.grey, (24, 24), interpolation=cv2.INTER_AREA)
    return max(TURNS, key=lambda turn: float((target * _normal(_TURNED[turn](small))).mean()))


def compare(one: Seen, other: Seen, thresholds: Thresholds | None = None) -> Verdict:
    """The verdict on two pictures as they lie. Milliseconds: 2 if a resize does it, 5 to 15 otherwise."""
    given = thresholds or Thresholds()
    if one.size == other.size and np.array_equal(one.grey, other.grey):
        return Verdict("identical", 1.0)
    straight = -1.0
    if _alike_in_aspect(one, other):
        straight, shapes = _similarity(_square(one.grey), _square(other.grey))
        if straight >= given.edited and shapes >= given.shapes:
            return Verdict("resized" if straight >= given.resized else "edited", straight)
        straight = min(straight, shapes)
    laid = _by_correlation(one, other, given)
    if laid.similarity >= given.correlated:
        return laid
    by_features = _by_features(one, other, given)
    if by_features.similarity >= given.registered:
        return by_features
    laid = max(laid, by_features, key=lambda found: found.similarity)
    return Verdict("look-alike", max(straight, laid.similarity, -1.0), inliers=laid.inliers)


# Laying one on the other ------------------------------------------------------------------------------------------------------


def _by_features(one: Seen, other: Seen, given: Thresholds) -> Verdict:
    cv2 = load("cv2", "opencv-python-headless")
    nothing = Verdict("look-alike", -1.0)
    if min(len(one.points), len(other.points)) < 12:
        return nothing
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(other.descriptors, one.descriptors)
    matches = [match for match in matches if match.distance <= 64]
    if len(matches) < 12:
        return nothing
    source = other.points[[match.queryIdx for match in matches]]
    target = one.points[[match.trainIdx for match in matches]]
    cv2.setRNGSeed(4)  # RANSAC draws from it: the same pair has the same verdict
    matrix, kept = cv2.findHomography(source, target, cv2.RANSAC, 3.0, maxIters=200)
    if matrix is None or kept is None:
        return nothing
    inliers = float(kept.mean())
    if inliers < given.inliers or int(kept.sum()) < 10 or not _plausible(matrix):
        return Verdict("look-alike", -1.0, inliers=inliers)
    return Verdict("edited", _laid(one.grey, other.grey, matrix, given)[0], inliers=inliers)


def _by_correlation(one: Seen, other: Seen, given: Thresholds) -> Verdict:
    cv2 = load("cv2", "opencv-python-headless")
    first, second = _square(one.grey), _square(other.grey)
    if min(first.std(), second.std()) < _FLAT:
        return Verdict("look-alike", -1.0)
    steps = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)
    try:
        _, matrix = cv2.findTransformECC(first, second, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, steps, None, 5)
    except cv2.error:  # it does not converge: another picture
        return Verdict("look-alike", -1.0)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))  # the map found leads from the first to the second
    if not _plausible(inverse):
        return Verdict("look-alike", -1.0)
    similarity, shapes = _laid(first, second, inverse, given)
    return Verdict("edited", similarity if shapes >= given.shapes_correlated else min(similarity, shapes))


def _laid(one: Grey, other: Grey, matrix: NDArray[Any], given: Thresholds) -> tuple[float, float]:
    """``_similarity`` of the part that both show, with ``other`` mapped onto ``one``; -1 if that is too small."""
    cv2 = load("cv2", "opencv-python-headless")
    size = (one.shape[1], one.shape[0])
    warped = cv2.warpPerspective(other, matrix, size, flags=cv2.INTER_LINEAR)
    shown = cv2.warpPerspective(np.full(other.shape, 255, np.uint8), matrix, size, flags=cv2.INTER_NEAREST) > 0
    area = abs(float(np.linalg.det(matrix[:2, :2]))) * other.size  # of the whole other picture, as it lies
    if shown.sum() < given.overlap * min(one.size, area):
        return -1.0, -1.0
    return _similarity(one, warped, shown)


def _plausible(matrix: NDArray[Any]) -> bool:
    """A crop or a resize: hardly any perspective, neither mirrored nor squeezed, within a factor of three."""
    linear = matrix[:2, :2] / matrix[2, 2]
    scales = np.linalg.svd(linear, compute_uv=False)
    perspective = np.abs(matrix[2, :2] / matrix[2, 2]).max()
    return bool(
        np.linalg.det(linear) > 0 and scales[0] < 3 and scales[1] > 1 / 3 and scales[0] < 1.5 * scales[1] and perspective < 1e-3
    )


# Comparing --------------------------------------------------------------------------------------------------------------------


def _similarity(one: Grey, other: Grey, shown: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """Mean SSIM where both are shown, after both are brought to the same mean and contrast: brightness is an edit, no difference.

    And the mean weighted by the standard deviation round each pixel, in the picture where it is larger: what is plain in both
    tells nothing. -1 if one of them is flat.
    """
    where = shown if shown is not None else np.ones(one.shape, bool)
    first, second = one[where], other[where]
    if len(first) < 400 or min(first.std(), second.std()) < _FLAT:
        return -1.0, -1.0
    levelled = (other.astype(np.float32) - second.mean()) * (first.std() / second.std()) + first.mean()
    similar, plain = ssim_map(one.astype(np.float32), levelled), one.astype(np.float32)
    weights = np.where(where, np.maximum(_deviation(plain), _deviation(levelled)), 0)
    return float(similar[where].mean()), float((similar * weights).sum() / max(float(weights.sum()), 1e-6))


def _deviation(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard deviation round each pixel."""
    cv2 = load("cv2", "opencv-python-headless")
    mean = cv2.GaussianBlur(values, (11, 11), 1.5)
    found: NDArray[np.float32] = np.sqrt(np.maximum(cv2.GaussianBlur(values * values, (11, 11), 1.5) - mean * mean, 0))
    return found


def ssim_map(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Structural similarity at each pixel, of grey levels in 0..255: ``skimage.metrics.structural_similarity`` with Gaussian
    weights of sigma 1.5 and population covariance, ten times as fast by OpenCV's filters."""
    cv2 = load("cv2", "opencv-python-headless")

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        blurred: NDArray[np.float32] = cv2.GaussianBlur(values, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)
        return blurred

    low, high = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    first, second = mean(one), mean(other)
    spread = mean(one * one) - first * first + mean(other * other) - second * second
    common = mean(one * other) - first * second
    similar = (2 * first * second + low) * (2 * common + high) / ((first * first + second * second + low) * (spread + high))
    found: NDArray[np.float32] = similar.astype(np.float32)
    return found


def _alike_in_aspect(one: Seen, other: Seen) -> bool:
    """The same shape, within the rounding of small pictures."""
    first, second = one.size[0] / one.size[1], other.size[0] / other.size[1]
    return abs(first / second - 1) <= _ASPECT + 1 / min(*one.size, *other.size)


def _square(grey: Grey) -> Grey:
    cv2 = load("cv2", "opencv-python-headless")
    square: Grey = cv2.resize(grey, (_COMPARED, _COMPARED), interpolation=cv2.INTER_AREA)
    return square


def _features(cv2: Any, grey: Grey) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    detector = cv2.ORB_create(_FEATURES, scaleFactor=1.2, nlevels=8, edgeThreshold=15, patchSize=31, fastThreshold=10)
    points, descriptors = detector.detectAndCompute(grey, None)
    if descriptors is None:
        return np.empty((0, 2), np.float32), np.empty((0, 32), np.uint8)
    return np.array([point.pt for point in points], np.float32), descriptors


def _normal(grey: Grey) -> NDArray[np.float32]:
    centred = grey.astype(np.float32) - grey.mean()
    normal: NDArray[np.float32] = centred / max(float(centred.std()), 1.0)
    return normal


_TURNED: dict[str, Any] = {
    "": lambda grey: grey,
    "flip": np.fliplr,
    "turn-180": lambda grey: np.rot90(grey, 2),
    "flip-180": np.flipud,
    "transpose": np.transpose,
    "turn-90": lambda grey: np.rot90(grey, 1),
    "turn-270": lambda grey: np.rot90(grey, 3),
    "transverse": lambda grey: np.rot90(np.transpose(grey), 2),
}
