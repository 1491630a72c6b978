"""Seeded edits of photographs that leave them the same picture, for benchmarks/copies/duplicates.py."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

QUALITY = 90
"""JPEG quality in which edits are saved, but for the one that is about it."""
_LOW_QUALITY = 30
_CROPPED = 0.10
_BORDER = 0.05


def _half(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


def _crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A tenth of the width and of the height goes, from one side or both."""
    width, height = round(image.width * (1 - _CROPPED)), round(image.height * (1 - _CROPPED))
    left, top = int(rng.integers(0, image.width - width + 1)), int(rng.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def _brightness(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    change = float(rng.uniform(0.15, 0.35))
    return ImageEnhance.Brightness(image).enhance(1 + change if rng.random() < 0.5 else 1 - change)


def _blur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(min(image.size) * float(rng.uniform(0.004, 0.008))))


def _text(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A line of words in a corner, some 4 % of the picture high."""
    marked = image.copy()
    size = max(10, image.height // 25)
    corner = (int(rng.uniform(0.03, 0.4) * image.width), int(rng.choice([0.04, 0.9]) * image.height))
    colour = (255, 255, 255) if rng.random() < 0.5 else (200, 30, 30)
    ImageDraw.Draw(marked).text(
        corner, f"shop no. {int(rng.integers(100, 999))}", colour, ImageFont.load_default(size)
    )
    return marked


def _border(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    colour = (255, 255, 255) if rng.random() < 0.5 else (0, 0, 0)
    return ImageOps.expand(image, round(_BORDER * min(image.size)), colour)


def _flip(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(image)


def _turn(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A quarter to the left or to the right."""
    return image.transpose(Image.Transpose.ROTATE_90 if rng.random() < 0.5 else Image.Transpose.ROTATE_270)


EDITS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "jpeg30": lambda image, rng: image,
    "half": _half,
    "crop": _crop,
    "brightness": _brightness,
    "blur": _blur,
    "text": _text,
    "border": _border,
    "flip": _flip,
    "turn": _turn,
}
LAID = ("flip", "turn")
"""Those that only a search with flips is to find."""


def edit(name: str, photo: Path) -> bytes:
    """The photo after one of ``EDITS``, as JPEG; the same each time."""
    with Image.open(photo) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    rng = np.random.default_rng(crc32(f"{name} {photo.name}".encode()))
    buffer = io.BytesIO()
    EDITS[name](image, rng).save(buffer, "JPEG", quality=_LOW_QUALITY if name == "jpeg30" else QUALITY)
    return buffer.getvalue()


def make_edited(photos: list[Path], edited: int, folder: Path) -> None:
    """Copy the photos to ``<stem>__original.jpg`` and edit the first of them to ``<stem>__<edit>.jpg``;
    again: nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(photos):
        _write(folder / f"{photo.stem}__original.jpg", photo.read_bytes)
        for name in EDITS if number < edited else ():
            _write(folder / f"{photo.stem}__{name}.jpg", lambda name=name, photo=photo: edit(name, photo))


def _write(path: Path, make: Callable[[], bytes]) -> None:
    if not path.exists():
        path.write_bytes(make())
