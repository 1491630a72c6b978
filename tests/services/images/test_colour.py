"""Colour profiles: a picture looks the same whatever space its numbers are in, and a bad profile harms
nothing."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.services.images.icc_profiles import cmyk_profile, grey_profile, rgb_profile
from vitrine.services.images.contact_sheet import Tile, contact_sheet
from vitrine.services.images.open import ImageLimits, open_image, picture_of, thumbnail

LIMITS = ImageLimits()


def smooth(mode: str = "RGB", size: tuple[int, int] = (96, 64)) -> Image.Image:
    coarse = np.random.default_rng(5).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(picture: Image.Image, image_format: str, profile: bytes | None, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, image_format, icc_profile=profile, **options)
    return buffer.getvalue()


def shown(data: bytes) -> Image.Image:
    return open_image(data, target=64, limits=LIMITS).image


def as_viewers_show(picture: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None
    return converted


def difference(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max())


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP"])
def test_a_wide_space_is_converted(image_format: str) -> None:
    picture = smooth()
    data = encoded(
        picture, image_format, rgb_profile(), **({"lossless": True} if image_format == "WEBP" else {})
    )
    wanted = as_viewers_show(picture, rgb_profile())
    assert difference(picture, wanted) > 40
    assert difference(shown(data), wanted) <= 1


@pytest.mark.parametrize(
    ("mode", "profile"),
    [("CMYK", cmyk_profile()), ("L", grey_profile())],
    ids=["inks of a CMYK profile", "grey of gamma 1"],
)
def test_other_layouts_are_converted_by_their_own_profiles(mode: str, profile: bytes) -> None:
    picture = smooth(mode)
    wanted = as_viewers_show(picture, profile)
    assert difference(picture.convert("RGB"), wanted) > 40
    assert difference(shown(encoded(picture, "TIFF", profile)), wanted) <= 1


def test_a_jpeg_of_inks_is_converted_too() -> None:
    picture = smooth("CMYK")
    data = encoded(picture, "JPEG", cmyk_profile(), quality=98, subsampling=0)
    assert difference(shown(data), as_viewers_show(picture, cmyk_profile())) <= 12


def test_what_is_transparent_stays_white_and_what_is_opaque_is_converted() -> None:
    picture = smooth()
    picture.putalpha(Image.new("L", picture.size, 255))
    picture.paste((9, 9, 9, 0), (0, 0, 48, 64))
    result = shown(encoded(picture, "PNG", rgb_profile()))
    assert difference(result.crop((0, 0, 48, 64)), Image.new("RGB", (48, 64), "white")) <= 1
    opaque = picture.convert("RGB").crop((48, 0, 96, 64))
    assert difference(result.crop((48, 0, 96, 64)), as_viewers_show(opaque, rgb_profile())) <= 1


def test_a_large_picture_is_converted_after_it_is_shrunk() -> None:
    picture = smooth(size=(1200, 800))
    opened = open_image(encoded(picture, "PNG", rgb_profile()), target=40, limits=LIMITS)
    small = as_viewers_show(picture, rgb_profile()).reduce(round(picture.width / opened.image.width))
    assert opened.image.width < 600
    assert np.abs(np.asarray(opened.image, np.float64) - np.asarray(small, np.float64)).mean() < 0.5


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", b"x" * 500),
        ("RGB", rgb_profile()[:200]),
        ("RGB", grey_profile()),
        ("RGB", cmyk_profile()),
        ("L", rgb_profile()),
        ("CMYK", rgb_profile()),
        ("RGB", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
        ("RGB", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()),
    ],
    ids=[
        "no profile at all",
        "cut short",
        "grey on RGB",
        "CMYK on RGB",
        "RGB on grey",
        "RGB on CMYK",
        "sRGB",
        "LAB on RGB",
    ],
)
def test_a_profile_that_does_not_apply_changes_nothing(mode: str, profile: bytes) -> None:
    picture = smooth(mode)
    assert difference(shown(encoded(picture, "TIFF", profile)), shown(encoded(picture, "TIFF", None))) == 0


def test_thumbnails_sheets_and_comparisons_show_the_same_colours() -> None:
    data = encoded(Image.new("RGB", (200, 200), (120, 90, 60)), "PNG", rgb_profile())
    wanted = np.asarray(as_viewers_show(Image.new("RGB", (1, 1), (120, 90, 60)), rgb_profile()), np.int16)[
        0, 0
    ]
    small = Image.open(io.BytesIO(thumbnail(data, 64, limits=LIMITS)[0]))
    compared = picture_of(data, 128, limits=LIMITS)[0]
    sheet = contact_sheet([Tile(data, ("one",))]).convert("RGB")
    colours = np.asarray(sheet, np.int16).reshape(-1, 3)
    for picture in (small, compared):
        assert np.abs(np.asarray(picture, np.int16) - wanted).max() <= 3
    assert (np.abs(colours - wanted).max(axis=1) <= 4).sum() > 1000
    assert not small.info.get("icc_profile")


def test_threads_share_a_profile() -> None:
    data = encoded(smooth(), "PNG", rgb_profile())
    wanted = as_viewers_show(smooth(), rgb_profile())
    with ThreadPoolExecutor(4) as pool:
        assert all(difference(picture, wanted) <= 1 for picture in pool.map(shown, [data] * 40))
