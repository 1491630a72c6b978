"""Two pictures side by side."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from tests.indexer.enrich.duplicates.scenes import scene
from vitrine.indexer.enrich.duplicates.compare.comparison import compare
from vitrine.indexer.enrich.duplicates.compare.prepared_picture import TURNS, best_turn, prepare, turned
from vitrine.indexer.enrich.duplicates.compare.structure import local, ssim


def looked_at(image: Image.Image) -> object:
    return prepare(image, image.size)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize(
    "edit",
    [
        lambda image: image.copy(),
        lambda image: jpeg(image, 30),
        lambda image: image.resize((150, 113)),
        lambda image: ImageEnhance.Brightness(image).enhance(0.7),
        lambda image: image.crop((10, 8, 280, 210)),
        lambda image: ImageOps.expand(image, 12, (255, 255, 255)),
    ],
)
def test_edits_of_a_picture_are_told_from_other_pictures(edit) -> None:  # type: ignore[no-untyped-def]
    original, other = scene(1, (300, 225)), scene(2, (300, 225))
    assert compare(looked_at(original), looked_at(edit(original))).same  # type: ignore[arg-type]
    assert not compare(looked_at(other), looked_at(edit(original))).same  # type: ignore[arg-type]


def test_flat_pictures_are_never_the_same_by_similarity() -> None:
    one, other = (looked_at(Image.new("RGB", (80, 60), colour)) for colour in ((200, 0, 0), (0, 0, 90)))
    assert not compare(one, other).same  # type: ignore[arg-type]


@pytest.mark.parametrize("turn", TURNS)
def test_every_way_a_picture_can_lie_is_found(turn: str) -> None:
    seen = looked_at(scene(3, (300, 225)))
    lying = turned(seen, turn)  # type: ignore[arg-type]
    back = best_turn(seen, lying)  # type: ignore[arg-type]
    assert compare(seen, turned(lying, back)).same  # type: ignore[arg-type]


def test_similarity_is_that_of_scikit_image() -> None:
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    random = np.random.default_rng(0)
    one = random.uniform(0, 255, (40, 50)).astype(np.float32)
    other = one + random.normal(0, 30, one.shape).astype(np.float32)
    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(one, other, full=True, **options)[1]
    assert np.abs(ssim(local(one), local(other)) - expected)[6:-6, 6:-6].max() < 1e-3


def test_the_same_thing_in_another_colour_is_another_thing() -> None:
    from PIL import ImageDraw

    def shirt(
        colour: tuple[int, int, int], ground: tuple[int, int, int] = (255, 255, 255), scale: int = 1
    ) -> Image.Image:
        image = Image.new("RGB", (240, 240), ground)
        draw = ImageDraw.Draw(image)
        at = [
            (x * scale // 2 + 40, y * scale // 2 + 40)
            for x, y in ((30, 0), (90, 0), (120, 30), (90, 45), (90, 120), (30, 120), (30, 45), (0, 30))
        ]
        draw.polygon(at, colour, (40, 40, 40))
        draw.rectangle((at[0][0] + 10, at[0][1] + 20, at[0][0] + 20, at[0][1] + 35), (60, 60, 60))
        return image

    for scale in (1, 2):  # the small one covers a fortieth of the picture
        one, other = (
            looked_at(shirt((200, 90, 90), scale=scale)),
            looked_at(shirt((90, 140, 90), scale=scale)),
        )
        assert not compare(one, other).same  # type: ignore[arg-type]
        assert compare(one, looked_at(jpeg(shirt((200, 90, 90), scale=scale), 70))).same  # type: ignore[arg-type]
    photo = scene(4, (300, 225))
    assert compare(looked_at(photo), looked_at(photo.convert("L").convert("RGB"))).same, (
        "but for a copy without colours"
    )  # type: ignore[arg-type]
    assert not compare(looked_at(photo), looked_at(Image.merge("RGB", photo.split()[::-1]))).same  # type: ignore[arg-type]


def test_different_things_on_the_same_plain_ground_are_different() -> None:
    from PIL import ImageDraw

    def drawn(what: str) -> Image.Image:
        image = Image.new("RGB", (192, 192), (255, 255, 255))
        draw = ImageDraw.Draw(image)
        if what == "disc":
            draw.ellipse((76, 66, 116, 106), (40, 120, 60))
        elif what == "kite":
            draw.polygon([(96, 56), (120, 90), (96, 130), (74, 90)], (240, 230, 120), (60, 60, 60))
        else:
            draw.rectangle((84, 60, 104, 132), (200, 40, 60))
        return image

    pictures = {what: drawn(what) for what in ("disc", "kite", "bar")}
    for one, first in pictures.items():
        for other, second in pictures.items():
            verdict = compare(looked_at(first), looked_at(jpeg(second, 60)))  # type: ignore[arg-type]
            assert verdict.same == (one == other), (one, other)
            assert one == other or verdict.similarity < 0.78, "too alike to share a group"
