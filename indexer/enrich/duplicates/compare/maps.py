"""Maps between two pictures: found by matching points (RANSAC; Fischler and Bolles, 1981), or by correlation
(ECC; Evangelidis and Psarakis, 2008), and pictures warped by them.

A map is a matrix (3, 3) that takes x, y, 1 of a pixel's centre in one picture to the other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.indexer.enrich.duplicates.compare.filters import gaussian_matrix

Map = NDArray[np.float64]
Points = NDArray[Any]
"""(n, 2): x and y."""
Fitted = tuple[Map, NDArray[np.bool_]]
"""A map, and which points it takes to where they belong."""
_SEED = 4
"""The same points give the same map."""
_REFITS = 3
_TINY = 1e-9
_FROM_CENTRES = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
_TO_CENTRES = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
"""Pillow counts from the corners of pixels."""
_NEXT, _AFTER = [1, 2, 0], [2, 0, 1]
_BLUR, _BLUR_SIDE = 1.1, 5
"""What two pictures are blurred by before they are laid on each other by correlation."""


def homography(points: Points, others: Points, off: float, rounds: int) -> Fitted | None:
    """Return the map that takes most of ``points`` to within ``off`` of ``others``, and which; None if no
    four of them give one."""
    source, target = _homogeneous(points), _homogeneous(others)
    taken = _samples(len(points), 4, rounds)
    first, first_areas = _bases(source[taken])
    second, second_areas = _bases(target[taken])
    # four points in general position, whose triangles lie the same way round in both
    usable = ((first_areas * second_areas) > _TINY).all(axis=1)
    if not usable.any():
        return None
    maps = second[usable] @ _adjugates(first[usable])
    kept = _within(maps, source, others, off)
    best = int(kept.sum(axis=1).argmax())
    found, inliers = maps[best], kept[best]
    for _ in range(_REFITS):  # to all that fit, as long as more do (LO-RANSAC; Chum et al., 2003)
        if inliers.sum() < 4:
            break
        refined = _least_squares(points[inliers], others[inliers])
        fitting = _within(refined[None], source, others, off)[0]
        if fitting.sum() < inliers.sum():
            break
        done = bool((fitting == inliers).all())
        found, inliers = refined, fitting
        if done:
            break
    return (found / found[2, 2], inliers) if abs(found[2, 2]) > _TINY else None


def affine_inliers(points: Points, others: Points, off: float, rounds: int) -> int:
    """Count the points that the best affine map takes to within ``off`` of the others."""
    source, target = _homogeneous(points), _homogeneous(others)
    taken = _samples(len(points), 3, rounds)
    first = source[taken].transpose(0, 2, 1)
    inverse = _adjugates(first)
    area = np.einsum("ni,ni->n", first[:, 0], inverse[:, :, 0])
    usable = np.abs(area) > _TINY
    if not usable.any():
        return 0
    maps = target[taken].transpose(0, 2, 1)[usable] @ inverse[usable] / area[usable, None, None]
    return int(_within(maps, source, others, off).sum(axis=1).max())


def aligned(one: NDArray[np.uint8], other: NDArray[np.uint8], start: Map, rounds: int) -> Map | None:
    """Return the affine map from ``one`` to ``other``, of the same size, under which they correlate most;
    None if it does not converge.

    The gradients are those of ``one``, computed once, and each step is undone on the map (inverse
    compositional; Baker and Matthews, 2004).
    """
    height, width = one.shape
    down, across = (gaussian_matrix(size, _BLUR, _BLUR_SIDE, "reflect") for size in one.shape)
    template, seen = (down @ each.astype(np.float32) @ across.T for each in (one, other))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32).reshape(2, -1)
    x, y = x - (width - 1) / 2, y - (height - 1) / 2
    middle = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    slope_y, slope_x = (slope.ravel() for slope in np.gradient(template))
    slopes = np.stack([slope_x * x, slope_y * x, slope_x * y, slope_y * y, slope_x, slope_y])
    image, found, before = Image.fromarray(seen), start, -2.0
    shown_everywhere = Image.new("L", (width, height), 255)
    for _ in range(rounds):
        shown = np.asarray(warped(shown_everywhere, found, Image.Resampling.NEAREST)).ravel() > 0
        count = int(shown.sum())
        if count < 36:
            return None
        moved = np.asarray(warped(image, found, Image.Resampling.BILINEAR)).ravel()
        mine, theirs = template.ravel() * shown, moved * shown
        mine = (mine - mine.sum() / count) * shown
        theirs = (theirs - theirs.sum() / count) * shown
        masked = slopes * shown
        square = (masked @ masked.T).astype(np.float64)
        my_part, their_part = (masked @ mine).astype(np.float64), (masked @ theirs).astype(np.float64)
        common, energy = float(mine @ theirs), float(mine @ mine)
        correlation = common / max(np.sqrt(energy * float(theirs @ theirs)), _TINY)
        if abs(correlation - before) < 1e-4:
            return found
        before = correlation
        try:
            solved = np.linalg.solve(square, np.stack([my_part, their_part], axis=1))
        except np.linalg.LinAlgError:
            return None
        left = common - float(their_part @ solved[:, 0])
        if left <= 0:  # another picture
            return None
        gain = (energy - float(my_part @ solved[:, 0])) / left
        step = gain * solved[:, 1] - solved[:, 0]
        moves = np.array([[1 + step[0], step[2], step[4]], [step[1], 1 + step[3], step[5]], [0, 0, 1]])
        if abs(np.linalg.det(moves)) < 1e-3:
            return None
        found = found @ middle @ np.linalg.inv(moves) @ np.linalg.inv(middle)
        if not 0.01 < np.linalg.det(found) < 100:  # squeezed to nothing
            return None
    return found


def warped(image: Image.Image, back: Map, resampling: Image.Resampling) -> Image.Image:
    """Return a picture of the same size, at each of whose pixels there is what the map ``back`` leads to in
    ``image``; 0 outside."""
    corner = _FROM_CENTRES @ back @ _TO_CENTRES
    corner = corner / corner[2, 2]
    data = corner.ravel()[:8].tolist()
    if not (corner[2, :2] != 0).any():
        return image.transform(image.size, Image.Transform.AFFINE, data[:6], resampling)
    return image.transform(image.size, Image.Transform.PERSPECTIVE, data, resampling)


def _homogeneous(points: Points) -> Map:
    found = np.ones((len(points), 3))
    found[:, :2] = points
    return found


@lru_cache(maxsize=512)
def _samples(count: int, size: int, rounds: int) -> NDArray[np.int64]:
    """Draw ``size`` different ones of ``count``, so many times."""
    drawn = np.random.default_rng(_SEED).random((rounds, count))
    return np.argpartition(drawn, size - 1, axis=1)[:, :size]


def _bases(four: Map) -> tuple[Map, Map]:
    """Return the matrices (n, 3, 3) that take the corners of the projective frame to four points each (n, 4,
    3), up to their scale, and the signed areas (n, 4) of the triangles of three of them."""
    one, two, three, last = (four[:, place] for place in range(4))

    def area(a: Map, b: Map, c: Map) -> Map:
        return np.asarray((_cross(a, b) * c).sum(axis=1))

    weights = np.stack([area(last, two, three), area(one, last, three), area(one, two, last)], axis=1)
    areas = np.column_stack([weights, area(one, two, three)])
    return four[:, :3].transpose(0, 2, 1) * weights[:, None, :], areas


def _adjugates(matrices: Map) -> Map:
    """Return the inverses (n, 3, 3) times the determinants."""
    one, two, three = (matrices[:, :, place] for place in range(3))
    return np.stack([_cross(two, three), _cross(three, one), _cross(one, two)], axis=1)


def _cross(one: Map, other: Map) -> Map:
    """Return the cross products of rows (n, 3); ``numpy.cross`` takes ten times as long for few."""
    return one[:, _NEXT] * other[:, _AFTER] - one[:, _AFTER] * other[:, _NEXT]


def _within(maps: Map, source: Map, others: Points, off: float) -> NDArray[np.bool_]:
    """Return which points each of the maps takes to within ``off`` of the others, (maps, points)."""
    led = maps @ source.T
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = led[:, :2] / led[:, 2:] - others.T
        found: NDArray[np.bool_] = np.square(apart).sum(axis=1) <= off * off
    return found


def _least_squares(points: Points, others: Points) -> Map:
    """Return the homography that fits pairs of points best, by normalised direct linear transformation
    (Hartley, 1997)."""
    first, second = _normal(points), _normal(others)
    source, target = _homogeneous(points) @ first.T, _homogeneous(others) @ second.T
    x, y = target[:, :1], target[:, 1:2]
    nothing = np.zeros_like(source)
    across, down = [source, nothing, -x * source], [nothing, source, -y * source]
    rows = np.concatenate([np.hstack(across), np.hstack(down)])
    found = np.linalg.eigh(rows.T @ rows)[1][:, 0].reshape(3, 3)
    return np.asarray(np.linalg.inv(second) @ found @ first)


def _normal(points: Points) -> Map:
    """Return the map that moves points to a mean of 0 and a mean distance of about 1."""
    middle = points.mean(axis=0)
    scale = 1 / max(float(np.abs(points - middle).mean()), _TINY)
    return np.array([[scale, 0, -scale * middle[0]], [0, scale, -scale * middle[1]], [0, 0, 1]])
