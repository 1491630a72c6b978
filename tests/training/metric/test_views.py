"""Embeddings by a trunk are kept by content and made again only where they are missing."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.reference import COLOUR_MODEL, EncoderReference
from vitrine.services.errors import BadRequest, ImageRefused
from vitrine.services.images.open import content_hash
from vitrine.training.data.dataset import LabelledImage
from vitrine.training.metric.trunk import Trunk
from vitrine.training.metric.views import PixelReader, TrunkEmbeddings, small_pictures


def labelled(seed: int) -> LabelledImage:
    blocks = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks).resize((30, 40), Image.Resampling.NEAREST).save(file, "PNG")
    return LabelledImage(f"{seed}.png", "any", file.getvalue, sha256=content_hash(file.getvalue()))


IMAGES = [labelled(seed) for seed in range(70)]


class Counting:
    """The encoder of colours, which counts what it embeds."""

    def __init__(self) -> None:
        self._colours, self.count = ColourEncoder(), 0
        self.spec, self.prepare = self._colours.spec, self._colours.prepare

    def encode_pixels(self, pixels):
        self.count += len(pixels)
        return self._colours.encode_pixels(pixels)


def embeddings(folder=None, tell=None) -> tuple[TrunkEmbeddings, Counting]:
    trunk, counting = Trunk(EncoderReference("colour", COLOUR_MODEL)), Counting()
    trunk.encoder = lambda: counting
    return TrunkEmbeddings(trunk, PixelReader(trunk.preprocessing), folder, tell), counting


def test_rows_are_those_of_the_encoder_in_order():
    told = []
    made, counting = embeddings(tell=lambda *step: told.append(step))
    opened = [Image.open(io.BytesIO(image.read())).convert("RGB") for image in IMAGES]
    np.testing.assert_allclose(made.rows(IMAGES), ColourEncoder().encode_images(opened), atol=1e-6)
    assert told == [("embedding", 64, 70), ("embedding", 70, 70)]
    repeated = made.rows([IMAGES[3], IMAGES[1], IMAGES[3]])
    np.testing.assert_array_equal(repeated[0], repeated[2])
    assert counting.count == 72


def test_only_what_is_missing_is_embedded(tmp_path):
    first, counting = embeddings(tmp_path)
    rows = first.rows(IMAGES[:20])
    second, again = embeddings(tmp_path)
    np.testing.assert_array_equal(second.rows(IMAGES[:30])[:20], rows)
    assert (counting.count, again.count) == (20, 10)
    third, none = embeddings(tmp_path)
    np.testing.assert_array_equal(third.rows(IMAGES[19::-1]), rows[::-1])
    assert none.count == 0
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"\0" * 30)
    fourth, all_again = embeddings(tmp_path)
    np.testing.assert_array_equal(fourth.rows(IMAGES[:20]), rows)
    assert all_again.count == 20


def test_views_differ_from_the_image_and_from_each_other_and_are_repeatable(tmp_path):
    made, _ = embeddings(tmp_path)
    plain, first, second = (made.rows(IMAGES[:5], view) for view in (0, 1, 2))
    assert not np.allclose(plain, first, atol=1e-3) and not np.allclose(first, second, atol=1e-3)
    other, counting = embeddings()
    # a matrix product of another batch may differ in its last bits
    np.testing.assert_allclose(other.rows(IMAGES[4::-1], 1), first[::-1], atol=1e-6)
    assert counting.count == 5


def test_stored_embeddings_are_taken_for_the_image_alone():
    row = np.eye(64, dtype=np.float32)[0]
    known = [replace(image, embedding=row) for image in IMAGES[:3]]
    made, counting = embeddings()
    assert (made.rows(known) == row).all() and counting.count == 0
    made.rows(known, 1)
    assert counting.count == 3
    made.rows([*known, IMAGES[5]])
    assert counting.count == 7


def test_an_image_that_does_not_decode_is_told():
    reader = PixelReader(ColourEncoder().spec.preprocessing)
    with pytest.raises(ImageRefused):
        list(reader.read([*IMAGES[:2], LabelledImage("x", "any", lambda: b"no picture")]))
    small = small_pictures([IMAGES[0], LabelledImage("x", "any", lambda: b"no picture")], 16)
    assert max(small[0].size) == 16 and small[1].size == (16, 16)


def test_the_colours_have_one_size():
    with pytest.raises(BadRequest):
        Trunk(EncoderReference("colour", COLOUR_MODEL), input_size=(64,))
