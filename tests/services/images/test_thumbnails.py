"""Small versions of pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vitrine.services.images.budget import ImageLimits
from vitrine.services.images.open import open_image
from vitrine.services.images.thumbnails import made_along, thumbnail_of, thumbnail_of_file


def shown(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "WEBP"
    return image


@pytest.mark.parametrize(
    ("size", "width", "expected"),
    [
        ((1600, 1200), 320, (320, 240)),
        ((100, 80), 320, (100, 80)),
        ((640, 8000), 160, (51, 640)),
        ((9000, 30), 640, (640, 2)),
        ((9000, 1), 160, (160, 1)),
    ],
)
def test_it_is_as_wide_as_asked_never_enlarged_and_at_most_four_times_as_high(
    size: tuple[int, int], width: int, expected: tuple[int, int]
) -> None:
    assert shown(thumbnail_of(Image.new("RGB", size, "red"), width)).size == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_files_are_shown_upright_in_their_colours(kind: str) -> None:
    picture = Image.new("RGB", (1200, 800), (200, 40, 30))
    picture.paste((30, 60, 200), (0, 0, 600, 800))
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right: what is left comes up
    picture.save(file, kind, exif=exif)
    found = shown(thumbnail_of_file(file.getvalue(), 160, limits=ImageLimits())).convert("RGB")
    assert found.size == (160, 240)
    pixels = np.asarray(found, int)
    assert np.abs(pixels[60, 80] - (30, 60, 200)).max() < 12
    assert np.abs(pixels[180, 80] - (200, 40, 30)).max() < 12


def test_fine_lines_stay_readable() -> None:
    lines = np.full((640, 640, 3), 255, np.uint8)
    lines[:, 10::40] = 0
    found = np.asarray(shown(thumbnail_of(Image.fromarray(lines), 640)).convert("L"), int)
    assert found[:, 10::40].max() < 60 and found[:, 30::40].min() > 225


@pytest.mark.parametrize(
    ("size", "kind", "target", "made"),
    [
        ((2500, 1700), "PNG", 224, True),
        ((2500, 1700), "JPEG", 224, False),  # quickly decoded at a reduced size
        ((6600, 5000), "JPEG", 224, True),
        ((800, 600), "PNG", 224, False),
        ((2500, 1700), "PNG", 64, False),  # so little is decoded that it would have to be enlarged
        ((1000, 4100), "PNG", 224, True),
    ],
)
def test_one_is_made_on_the_way_where_opening_the_picture_again_takes_long(
    size: tuple[int, int], kind: str, target: int, made: bool
) -> None:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 40, 30)).save(file, kind)
    opened = open_image(file.getvalue(), target=target, limits=ImageLimits())
    found = made_along(opened, 320)
    assert (found is not None) == made
    if found is not None:
        later = thumbnail_of_file(file.getvalue(), 320, limits=ImageLimits())
        assert shown(found).size == shown(later).size
