"""The perceptual hash against ImageHash's, and where bits would be the signs of rounding errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrine.data.pictures import draw_pictures
from vitrine.services.images.perceptual_hash import perceptual_hash

CLOTHING = Path(os.environ.get("VITRINE_DATASETS", "datasets")) / "clothing"
RANDOM = np.random.default_rng(5)
SIZES = [(1, 1), (20, 90), (32, 32), (96, 64), (191, 300), (192, 192), (500, 375), (1600, 1200)]


def noise() -> Iterator[Image.Image]:
    for width, height in SIZES:
        yield Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), np.uint8))
        coarse = Image.fromarray(RANDOM.integers(0, 256, (9, 12, 3), np.uint8))
        yield coarse.resize((width, height), Image.Resampling.BICUBIC)


def symmetric() -> Iterator[Image.Image]:
    """Pictures of whose frequencies many are exactly zero."""
    for _ in range(20):
        flat = np.full((40, 40), RANDOM.integers(256))
        column, quarter = RANDOM.integers(0, 256, (32, 1)), RANDOM.integers(0, 256, (16, 16))
        halves = np.concatenate([quarter, quarter[::-1]])
        for pixels in (
            flat,
            column.repeat(32, 1),
            column.T.repeat(32, 0),
            np.hstack([halves, halves[:, ::-1]]),
        ):
            yield Image.fromarray(pixels.astype(np.uint8))


def drawn() -> Iterator[Image.Image]:
    yield from (picture.image for picture in draw_pictures(60, seed=4))


def photos() -> Iterator[Image.Image]:
    paths = sorted(CLOTHING.rglob("*.jpg"))
    if not paths:
        pytest.skip("needs the photos of clothes below VITRINE_DATASETS (docs/operations.md)")
    for path in islice(paths, 0, None, max(1, len(paths) // 100)):
        with Image.open(path) as file:
            yield file.convert("RGB")


@pytest.mark.parametrize("pictures", [noise, symmetric, drawn, photos])
def test_the_bits_are_imagehashes(pictures: Callable[[], Iterator[Image.Image]]) -> None:
    imagehash = pytest.importorskip("imagehash")
    for image in pictures():
        factor = min(image.size) // 96
        grey = image.convert("L")
        expected = imagehash.phash(grey.reduce(factor) if factor > 1 else grey)
        assert perceptual_hash(image) == str(expected), image.size


def test_averaging_down_first_moves_few_bits() -> None:
    imagehash = pytest.importorskip("imagehash")
    for image in drawn():
        large = image.resize((500, 375), Image.Resampling.BICUBIC)
        assert imagehash.hex_to_hash(perceptual_hash(large)) - imagehash.phash(large) <= 4


def test_frozen_bits() -> None:
    """Hashes are stored: a new version must give those of the old one."""
    ramp = (np.add.outer(np.arange(64) ** 2, 37 * np.arange(48)) % 251).astype(np.uint8)
    assert perceptual_hash(Image.new("RGB", (50, 50), "red")) == "8000000000000000"
    assert perceptual_hash(Image.fromarray(ramp)) == "ea0abaa8baaa4ba9"
