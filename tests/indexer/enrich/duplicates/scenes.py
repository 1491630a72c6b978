"""Pictures with structure at several scales, as photographs have."""

from __future__ import annotations

import numpy as np
from PIL import Image


def scene(seed: int, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """RGB, (width, height) pixels; another seed, another picture."""
    random = np.random.default_rng(seed)
    canvas = np.zeros((size[1], size[0], 3), np.float32)
    for cells, weight in ((3, 90.0), (9, 50.0), (30, 30.0)):
        coarse = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        canvas += (np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.float32) - 128) * weight / 128
    return Image.fromarray(np.clip(canvas + 128, 0, 255).astype(np.uint8))
