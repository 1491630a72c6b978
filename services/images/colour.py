"""Embedded colour profiles: what a picture's numbers mean, converted to sRGB, which encoders and screens
expect.

A profile that fits the picture's layout is applied (RGB, grey or CMYK), with perceptual intent, as Pillow
does by default. A damaged profile, or one of another layout than the picture, is ignored, as browsers do: the
picture is read as sRGB. Hints that are no profile (PNG's gAMA and cHRM, EXIF's ColorSpace) are not followed.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

_MAX_PROFILE_BYTES = 4 << 20
_CACHED_PROFILES = 16
_ROUNDING = 1
"""Levels of 255: a profile that moves no colour by more than this is sRGB itself, under one of its many
names."""


def is_converted_from_cmyk(file: Image.Image) -> bool:
    """Return whether ``file`` has a CMYK profile that applies to it, so that its four channels must be kept
    for ``to_srgb``."""
    return file.mode == "CMYK" and _transform_of(file, "CMYK") is not None


def to_srgb(picture: Image.Image, file: Image.Image) -> Image.Image:
    """Return the picture in sRGB, mode RGB, by the profile embedded in ``file``; unchanged where there is
    nothing to convert.

    ``picture`` is RGB, made from ``file`` (perhaps smaller), or CMYK where ``is_converted_from_cmyk``.
    """
    if picture.mode == "CMYK":
        return _applied(picture, _transform_of(file, "CMYK"))
    if file.mode in ("1", "L", "LA", "La") or file.mode.startswith("I"):
        return _applied(picture, _transform_of(file, "L"), channel=0)
    return picture if file.mode in ("CMYK", "LAB", "F") else _applied(picture, _transform_of(file, "RGB"))


def _applied(
    picture: Image.Image, transform: ImageCmsTransform | None, *, channel: int | None = None
) -> Image.Image:
    if transform is None:
        return picture
    converted = transform.apply(picture if channel is None else picture.getchannel(channel))
    converted.info.pop("icc_profile", None)
    return converted


def _transform_of(file: Image.Image, mode: str) -> ImageCmsTransform | None:
    """Return the transform of the profile in ``file`` from ``mode`` to sRGB; None if there is none, or none
    is needed."""
    profile = file.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 128 < len(profile) <= _MAX_PROFILE_BYTES:
        return None
    return _transform(profile, mode)


@functools.lru_cache(maxsize=_CACHED_PROFILES)
def _transform(profile: bytes, mode: str) -> ImageCmsTransform | None:
    """Return the transform of a colour profile, cached: reading one takes about a millisecond, and the
    pictures of a collection share a few of them."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # a transform of another layout than the profile's is refused here
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None
    return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform


def _changes_nothing(transform: ImageCmsTransform, mode: str) -> bool:
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    if mode == "L":
        colours = levels[:, None].repeat(3, axis=1)
    else:
        colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    patch = Image.fromarray(colours[None])
    after = np.asarray(transform.apply(patch.getchannel(0) if mode == "L" else patch), np.int16)
    return bool(np.abs(after - colours[None]).max() <= _ROUNDING)
