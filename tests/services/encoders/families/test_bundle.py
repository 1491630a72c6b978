"""A trained encoder that refers to a trunk on this machine, served by one that has nothing but the object
store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from PIL import Image

from vitrine.services.encoders.families.bundle import whole_folder
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.families.metric_config import MetricConfig, TrunkReference, read_config
from vitrine.services.encoders.families.stored import save_stored, stored_prefix
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.encoders.reference import COLOUR_MODEL, EncoderReference
from vitrine.services.encoders.resolve import folder_revision
from vitrine.services.errors import ModelUnavailable
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.settings import Settings
from vitrine.training.metric.embedder import Embedder
from vitrine.training.metric.saving import save_metric_encoder

SPLIT = {
    "protocol": "by-image",
    "train": ["a"],
    "validation": [],
    "test": ["b"],
    "classes": {"a": "x", "b": "y"},
}


@pytest.fixture
def trained(tiny_model: Callable[[str], Path], tmp_path: Path) -> Path:
    """An encoder on a trunk that it refers to by the name of a folder below ``models``."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny-vit").symlink_to(tiny_model("vit"))
    reference = EncoderReference("trunk", "org/tiny-vit")
    trunk = EncoderLoader(models=tmp_path / "models", precision="float32", device="cpu", offline=True).load(
        reference
    )
    torch.manual_seed(2)
    embedder = Embedder(trunk.spec.dim, (8,))
    about = TrunkReference("org/tiny-vit", trunk.spec.revision)
    config = MetricConfig(
        "look",
        "frozen",
        about,
        "float32",
        trunk.spec.preprocessing,
        embedder.arguments,
        ("x", "y"),
        "sha256:0",
        "",
    )
    save_metric_encoder(tmp_path / "look", config, embedder, split=SPLIT)
    return tmp_path / "look"


def test_the_trunk_travels_and_the_embeddings_stay(
    trained: Path, tmp_path: Path, photos: list[Image.Image]
) -> None:
    reference = EncoderReference("look", str(trained))
    here = EncoderLoader(models=tmp_path / "models", precision="float32", device="cpu", offline=True).load(
        reference
    )
    objects = LocalObjectStore(tmp_path / "objects", min_free_mb=0)
    before = folder_revision(trained)
    with whole_folder(trained, EncoderLoader(models=tmp_path / "models")) as whole:
        revision = folder_revision(whole)
        assert read_config(whole).trunk.stored
        model = save_stored(objects, whole, stored_prefix("pets", "look"))
    with whole_folder(trained, EncoderLoader(models=tmp_path / "models")) as again:
        assert folder_revision(again) == revision  # so that a killed promotion knows its vector again
    assert folder_revision(trained) == before and not read_config(trained).trunk.stored
    elsewhere = Settings(
        data=tmp_path / "other", models=tmp_path / "none", offline=True, precision="float32", _env_file=None
    )  # type: ignore[call-arg,unused-ignore]
    pool = EncoderPool(elsewhere, objects=objects)
    there = pool.get(EncoderReference("look-1", model))
    assert (there.spec.revision, there.spec.model) == (revision, model)
    np.testing.assert_allclose(there.encode_images(photos), here.encode_images(photos), atol=1e-5)
    pool.close()
    assert {stat.key.rpartition("/")[2] for stat in objects.list()} >= {
        "split.json",
        "embedder.safetensors",
        "model.safetensors",
    }


def test_what_needs_no_trunk_stays_as_it_is(tmp_path: Path) -> None:
    colours = ColourEncoder().spec
    embedder = Embedder(colours.dim, (8,))
    trunk = TrunkReference(COLOUR_MODEL, colours.revision)
    config = MetricConfig(
        "look", "frozen", trunk, "float32", colours.preprocessing, embedder.arguments, (), "sha256:0", ""
    )
    save_metric_encoder(tmp_path / "look", config, embedder)
    for folder in (tmp_path / "look", tmp_path):
        with whole_folder(folder, EncoderLoader(models=tmp_path / "models")) as whole:
            assert whole == folder


def test_a_trunk_that_is_gone_is_told(trained: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(ModelUnavailable, match="tiny-vit"),
        whole_folder(trained, EncoderLoader(models=tmp_path / "none")),
    ):
        pass
