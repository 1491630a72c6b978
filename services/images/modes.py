"""Every pixel layout that Pillow can decode, brought to 8-bit RGB without losing what the picture shows.

Pillow's own ``convert("RGB")`` clips 16-bit grey to white and floats to black or white, and uncovers the
hidden colour under transparent pixels. The rules here, one a layout:

- transparency (alpha, a transparent palette entry, a PNG colour key) is composited on white;
- 16-bit grey of PNG and PNM: 65535 is white, as those formats say;
- 16-bit grey of TIFF: many cameras store 10, 12 or 14 bits in 16, so white is the smallest of 255, 1023,
  4095, 16383 and 65535 that holds the brightest pixel;
- 32-bit integers within 0..65535 are read as 16 bits; others are stretched from their minimum to their
  maximum;
- floats within 0..1 are read so; others are stretched likewise; a flat picture outside its range becomes
  middle grey, and values that are not finite count as the minimum;
- CMYK, YCbCr, HSV and LAB are converted, LAB through a colour transform (D50 to sRGB).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_DEPTHS = (255, 1023, 4095, 16383, 65535)
_DEFINED_WHITE = ("PNG", "PPM")
_TIFF_PHOTOMETRIC = 262


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the picture in mode RGB, same size. ``image`` is loaded; its ``format`` and ``info`` decide the
    ambiguous layouts.

    Raises ValueError for a mode without a rule.
    """
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        return _on_white(image)
    if mode.startswith("I;16"):
        return _grey(_sixteen_bit(np.asarray(image).astype(np.uint16, copy=False), image))
    if mode == "I":
        return _grey(_integers(np.asarray(image), image))
    if mode == "F":
        return _grey(_floats(np.asarray(image)))
    if mode == "LAB":
        return _from_lab(image)
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "I;16N"):
        return _keyed_sixteen_bit(image)
    straight = image.convert("LA") if image.mode == "La" else image
    key = straight.info.get("transparency")
    if straight.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        straight = straight.copy()  # a 16-bit PNG: its pixels were decoded to 8 bits, its key was not
        straight.info["transparency"] = tuple(value >> 8 for value in key)
    rgba = straight if straight.mode == "RGBA" else straight.convert("RGBA")
    alpha = rgba.getchannel("A")
    canvas = Image.new("RGB", rgba.size, (255, 255, 255))
    canvas.paste(rgba.convert("RGB"), mask=alpha)
    return canvas


def _keyed_sixteen_bit(image: Image.Image) -> Image.Image:
    """Convert 16-bit grey with a transparent value (PNG tRNS): compared before the scaling, which would merge
    257 values."""
    values = np.asarray(image).astype(np.int64)
    grey = _sixteen_bit(values, image)
    key = image.info.get("transparency")
    return _grey(np.where(values == key, np.uint8(255), grey) if isinstance(key, int) else grey)


def _sixteen_bit(values: NDArray[np.integer], image: Image.Image) -> NDArray[np.uint8]:
    white = 65535 if image.format in _DEFINED_WHITE else _white_of(int(values.max(initial=0)))
    scaled = (values.astype(np.uint32) * 255 + white // 2) // white
    grey = np.minimum(scaled, 255).astype(np.uint8)
    tags = getattr(image, "tag_v2", None)
    white_is_zero = tags is not None and tags.get(_TIFF_PHOTOMETRIC) == 0
    return np.asarray(255 - grey, np.uint8) if white_is_zero else grey


def _white_of(brightest: int) -> int:
    return next(depth for depth in _DEPTHS if depth >= min(brightest, _DEPTHS[-1]))


def _integers(values: NDArray[np.integer], image: Image.Image) -> NDArray[np.uint8]:
    if values.size and values.min() >= 0 and values.max() <= 65535:
        return _sixteen_bit(values, image)
    return _stretched(values.astype(np.float64))


def _floats(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    finite = np.isfinite(values)
    if not finite.all():
        values = np.where(finite, values, values[finite].min() if finite.any() else 0.0)
    if values.size and values.min() >= 0.0 and values.max() <= 1.0:
        return (values * 255.0 + 0.5).astype(np.uint8)
    return _stretched(values.astype(np.float64))


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    if not high > low:
        return np.full(values.shape, 128, np.uint8)
    return ((values - low) * (255.0 / (high - low)) + 0.5).astype(np.uint8)


def _grey(values: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(values).convert("RGB")


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, _lab_to_srgb())
    if converted is None:
        raise ValueError("the LAB transform gave no picture")
    return converted


@functools.cache
def _lab_to_srgb():  # type: ignore[no-untyped-def]  # the return type lives in a lazily imported module
    from PIL import ImageCms

    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
