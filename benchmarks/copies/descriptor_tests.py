"""Choose the 256 tests of a descriptor (indexer/enrich/duplicates/compare/pattern.py) and print their table.

Pairs of places are drawn with a standard deviation of a fifth of the patch, as for BRIEF (Calonder et al.,
2010), and tried at corners of clothing photos and drawings. Of those that come out either way in 30 to 70 of
100 cases the ones are kept, the most even first, that correlate by less than a bound with every one kept
before (ORB, section 4.3; Rublee et al., 2011); the bound rises until there are enough.

The table in use was chosen in this way with corners that were sought a little differently: what is printed
is another choice, under which the pairs that were tried are judged alike.

    VITRINE_DATASETS=datasets python -m benchmarks.copies.descriptor_tests
"""

from __future__ import annotations

import argparse
import random
import textwrap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.datasets import dataset
from vitrine.indexer.enrich.duplicates.compare.corners import PATCH, corners
from vitrine.indexer.enrich.duplicates.compare.features import directions, summed
from vitrine.indexer.enrich.duplicates.compare.pattern import TESTS
from vitrine.indexer.enrich.duplicates.compare.prepared_picture import SIDE, shrunk

_DRAWN, _REACH, _APART = 9_000, 13, 2
"""Pairs, pixels at most from the corner, pixels at least between both places of a test."""
_CORNERS, _EVEN = 60, 0.2
_PHOTOS, _DRAWINGS = 70, 15
_BOUNDS = np.arange(0.14, 0.6, 0.02)
_BASE = "0123456789abcdefghijklmnopqrstuv"


def drawn_pairs() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y of both places of some tests, in pixels from the corner, (n, 2) each."""
    chance = np.random.default_rng(4)

    def places() -> NDArray[np.float64]:
        found = chance.normal(0, PATCH / 5, (4 * _DRAWN, 2))
        near: NDArray[np.float64] = found[np.hypot(*found.T) <= _REACH][:_DRAWN]
        return near

    one, other = places(), places()
    kept = np.hypot(*(one - other).T) >= _APART
    return one[kept], other[kept]


def pictures() -> list[NDArray[np.uint8]]:
    """Return grey pictures on white, (height, width): photos, then drawings."""
    photos = sorted((dataset("clothing") / "train").rglob("*.jpg"))
    drawings = sorted((dataset("emoji") / "png").glob("*.png"))
    for paths in (photos, drawings):
        random.Random(77).shuffle(paths)
    return [_grey(path) for path in photos[:_PHOTOS] + drawings[:_DRAWINGS]]


def _grey(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as opened:
        image = opened.convert("RGBA")
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    return np.asarray(shrunk(ground.convert("RGB"), SIDE).convert("L"))


def tried(grey: NDArray[np.uint8], one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return what each test says at each of some corners, (corners, tests)."""
    found = corners(grey, _CORNERS)
    if not len(found.x):
        return np.empty((0, len(one)), bool)
    turned = np.radians(directions(found))[:, None]
    levels, width = summed(found.stack).ravel(), found.stack.shape[1]

    def seen(places: NDArray[np.float64]) -> NDArray[np.uint16]:
        x = np.rint(np.cos(turned) * places[:, 0] - np.sin(turned) * places[:, 1]).astype(int)
        y = np.rint(np.sin(turned) * places[:, 0] + np.cos(turned) * places[:, 1]).astype(int)
        return np.asarray(levels[(found.y[:, None] + y) * width + found.x[:, None] + x])

    return np.asarray(seen(one) < seen(other))


def chosen(came_out: NDArray[np.bool_]) -> list[int]:
    """Return the columns of the tests that are kept. ``came_out`` (corners, tests): what each said."""
    share = came_out.mean(axis=0)
    even = np.flatnonzero(np.abs(share - 0.5) < _EVEN)
    said = came_out[:, even].astype(np.float32)
    said = (said - said.mean(axis=0)) / (np.maximum(said.std(axis=0), 1e-3) * np.sqrt(len(said)))
    alike = np.abs(said.T @ said)
    order = np.argsort(np.abs(share[even] - 0.5))
    for bound in _BOUNDS:
        kept: list[int] = []
        free = np.ones(len(even), bool)
        for test in order:
            if free[test] and len(kept) < TESTS:
                kept.append(int(test))
                free &= alike[test] < bound
        if len(kept) == TESTS:
            print(f"{len(came_out)} corners, {len(share)} tests, {len(even)} even, correlating < {bound:.2f}")
            return [int(even[test]) for test in kept]
    raise SystemExit("There are too few tests that differ: draw more of them.")


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    one, other = drawn_pairs()
    seen = [tried(grey, one, other) for grey in pictures() if min(grey.shape) >= PATCH + 9]
    kept = chosen(np.concatenate(seen))
    numbers = np.rint(np.stack([one[kept], other[kept]], axis=1)).astype(int).ravel() + 16
    print(*textwrap.wrap("".join(_BASE[number] for number in numbers), 96), sep="\n")


if __name__ == "__main__":
    main()
