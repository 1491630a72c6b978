"""Rule out pairs of pictures by a few ORB features of each, in a tenth of a millisecond a pair.

Copies show the same corners at nearly the same places; most pictures with similar embeddings do not. A
feature counts if its best match lies near the same place, points the same way and has the same colour around
it, and one map takes those that count to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.indexer.enrich.duplicates.compare.colour import chroma, is_grey
from vitrine.indexer.enrich.duplicates.compare.features import matched, nearest_rows, orb_features
from vitrine.indexer.enrich.duplicates.compare.maps import affine_inliers
from vitrine.indexer.enrich.duplicates.compare.prepared_picture import shrunk

SIDE = 192
"""Longest side in pixels at which features are looked for."""
_FEATURES = 64
_TELLING = 24
"""With fewer features a picture is too plain to be ruled out by them."""
AGREEING = 10
"""Pictures are worth a closer look if this many features agree. On the train half of
benchmarks/copies/duplicates.py 1 in 1,000 pairs of copies have fewer, or they do not fit together, and 94 in
100 other pairs that were proposed."""
_COLOURED = 48
_TURNS = ("", "turn-90", "turn-180", "turn-270", "flip", "transpose", "flip-180", "transverse")
"""None, one, two and three quarters to the left; then the same of the mirror image."""
_FITTING, _OFF, _ROUNDS = 0.4, 0.012, 60
"""The least share of all matching features that fit together, within this share of the picture's sides;
samples that are tried."""
_BITS, _DEGREES, _AWAY, _COLOUR = 58, 15.0, 0.15, 0.08


@dataclass(frozen=True, eq=False)
class Sketch:
    """Features of one picture.

    ``points`` (k, 2): x and y as shares of width and height; ``angles`` (k,) in degrees, clockwise;
    ``colours`` (k, 2): chromaticity; ``descriptors`` (k, 32). ``grey``: it has no colours. ``mirrored``: the
    features of its mirror image, if flips are looked for.
    """

    points: NDArray[np.float16]
    angles: NDArray[np.float16]
    colours: NDArray[np.float16]
    descriptors: NDArray[np.uint8]
    grey: bool
    mirrored: Sketch | None = None


def sketch(image: Image.Image, *, flips: bool = False) -> Sketch:
    """Compute the features of an upright RGB picture."""
    small = shrunk(image, SIDE)
    mirrored = _of(small.transpose(Image.Transpose.FLIP_LEFT_RIGHT), None) if flips else None
    return _of(small, mirrored)


def likely_turn(one: Sketch, other: Sketch) -> str | None:
    """Return how ``other`` may be turned in ``one``, one of ``prepared_picture.TURNS``; None if it is another
    picture.

    "" also where there are too few features to decide. Mirrored and turned ones are looked for if the
    sketches were made for it.
    """
    if min(len(one.points), len(other.points)) < _TELLING:
        return ""
    if other.mirrored is None:
        return "" if _agreeing(one, other, (0,))[0] >= AGREEING else None
    counts = _agreeing(one, other, (0, 1, 2, 3)) + _agreeing(one, other.mirrored, (0, 1, 2, 3))
    best = int(np.argmax(counts))
    return _TURNS[best] if counts[best] >= AGREEING else None


def likely_turns(one: Sketch, others: Sequence[Sketch]) -> list[str | None]:
    """Return ``likely_turn`` for each of the others, several times as fast: most are ruled out at once.

    Features that match in both directions are among those that match in one direction only.
    """
    if one.mirrored is not None or len(one.points) < _TELLING:
        return [likely_turn(one, other) for other in others]
    owner = np.repeat(np.arange(len(others)), [len(other.points) for other in others])
    apart, nearest = nearest_rows(np.concatenate([other.descriptors for other in others]), one.descriptors)
    rows = np.flatnonzero(apart <= _BITS)
    near, owner = nearest[rows], owner[rows]
    grey = np.array([one.grey or other.grey for other in others])[owner]
    colours, points, angles = (
        np.concatenate([getattr(other, name) for other in others])[rows].astype(np.float32)
        for name in ("colours", "points", "angles")
    )
    agree = grey | (np.abs(one.colours[near] - colours).sum(axis=1) <= _COLOUR)
    agree &= np.abs(one.points[near] - points).max(axis=1, initial=0) <= _AWAY
    agree &= np.abs((one.angles[near] - angles + 180) % 360 - 180) <= _DEGREES
    counts = np.bincount(owner[agree], minlength=len(others)).tolist()
    return [
        likely_turn(one, other) if count >= AGREEING or len(other.points) < _TELLING else None
        for other, count in zip(others, counts, strict=True)
    ]


def _of(small: Image.Image, mirrored: Sketch | None) -> Sketch:
    points, angles, descriptors = orb_features(np.asarray(small.convert("L")), _FEATURES)
    shares = (points + 0.5) / np.array(small.size, np.float32)
    if min(small.size) >= _COLOURED:  # much quicker by whole pixels, and no finer colours are compared
        small = small.resize((_COLOURED, _COLOURED), Image.Resampling.BOX)
    colours = chroma(np.asarray(small), _COLOURED)
    x, y = np.clip((shares * _COLOURED).astype(np.int64), 0, _COLOURED - 1).T
    half = np.float16
    return Sketch(
        shares.astype(half),
        angles.astype(half),
        colours[y, x].astype(half),
        descriptors,
        is_grey(colours),
        mirrored,
    )


def _agreeing(one: Sketch, other: Sketch, quarters: tuple[int, ...]) -> list[int]:
    """Count the features that agree once ``other`` is turned to the left by so many quarters; 0 for fewer
    than ``AGREEING``."""
    if not len(one.points) or not len(other.points):
        return [0 for _ in quarters]
    mine, theirs = matched(one.descriptors, other.descriptors, _BITS, AGREEING)
    count = len(mine)
    if not (one.grey or other.grey):
        alike = np.abs(one.colours[mine] - other.colours[theirs]).sum(axis=1) <= _COLOUR
        mine, theirs = mine[alike], theirs[alike]
    if len(mine) < AGREEING:
        return [0 for _ in quarters]
    points, angles = other.points[theirs], one.angles[mine] - other.angles[theirs].astype(np.float32)
    counts = []
    for quarter in quarters:
        lying = _turned(points, quarter)
        agree = np.abs((angles + 90 * quarter + 180) % 360 - 180) <= _DEGREES
        agree &= np.abs(one.points[mine] - lying).max(axis=1) <= _AWAY
        number = int(agree.sum())
        counts.append(
            number
            if number >= AGREEING
            and affine_inliers(lying[agree], one.points[mine[agree]], _OFF, _ROUNDS) >= _FITTING * count
            else 0
        )
    return counts


def _turned(points: NDArray[np.float16], quarters: int) -> NDArray[np.float16]:
    for _ in range(quarters):
        points = np.stack([points[:, 1], 1 - points[:, 0]], axis=1)
    return points
