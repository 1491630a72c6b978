"""What makes two files one picture: saved again or resized, and nothing else."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from tests.indexer.enrich.duplicates.pages import page
from tests.indexer.enrich.duplicates.scenes import scene
from vitrine.indexer.enrich.duplicates.compare.residual import SURE, difference
from vitrine.indexer.enrich.duplicates.compare.whole import Whole
from vitrine.services.images.open import ImageLimits, whole_picture

Save = Callable[[Image.Image], bytes]


def png(image: Image.Image) -> bytes:
    return saved(image, "PNG")


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def resized(
    image: Image.Image, factor: float, how: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), how)


def whole(data: bytes) -> Whole:
    return Whole(whole_picture(data, limits=ImageLimits()))


def test_small_icons_are_one_only_where_every_pixel_is() -> None:
    icon = scene(1, (24, 24))
    assert difference(whole(png(icon)), whole(saved(icon, "BMP"))) == 0
    assert difference(whole(png(icon)), whole(saved(icon, "JPEG", quality=95))) == float("inf")


def apart(one: bytes, other: bytes) -> float:
    """In both orders it is the same."""
    found = difference(whole(one), whole(other))
    assert found == difference(whole(other), whole(one))
    return found


AGAIN: dict[str, Save] = {
    "png": png,
    "bmp": lambda image: saved(image, "BMP"),
    "jpeg 90": lambda image: saved(image, "JPEG", quality=90),
    "jpeg 75": lambda image: saved(image, "JPEG", quality=75),
    "webp": lambda image: saved(image, "WEBP", quality=85),
    "smaller": lambda image: png(resized(image, 0.8, Image.Resampling.LANCZOS)),
    "half": lambda image: png(resized(image, 0.5)),
    "half, jpeg": lambda image: saved(resized(image, 0.5, Image.Resampling.LANCZOS), "JPEG", quality=90),
    "larger": lambda image: png(resized(image, 1.5)),
}


@pytest.mark.parametrize("again", AGAIN)
def test_a_picture_saved_again_or_resized_is_one(again: str) -> None:
    for image in (
        scene(1, (300, 225)),
        page(1, "No 4711"),
        page(2, "No 9083", size=(600, 780)),
        page(3, "No 1", size=(425, 550)),
    ):
        assert apart(png(image), AGAIN[again](image)) < SURE


def _character(image: Image.Image, chance: random.Random) -> Image.Image:
    changed, place = image.copy(), (chance.randrange(20, 200), chance.randrange(70, 200))
    ImageDraw.Draw(changed).text(place, chance.choice("3578AE"), "black")
    return changed


def _line(image: Image.Image, chance: random.Random) -> Image.Image:
    changed, x, y = image.copy(), chance.randrange(20, 200), chance.randrange(20, 200)
    shade = 0 if np.asarray(image.crop((x, y - 9, x + 30, y + 9))).mean() > 128 else 255
    ImageDraw.Draw(changed).line((x, y, x + 30, y + chance.randrange(-9, 9)), (shade, shade, shade), 2)
    return changed


def _hue(image: Image.Image, chance: random.Random) -> Image.Image:
    planes = list(image.convert("HSV").split())
    planes[0] = planes[0].point([(level + chance.randrange(12, 200)) % 256 for level in range(256)])
    return Image.merge("HSV", planes).convert("RGB")


def _moved(image: Image.Image, chance: random.Random) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, (1, 0, chance.choice((-2, 2)), 0, 1, 1))


CHANGES = {"character": _character, "line": _line, "moved": _moved}


@pytest.mark.parametrize("change", CHANGES)
def test_a_small_change_makes_another_picture_whatever_the_format(change: str) -> None:
    chance = random.Random(change)
    for number in range(12):
        image = page(number, "No 4711") if number % 2 else scene(number, (300, 225))
        again = AGAIN[chance.choice(("png", "jpeg 90", "webp", "smaller", "half"))]
        assert apart(png(image), again(CHANGES[change](image, chance))) >= SURE, number


def test_colour_is_part_of_a_picture() -> None:
    photo, chance = scene(4, (300, 225)), random.Random(4)
    assert apart(png(photo), png(photo.convert("L"))) >= SURE
    assert apart(png(photo), png(_hue(photo, chance))) >= SURE
    assert apart(png(photo), png(ImageEnhance.Color(photo).enhance(0.6))) >= SURE
    # nothing but the colour of a few words is another
    assert apart(png(page(1, "No 1", ink="black")), png(page(1, "No 1", ink="#300090"))) >= SURE
    stamped = page(1, "PAID", ink="#c01010")
    assert apart(png(stamped), png(stamped.convert("L"))) >= SURE, (
        "a page of which only the stamp has a colour"
    )
    grey = photo.convert("L")
    assert apart(png(grey), saved(grey.convert("RGB"), "JPEG", quality=90)) < SURE, (
        "grey in both, whatever the mode"
    )


def test_two_exposures_of_a_still_scene_are_two_pictures() -> None:
    noise = np.random.default_rng(0)
    smooth = np.asarray(scene(3, (300, 225)).filter(ImageFilter.GaussianBlur(6)), np.float32)
    one, other = (
        Image.fromarray(np.clip(smooth + noise.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8))
        for _ in range(2)
    )
    assert apart(png(one), png(other)) >= SURE
    assert apart(png(one), saved(one, "JPEG", quality=85)) < SURE


def test_what_is_not_seen_at_a_glance_counts() -> None:
    def drawn(corner: tuple[int, int, int, int], ink: tuple[int, int, int, int]) -> Image.Image:
        image = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
        ImageDraw.Draw(image).rectangle(corner, ink)
        return image

    one, other = drawn((8, 8, 40, 40), (255, 255, 255, 255)), drawn((30, 8, 56, 40), (255, 255, 255, 255))
    assert apart(png(one), png(other)) >= SURE, "white on nothing: both are white on white"
    assert (
        apart(
            png(drawn((8, 8, 40, 40), (0, 90, 0, 255))),
            png(resized(drawn((8, 8, 40, 40), (0, 90, 0, 255)), 0.75)),
        )
        < SURE
    )
    assert apart(png(one), png(Image.new("RGB", (64, 64), "white"))) >= SURE, "only one is transparent"
    first, *more = (Image.new("RGB", (64, 64), colour) for colour in ("navy", "red", "green"))
    moving = saved(first, "GIF", save_all=True, append_images=more)
    assert apart(moving, png(first)) >= SURE, "the first of several frames"
    assert apart(moving, saved(first, "GIF", save_all=True, append_images=more[::-1])) >= SURE
    levels = np.linspace(20_000, 20_100, 64 * 64).reshape(64, 64).astype(np.uint16)
    assert apart(png(Image.fromarray(levels)), png(Image.fromarray(levels[::-1].copy()))) >= SURE, (
        "finer than 8 bits"
    )
    assert apart(png(Image.fromarray(levels)), saved(Image.fromarray(levels), "TIFF")) == 0


def test_identical_means_every_pixel() -> None:
    image = scene(5, (200, 150))
    assert apart(png(image), saved(image, "BMP")) == 0
    changed = image.copy()
    changed.putpixel((7, 9), tuple(255 - level for level in image.getpixel((7, 9))))  # type: ignore[union-attr]
    assert apart(png(image), png(changed)) >= SURE, "one pixel alone: no format does that"
    palettes = [Image.new("P", (64, 64), 1) for _ in range(2)]
    for palette, blue in zip(palettes, (200, 120), strict=True):
        palette.putpalette([255, 255, 255, 10, 20, blue] * 128)
    assert apart(*(png(palette) for palette in palettes)) >= SURE, "the same places of two palettes"


def test_a_page_too_small_to_be_read_is_no_copy() -> None:
    image = page(2, "No 4711")
    assert apart(png(image), png(resized(image, 0.3))) == float("inf")
    assert apart(png(scene(2, (300, 225))), png(resized(scene(2, (300, 225)), 0.3))) < SURE


@pytest.mark.parametrize("size", [(1, 1), (400, 2), (1000, 4), (3, 3), (7, 300), (31, 31)])
def test_pictures_of_every_size_can_be_compared(size: tuple[int, int]) -> None:
    image = scene(1, size)
    assert apart(png(image), saved(image, "BMP")) == 0
    assert apart(png(image), png(scene(2, size))) >= SURE
    assert apart(png(image), png(scene(1, (60, 40)))) >= 0
