"""Seeded files that cost what photographs cost: smooth areas, edges and grain, as JPEG."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = (500, 375)
LARGE = (4000, 3000)
"""12 megapixels."""


def photo(seed: int, size: tuple[int, int]) -> Image.Image:
    """An RGB picture of noise at several scales, with the spectrum of photographs (amplitude falls with
    frequency)."""
    random = np.random.default_rng(seed)
    width, height = size
    canvas = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((3, 90.0), (12, 40.0), (50, 20.0), (200, 10.0)):
        coarse = random.integers(0, 256, (max(1, cells * height // width), cells, 3), dtype=np.uint8)
        layer = Image.fromarray(coarse, "RGB").resize(size, Image.Resampling.BICUBIC)
        canvas += (np.asarray(layer, np.float32) - 128.0) * (weight / 128.0)
    grain = random.integers(-6, 7, (height, width, 1), dtype=np.int8)
    return Image.fromarray(np.clip(canvas + grain + 128.0, 0, 255).astype(np.uint8), "RGB")


def make_photos(folder: Path, count: int, size: tuple[int, int], *, painted: int = 32) -> list[Path]:
    """``count`` JPEG files that all differ in their bytes; those that are there already are kept.

    ``painted`` pictures are painted, which takes a while at 12 megapixels; the others repeat them with a
    number in the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:06}.jpg" for number in range(count)]
    if all(path.exists() for path in paths):
        return paths
    bases: list[bytes] = []
    for number, path in enumerate(paths):
        if len(bases) < min(painted, count):
            bases.append(_jpeg(photo(number, size)))
        if not path.exists():
            path.write_bytes(numbered(bases[number % len(bases)], number))
    return paths


def numbered(jpeg: bytes, number: int) -> bytes:
    """The same picture with a comment segment behind the start mark: other bytes, other identity."""
    comment = f"picture {number}".encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
