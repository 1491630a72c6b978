"""Edits that make a near-duplicate of a picture."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

EDITS: Final = ("crop", "recompress", "colour_shift", "resize")


@dataclass(frozen=True, eq=False)
class Edited:
    """A near-duplicate: its picture, the mask of its object, and the factor its quality fell by."""

    image: Image.Image
    mask: Image.Image
    quality: float


def edited(edit: str, image: Image.Image, mask: Image.Image, rng: np.random.Generator) -> Edited:
    """Apply one of `EDITS` to `image` (RGB); everyone would call the result the same picture."""
    width, height = image.size
    if edit == "crop":
        kept = rng.uniform(0.84, 0.93, 2)
        left, top = (rng.random(2) * (1 - kept) * (width, height)).astype(int)
        frame = (int(left), int(top), int(left + kept[0] * width), int(top + kept[1] * height))
        return Edited(image.crop(frame), mask.crop(frame), 1.0)
    if edit == "recompress":
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(22, 45)))
        return Edited(Image.open(buffer).convert("RGB"), mask, 0.75)
    if edit == "colour_shift":
        pixels = np.asarray(image, dtype=np.float32) * rng.uniform(0.9, 1.1, 3).astype(np.float32)
        shifted = np.clip(pixels + np.float32(rng.uniform(-10, 10)), 0, 255).astype(np.uint8)
        return Edited(Image.fromarray(shifted), mask, 1.0)
    if edit == "resize":
        side = round(width * float(rng.uniform(0.55, 0.8)))
        return Edited(image.resize((side, side), Image.Resampling.LANCZOS), mask.resize((side, side)), 0.85)
    raise ValueError(f"unknown edit {edit!r}; it is one of {', '.join(EDITS)}")
