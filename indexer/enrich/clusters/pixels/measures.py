"""Compare two pictures by their pixels, with the classical measures, each in 0..1.

Every measure is symmetric, deterministic and 1.0 for a picture and itself. ``prepare`` makes a small value of
a picture once; ``similarity`` compares two of these and reads no picture.

    ssim       structural similarity of the grey pictures (Wang et al., 2004)
    minhash    Jaccard similarity, estimated by MinHash (Broder, 1997), of the sets of small patterns
    ahash ... colorhash    share of equal bits of the hashes of ImageHash
    orb        share of ORB features (Rublee et al., 2011) that are each other's nearest in the other picture
    template   best normalised correlation of the middle of one within the other
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.indexer.enrich.duplicates.compare.features import matched, orb_features
from vitrine.indexer.enrich.duplicates.compare.prepared_picture import shrunk
from vitrine.indexer.enrich.duplicates.compare.structure import WINDOW, Grey, Local, local, ssim
from vitrine.services.errors import BadRequest, MissingExtra
from vitrine.services.extras import from_extra, load_extra, require_extra
from vitrine.services.images.perceptual_hash import perceptual_hash

HASHES = ("ahash", "phash", "dhash", "whash", "colorhash")
MEASURES: tuple[str, ...] = ("ssim", "minhash", *HASHES, "orb", "template")
DEFAULT_THRESHOLDS: Mapping[str, float] = {
    "ssim": 0.70,
    "minhash": 0.46,
    "ahash": 0.96,
    "phash": 0.86,
    "dhash": 0.93,
    "whash": 0.98,
    "colorhash": 0.98,
    "orb": 0.18,
    "template": 0.96,
}
"""Similarity from which on pictures are copies of each other: chosen on the train half of
benchmarks/encoding/pixels.py, for a precision of 0.95 and more where a measure has it. Equal colour hashes
(``colorhash``) mean like colours, seldom a copy."""
WHOLE = 0
"""The scale of hashes: all pixels of the picture, as ImageHash takes them."""
DEFAULT_SCALES: Mapping[str, int] = {
    "ssim": 64,
    "minhash": 16,
    **dict.fromkeys(HASHES, WHOLE),
    "orb": 256,
    "template": 64,
}
"""Longest side in pixels to which a picture is shrunk first."""
LEAST_SCALE, MOST_SCALE = 16, 1024
MINHASH_SEED = 1
PERMUTATIONS = 128
FEATURES = 200
"""ORB features of a picture at most."""
_GOOD_BITS = 48
"""Bits of 256 in which the descriptors of a good match may differ."""
_MARGIN = 0.1
"""Share of each side that is cut off for a template."""
_ALL = 1 << 24
_LEVELS, _PLACE = 4, 2
"""Grey levels of a cell of a pattern, and cells a side that count as one place."""


class Measure(Protocol):
    """A measure of similarity between pictures. Thread-safe."""

    @property
    def name(self) -> str: ...

    @property
    def scale(self) -> int:
        """Longest side in pixels at which pictures are compared; ``WHOLE``: as they are."""
        ...

    def prepare(self, image: Image.Image) -> Any:
        """Return what is kept of an RGB picture: at most some tens of KB."""
        ...

    def similarity(self, one: Any, other: Any) -> float:
        """Compare two values of ``prepare``: 0..1, 1 for the same picture."""
        ...

    def slim(self, value: Any) -> Any:
        """Return a prepared value without what comparisons cached in it."""
        ...


def measure(name: str, *, scale: int | None = None) -> Measure:
    """Return the measure of that name; ``scale`` None: its default.

    ``BadRequest`` for an unknown name, a scale outside 16..1024, or a package that is not installed.
    """
    if name not in MEASURES:
        raise BadRequest(f"{name!r} is no measure: choose {', '.join(MEASURES)}.", measure=name)
    scale = DEFAULT_SCALES[name] if scale is None else scale
    whole = name in HASHES and scale == WHOLE
    if not whole and not LEAST_SCALE <= scale <= MOST_SCALE:
        raise BadRequest(
            f"The scale must be in {LEAST_SCALE}..{MOST_SCALE} pixels, not {scale}.", scale=scale
        )
    if name in HASHES:
        return Hash(name, scale)
    made: Mapping[str, Callable[[int], Measure]] = {
        "ssim": Structure,
        "minhash": Patterns,
        "orb": Features,
        "template": Template,
    }
    return made[name](scale)


def prepared(measure: Measure, image: Image.Image) -> Any:
    """Prepare a picture; None if that fails: one odd picture must not end the comparison of the others, and
    the libraries behind the measures raise errors of many kinds."""
    try:
        return measure.prepare(image)
    except MissingExtra:  # that is no picture's fault
        raise
    except Exception:
        return None


def decode_target(scale: int) -> int:
    """Return the side at which to decode for a measure of this scale.

    It is half of the scale, since what is opened has at least twice the target along its shortest edge if the
    picture is that large; the whole picture is not shrunk.
    """
    return _ALL if scale == WHOLE else max(1, scale // 2)


class _Sized:
    """The common part of all measures."""

    name = ""

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def slim(self, value: Any) -> Any:
        return value


# Structural similarity
# ----------------------------------------------------------------------------------------------------


class Levels:
    """A grey picture, and the local means and variances that each of its comparisons needs."""

    def __init__(self, grey: Grey) -> None:
        self.grey = grey

    @cached_property
    def local(self) -> Local:
        return local(self.grey)


class Structure(_Sized):
    """Mean SSIM of the pictures stretched to one square. Negative values, of pictures that are each other's
    opposite, count as 0."""

    name = "ssim"

    def prepare(self, image: Image.Image) -> Levels:
        return Levels(_square(image, self.scale))

    def slim(self, value: Levels) -> Levels:
        return Levels(value.grey)

    def similarity(self, one: Levels, other: Levels) -> float:
        if np.array_equal(one.grey, other.grey):
            return 1.0
        edge = WINDOW // 2  # where the window reaches over the border nothing is known
        return _bounded(float(ssim(one.local, other.local)[edge:-edge, edge:-edge].mean()))


# Sets of small patterns
# ----------------------------------------------------------------------------------------------------


class Patterns(_Sized):
    """MinHash over the patterns of 2 x 2 cells of a grid of ``scale`` cells a side, each pattern with its
    approximate place.

    A cell says in which quarter of the picture's own grey levels it lies, so brightness and contrast change
    little.
    """

    name = "minhash"

    def __init__(self, scale: int) -> None:
        super().__init__(scale)
        datasketch = load_extra("datasketch", "cluster")
        self._empty = datasketch.MinHash(num_perm=PERMUTATIONS, seed=MINHASH_SEED, scheme="affine32")

    def prepare(self, image: Image.Image) -> NDArray[np.uint64]:
        found = self._empty.copy()
        found.update_batch(patterns(_square(image, self.scale)))
        return np.asarray(found.hashvalues)

    def similarity(self, one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
        return int(np.count_nonzero(one == other)) / len(one)


def patterns(grey: Grey) -> list[bytes]:
    """Return the set of small patterns of a square grid of grey levels, in order."""
    quarters = np.quantile(grey, np.arange(1, _LEVELS) / _LEVELS)
    cells = np.searchsorted(quarters, grey, side="left").astype(np.int64)
    codes = ((cells[:-1, :-1] * _LEVELS + cells[:-1, 1:]) * _LEVELS + cells[1:, :-1]) * _LEVELS + cells[
        1:, 1:
    ]
    places = np.arange(len(codes)) // _PLACE
    tokens = (places[:, None] * len(grey) + places[None, :]) * _LEVELS**4 + codes
    return [int(token).to_bytes(4, "little") for token in np.unique(tokens)]


# Perceptual hashes
# ----------------------------------------------------------------------------------------------------


def _brighter_than_the_mean(image: Image.Image) -> NDArray[np.bool_]:
    """ahash: (8, 8), which cells of the picture are brighter than all are on average."""
    grey = np.asarray(image.convert("L").resize((8, 8), Image.Resampling.LANCZOS))
    brighter: NDArray[np.bool_] = grey > grey.mean()
    return brighter


def _brighter_than_the_left(image: Image.Image) -> NDArray[np.bool_]:
    """dhash: (8, 8), which cells of the picture are brighter than their neighbour to the left."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS))
    brighter: NDArray[np.bool_] = grey[:, 1:] > grey[:, :-1]
    return brighter


def _of_low_frequencies(image: Image.Image) -> NDArray[np.bool_]:
    """phash: 64 bits, as every indexed image has it in its payload."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(perceptual_hash(image)), np.uint8)).astype(np.bool_)


_OWN_HASHES: Mapping[str, Callable[[Image.Image], NDArray[np.bool_]]] = {
    "ahash": _brighter_than_the_mean,
    "dhash": _brighter_than_the_left,
    "phash": _of_low_frequencies,
}


class Hash(_Sized):
    """A perceptual hash, kept as a number of 64 bits; ``similarity`` is the share of equal ``bits``.

    ahash, dhash and phash are computed here, as ImageHash does; colorhash and whash are those of ImageHash,
    which comes with an extra (``MissingExtra``).
    """

    def __init__(self, name: str, scale: int) -> None:
        if name not in _OWN_HASHES:
            require_extra("imagehash", "cluster")
        super().__init__(scale)
        self.name = name
        self.bits = 42 if name == "colorhash" else 64
        # where there are fewer bits than 64, they are spread: pieces of the number then tell equally much
        self._places = [place * 64 // self.bits for place in range(self.bits)]

    def prepare(self, image: Image.Image) -> int:
        seen = image if self.scale == WHOLE else shrunk(image, self.scale)
        if self.name in _OWN_HASHES:
            bits = _OWN_HASHES[self.name](seen)
        else:
            with from_extra("cluster"):
                import imagehash

            of_library = {"colorhash": imagehash.colorhash, "whash": imagehash.whash}
            bits = of_library[self.name](seen).hash
        return sum(1 << place for place, bit in zip(self._places, bits.ravel().tolist(), strict=True) if bit)

    def similarity(self, one: int, other: int) -> float:
        return 1 - (one ^ other).bit_count() / self.bits


# Features and templates
# ----------------------------------------------------------------------------------------------------


class Features(_Sized):
    """Dice's share of the ORB features that are each other's nearest, and near: 2 m / (a + b) of a and b
    features.

    A picture without features is similar only to itself.
    """

    name = "orb"

    def prepare(self, image: Image.Image) -> tuple[NDArray[np.uint8], Grey]:
        grey = np.asarray(shrunk(image, self.scale).convert("L"))
        return orb_features(grey, FEATURES)[2], _square(image, 16)

    def similarity(self, one: tuple[NDArray[np.uint8], Grey], other: tuple[NDArray[np.uint8], Grey]) -> float:
        if np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1]):
            return 1.0
        if not len(one[0]) or not len(other[0]):
            return 0.0
        common = len(matched(one[0], other[0], _GOOD_BITS)[0])
        return 2 * common / (len(one[0]) + len(other[0]))


class Template(_Sized):
    """The middle of each picture, four fifths of it, is searched in the other; the better of the two best
    correlations counts.

    Pictures are stretched to one square. A plain picture is similar only to itself.
    """

    name = "template"

    def prepare(self, image: Image.Image) -> Grey:
        return _square(image, self.scale)

    def similarity(self, one: Grey, other: Grey) -> float:
        if np.array_equal(one, other):
            return 1.0
        return max(self._within(one, other), self._within(other, one))

    def _within(self, one: Grey, other: Grey) -> float:
        margin = max(1, round(_MARGIN * self.scale))
        middle = np.ascontiguousarray(one[margin:-margin, margin:-margin])
        if middle.min() == middle.max():
            return 0.0
        return _bounded(float(_correlations(other, middle).max(initial=0.0)))


# What they share
# ----------------------------------------------------------------------------------------------------


def _correlations(plane: Grey, part: Grey) -> NDArray[np.float64]:
    """Return the correlation of ``part`` with each place of ``plane`` that it fits in (Lewis, 1995): products
    by the Fourier transform, sums of squares from running sums. 0 where the plane is plain."""
    (height, width), (down, across) = plane.shape, part.shape
    zero_mean = part - part.mean()
    size = plane.shape  # the part never leaves the plane, so that nothing comes in from the other side
    spectrum = np.fft.rfft2(plane.astype(np.float64), size) * np.conj(np.fft.rfft2(zero_mean, size))
    products = np.fft.irfft2(spectrum, size)[: height - down + 1, : width - across + 1]
    sums, squares = (_window_sums(plane.astype(np.float64) ** power, part.shape) for power in (1, 2))
    energy = np.maximum(squares - sums * sums / part.size, 0) * np.square(zero_mean).sum()
    return np.where(energy > 1e-6 * part.size, products / np.sqrt(np.maximum(energy, 1e-9)), 0.0)


def _window_sums(values: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the sums over all windows of this size."""
    total = np.pad(values.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    down, across = size
    found: NDArray[np.float64] = (
        total[down:, across:] - total[:-down, across:] - total[down:, :-across] + total[:-down, :-across]
    )
    return found


def _square(image: Image.Image, side: int) -> Grey:
    """Return grey levels (side, side) of the stretched picture."""
    resampling = Image.Resampling.BOX if min(image.size) > 2 * side else Image.Resampling.BILINEAR
    return np.asarray(image.convert("L").resize((side, side), resampling))


def _bounded(similarity: float) -> float:
    return min(1.0, max(0.0, similarity))
