"""A family of encoders that a program adds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.vitrine.pages import run_page
from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.encoders import registry
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.registry import EncoderFamily, all_families, register_encoder
from vitrine.services.encoders.resolve import ResolvedModel
from vitrine.services.errors import ModelUnavailable, UnsoundEncoder
from vitrine.services.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


class ThumbnailEncoder:
    def __init__(self, spec):
        self.spec = spec

    def encode_images(self, images):
        small = [np.asarray(image.resize((8, 8)), np.float32).ravel() + 1 for image in images]
        rows = np.array(small, np.float32).reshape(-1, self.spec.dim)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class ThumbnailFamily(EncoderFamily):
    def find(self, reference):
        return ResolvedModel(None, "1") if reference.model == "mine/thumbnail" else None

    def load(self, reference, found, loader):
        whole = Preprocessing((8, 8), None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        return ThumbnailEncoder(
            EncoderSpec(reference.name, reference.model, found.revision, 192, ("image",), whole)
        )


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", [])
    register_encoder(ThumbnailFamily())


def settings(tmp_path):
    return Settings(_env_file=None, data=tmp_path, models=tmp_path / "models", offline=True)


def test_a_family_of_25_lines_serves_its_model_by_name(registered, tmp_path):
    pool = EncoderPool(settings(tmp_path))
    encoder = pool.get("mine/thumbnail")
    assert (encoder.spec.name, encoder.spec.revision, encoder.spec.dim) == ("thumbnail", "1", 192)
    assert encoder.encode_images([Image.new("RGB", (30, 20), "red")]).shape == (1, 192)
    assert pool.for_category(encoder.spec) is pool.get("mine/thumbnail") is encoder
    assert pool.get("colour").spec.model == "vitrine/colour"
    pool.close()


def test_the_page_on_encoders(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_REGISTERED", [])
    monkeypatch.chdir(tmp_path)
    assert run_page((ROOT / "docs" / "encoders.md").read_text(), {}) == 2
    (family,) = registry._REGISTERED
    assert type(family).__name__ == "ThumbnailFamily"


def test_without_it_the_name_is_unknown_and_the_newest_family_is_asked_first(registered, monkeypatch):
    newer = ThumbnailFamily()
    register_encoder(newer)
    assert all_families()[0] is newer and len(all_families()) == len(EncoderLoader().families)
    monkeypatch.setattr(registry, "_REGISTERED", [])
    with pytest.raises(ModelUnavailable, match="mine/thumbnail"):
        EncoderLoader(offline=True).load(EncoderReference("x", "mine/thumbnail"))


class FolderFamily(EncoderFamily):
    """Loads folders of its own kind, and fails as told."""

    def __init__(self, load):
        self._load = load

    def takes(self, config):
        return config.get("model_type") == "mine"

    def load(self, reference, found, loader):
        return self._load(reference, found)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "models" / "own"
    made.mkdir(parents=True)
    (made / "config.json").write_text('{"model_type": "mine"}')
    (made / "model.safetensors").write_bytes(b"weights")
    return made


def test_a_family_takes_folders_by_their_config_and_its_encoder_is_proven(folder, tmp_path):
    def make(reference, found):
        assert found.folder == folder and found.revision.startswith("sha256:")
        return ThumbnailFamily().load(reference, found, None)

    def wrong(reference, found):
        encoder = make(reference, found)
        encoder.encode_images = lambda images: np.zeros((len(images), 192), np.float32)
        return encoder

    def fails(reference, found):
        raise OSError("no such tensor")

    def load(how):
        loader = EncoderLoader((FolderFamily(how),), models=tmp_path / "models", offline=True)
        return loader.load(EncoderReference("own", "own"))

    assert load(make).spec.dim == 192
    with pytest.raises(UnsoundEncoder, match="zero"):
        load(wrong)
    with pytest.raises(ModelUnavailable, match="no such tensor"):
        load(fails)


def test_a_folder_that_no_family_takes_is_refused(folder, tmp_path):
    with pytest.raises(ModelUnavailable, match="does not know"):
        EncoderLoader((ThumbnailFamily(),), models=tmp_path / "models").load(EncoderReference("own", "own"))
