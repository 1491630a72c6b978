"""Seeded files that cost what photographs cost: smooth areas, edges and grain, as JPEG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = (500, 375)
LARGE = (4000, 3000)
"""12 megapixels."""


def photo(seed: int, size: tuple[int, int]) -> Image.Image:
    """An RGB picture of noise at several scales, with the spectrum of photographs (amplitude falls with frequency)."""
    random = np.random.default_rng(seed)
    width, height = size
    canvas = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((3, 90.0), (12, 40.0), (50, 20.0), (200, 10.0)):
        coarse = random.integers(0, 256, (max(1, cells * height // width), cells, 3), dtype=np.uint8)
        layer = Image.fromarray(coarse, "RGB").resize(size, Image.Resampling.BICUBIC)
        canvas += (np.asarray(layer, np.float32) - 128.0) * (weight / 128.0)
    grain = random.integers(-6, 7, (height, width, 1), dtype=np.int8)
    return Image.fromarray(np.clip(canvas + grain + 128.0, 0, 255).astype(np.uint8), "RGB")


def make_photos(folder: Path, count: int, size: tuple[int, int], *, seed: int = 0) -> list[Path]:
    """``count`` JPEG files that all differ; those that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    return list(_made(folder, count, size, seed))


def _made(folder: Path, count: int, size: tuple[int, int], seed: int) -> Iterator[Path]:
    for number in range(count):
        path = folder / f"{number:06}.jpg"
        if not path.exists():
            # a large picture takes a second to paint: few are painted, the others differ by a turn and a comment
            base = photo(seed + number % 16, size) if max(size) > 1000 else photo(seed + number, size)
            partial = path.with_suffix(".part")
            base.save(partial, "JPEG", quality=88, comment=f"picture {number}".encode())
            partial.rename(path)
        yield path
