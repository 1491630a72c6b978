"""The fake's colours, and the pool that loads each encoder once."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from vitrine.services.domain import EncoderSpec
from vitrine.services.encoders.base import TextEncoder
from vitrine.services.encoders.families.fake import COLOURS, ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.registry import EncoderFamily
from vitrine.services.errors import BadRequest, EncoderMismatch, ModelUnavailable, Unavailable
from vitrine.services.settings import Settings


def flat(colour: tuple[int, int, int]) -> Image.Image:
    return Image.new("RGB", (50, 40), colour)


@pytest.mark.parametrize("dim", [16, 64, 512])
def test_the_fake_is_deterministic_unit_rows(dim):
    random = np.random.default_rng(2)
    images = [Image.fromarray(random.integers(0, 256, (30, 40, 3), np.uint8)) for _ in range(5)]
    rows = ColourEncoder(dim=dim).encode_images(images)
    assert (rows.dtype, rows.shape) == (np.float32, (5, dim))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(ColourEncoder("other", dim).encode_images(images[::-1])[::-1], rows, atol=1e-6)
    assert (
        ColourEncoder(dim=dim).encode_images([]).shape
        == ColourEncoder(dim=dim).encode_texts([]).shape
        == (0, dim)
    )


def test_colour_words_find_their_colours():
    encoder = ColourEncoder()
    assert isinstance(encoder, TextEncoder)
    names = [name for name in COLOURS if name != "gray"]
    images = encoder.encode_images([flat(COLOURS[name]) for name in names])
    texts = encoder.encode_texts([f"a {name.upper()} thing" for name in names])
    np.testing.assert_allclose((images * texts).sum(axis=1), 1.0, atol=1e-5)
    assert (np.argmax(texts @ images.T, axis=1) == np.arange(len(names))).all()


def test_mostly_red_pictures_are_nearest_to_red():
    encoder = ColourEncoder()
    picture = flat(COLOURS["red"])
    picture.paste(COLOURS["blue"], (0, 0, 20, 20))
    nearest = (
        encoder.encode_texts(["red", "blue", "green", "white", "black"]) @ encoder.encode_images([picture])[0]
    )
    assert np.argsort(-nearest)[0] == 0


def test_other_words_have_a_direction_of_their_own():
    rows = ColourEncoder().encode_texts(["cat", "dog", "cat"])
    np.testing.assert_array_equal(rows[0], rows[2])
    assert abs(rows[0] @ rows[1]) < 0.6


@pytest.fixture
def settings(tmp_path):
    return Settings(
        _env_file=None, models=tmp_path / "models", offline=True, precision="float32", device="cpu"
    )


@pytest.fixture
def pool(settings):
    made = EncoderPool(settings)
    yield made
    made.close()


def test_an_encoder_is_loaded_once_for_all_threads(pool, tiny_model):
    folder = str(tiny_model("clip"))
    together = threading.Barrier(6)

    def ask(i: int):
        together.wait(10)
        return pool.get(f"tiny={folder}") if i % 2 else pool.get(EncoderReference("tiny", folder))

    with ThreadPoolExecutor(6) as threads:
        encoders = set(threads.map(ask, range(6)))
    assert len(encoders) == 1
    encoder = encoders.pop()
    assert pool.loaded() == (encoder.spec,)
    assert pool.for_category(encoder.spec) is pool.get(encoder.spec) is encoder
    assert pool.loaded() == (encoder.spec,)
    assert encoder.encode_texts(["a red cat"]).shape == (1, 24)


def test_a_category_opened_first_shares_its_encoder_too(pool, settings, tiny_model):
    folder = str(tiny_model("vit"))
    spec = pool.get(f"tiny={folder}").spec
    other = EncoderPool(settings)
    by_category = other.for_category(spec)
    assert other.get(f"tiny={folder}") is by_category
    other.close()


@pytest.mark.parametrize(
    "change", [{"revision": "sha256:" + "0" * 64}, {"dim": 7}, {"modalities": ("image",)}]
)
def test_another_revision_is_refused_with_both_names(pool, tiny_model, change):
    spec = pool.get(f"tiny={tiny_model('clip')}").spec
    former = dataclasses.replace(spec, **change)
    with pytest.raises(EncoderMismatch) as caught:
        pool.for_category(former)
    assert former.revision in caught.value.message and spec.revision in caught.value.message
    assert "under another name" in caught.value.message


def test_another_preprocessing_is_refused(pool, tiny_model):
    spec = pool.get(f"tiny={tiny_model('clip')}").spec
    former = dataclasses.replace(spec, preprocessing=dataclasses.replace(spec.preprocessing, resize=99))
    with pytest.raises(EncoderMismatch, match="other preprocessing"):
        pool.for_category(former)


def test_a_category_of_the_hub_does_not_take_a_local_folder_of_another_content(
    pool, tiny_model, monkeypatch, tmp_path
):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model").symlink_to(tiny_model("clip"))
    local = pool.get("mine=org/model").spec
    commit = "0" * 39 + "1"
    of_hub = dataclasses.replace(local, revision=commit)
    with pytest.raises(EncoderMismatch):
        pool.for_category(of_hub)
    snapshot = tmp_path / "cache" / "models--org--model" / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(tiny_model("clip"))
    encoder = pool.for_category(of_hub)
    assert encoder.spec == of_hub
    assert pool.get("mine=org/model").spec == local


def test_registered_encoders_answer_to_their_name(pool):
    fake = pool.register(ColourEncoder("tests", 32))
    assert pool.get("tests") is fake
    assert pool.for_category(fake.spec) is fake
    assert pool.get(EncoderReference("tests", fake.spec.model)) is fake
    with pytest.raises(EncoderMismatch):
        pool.for_category(dataclasses.replace(fake.spec, dim=16))
    assert fake.spec in pool.loaded()


def test_the_colour_preset_needs_no_weights(pool):
    encoder = pool.get("colour")
    assert encoder.spec.name == "colour"
    assert pool.get("colour") is pool.for_category(encoder.spec) is encoder
    assert pool.get("paint=vitrine/colour").spec.name == "paint"


def test_what_cannot_be_loaded_is_tried_again(pool, tiny_model, tmp_path):
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="VITRINE_MODELS"):
            pool.get("late=./no-such")
    with pytest.raises(BadRequest):
        pool.get("")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "no-such").symlink_to(tiny_model("vit"))
    assert pool.get("late=./no-such").spec.dim == 32


class OwnFamily(EncoderFamily):
    """Loads every folder as an encoder of colours."""

    def takes(self, config):
        return True

    def load(self, reference, found, loader):
        assert found.revision.startswith("sha256:")
        return ColourEncoder(reference.name, 8)


def test_families_may_be_given(tiny_model):
    pool = EncoderPool(Settings(_env_file=None, offline=True), (OwnFamily(),))
    assert pool.get(f"own={tiny_model('vit')}").spec.dim == 8
    pool.close()


def test_a_closed_pool_refuses(pool):
    encoder = pool.get("colour")
    pool.close()
    for call in (
        lambda: pool.get("colour"),
        lambda: pool.for_category(encoder.spec),
        lambda: encoder.encode_texts(["red"]),
    ):
        with pytest.raises(Unavailable, match="closed"):
            call()
    pool.close()


def test_importing_costs_no_torch():
    code = (
        "import sys, vitrine.services.images.open\n"
        "from vitrine.services.encoders import batching, load, pool, precision, preprocess\n"
        "from vitrine.services.encoders import reference, registry, resolve\n"
        "registry.all_families()\n"
        "import vitrine.services.encoders.families.fake\n"
        "heavy = ('torch', 'transformers', 'scipy', 'huggingface_hub')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_specs_of_the_fake_differ_by_dimension():
    assert isinstance(ColourEncoder().spec, EncoderSpec)
    assert ColourEncoder(dim=32).spec.fingerprint != ColourEncoder(dim=64).spec.fingerprint
