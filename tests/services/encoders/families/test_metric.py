"""A metric-learned encoder: what is saved is what is loaded, trunk and preprocessing included."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.base import TextEncoder
from vitrine.services.encoders.batching import StagedEncoder
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.families.metric_config import (
    MetricConfig,
    TrunkReference,
    read_config,
    read_split,
)
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.encoders.reference import COLOUR_MODEL, EncoderReference
from vitrine.services.encoders.resolve import ResolvedModel, folder_revision
from vitrine.services.errors import AlreadyExists, BadRequest, EncoderMismatch, ModelUnavailable
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


def load(folder: Path, precision: str = "float32"):
    return EncoderLoader(precision=precision, device="cpu", offline=True).load(
        EncoderReference("look", str(folder))
    )


def embedder(dim: int, *layers: int) -> Embedder:
    torch.manual_seed(3)
    made = Embedder(dim, layers or (16, 8), "relu", dropout=0.5)
    made.fit_input(torch.randn(20, dim))
    return made.eval()


def config(trunk: TrunkReference, made: Embedder, preprocessing: Preprocessing) -> MetricConfig:
    return MetricConfig(
        "look",
        "frozen",
        trunk,
        "float32",
        preprocessing,
        made.arguments,
        ("x", "y"),
        "sha256:0",
        "2026-01-01T00:00:00+00:00",
        {"candidate": {"precision_at_1": 0.5}},
        {"options": {"epochs": 3}},
    )


@pytest.fixture
def on_colours(tmp_path) -> Path:
    """A folder whose trunk is the built-in encoder of colours."""
    made, spec = embedder(64), ColourEncoder().spec
    about = config(TrunkReference(COLOUR_MODEL, spec.revision), made, spec.preprocessing)
    save_metric_encoder(tmp_path / "look", about, made, split=SPLIT)
    return tmp_path / "look"


def test_an_encoder_behind_a_built_in_trunk_is_its_embedder_on_the_trunks_embeddings(on_colours, photos):
    encoder = load(on_colours)
    assert isinstance(encoder, StagedEncoder)
    assert not isinstance(encoder, TextEncoder)
    assert (encoder.spec.name, encoder.spec.dim, encoder.spec.modalities) == ("look", 8, ("image",))
    rows = encoder.encode_images(photos)
    np.testing.assert_allclose(rows, embedder(64).embed(ColourEncoder().encode_images(photos)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        encoder.encode_pixels([encoder.prepare(photo) for photo in photos]), rows, atol=1e-6
    )
    assert encoder.encode_images([]).shape == (0, 8)


def test_the_config_and_the_split_come_back_as_they_were(on_colours):
    about = read_config(on_colours)
    spec = ColourEncoder().spec
    assert about == config(TrunkReference(COLOUR_MODEL, spec.revision), embedder(64), spec.preprocessing)
    assert (about.dim, about.input_size) == (8, (16, 16))
    assert read_split(on_colours) == SPLIT
    tree = json.loads((on_colours / "config.json").read_text())
    assert (tree["vitrine"], tree["format"]) == ("metric-encoder", 1)


def test_a_trunk_that_is_referred_to_must_be_the_same_revision(tiny_model, tmp_path, photos):
    folder, made = tiny_model("vit"), embedder(32)
    trunk = load(folder)
    about = config(TrunkReference(str(folder), trunk.spec.revision), made, trunk.spec.preprocessing)
    save_metric_encoder(tmp_path / "good", about, made)
    np.testing.assert_allclose(
        load(tmp_path / "good").encode_images(photos), made.embed(trunk.encode_images(photos)), atol=1e-5
    )
    other = replace(about, trunk=TrunkReference(str(folder), "sha256:other"))
    save_metric_encoder(tmp_path / "other", other, made)
    with pytest.raises(EncoderMismatch, match="revision sha256:other"):
        load(tmp_path / "other")
    save_metric_encoder(
        tmp_path / "gone", replace(about, trunk=TrunkReference("no-such-model", trunk.spec.revision)), made
    )
    with pytest.raises(ModelUnavailable):
        load(tmp_path / "gone")


def test_the_trunk_is_also_found_in_the_models_folder_of_the_settings(tiny_model, tmp_path, photos):
    trunk, made = load(tiny_model("vit")), embedder(32)
    about = config(TrunkReference("elsewhere/tiny-vit", trunk.spec.revision), made, trunk.spec.preprocessing)
    save_metric_encoder(tmp_path / "look", about, made)
    settings = Settings(
        _env_file=None, models=tiny_model("vit").parent, offline=True, device="cpu", data=tmp_path
    )
    pool = EncoderPool(settings)
    try:
        encoder = pool.get(f"look={tmp_path / 'look'}")
        np.testing.assert_allclose(
            encoder.encode_images(photos), made.embed(trunk.encode_images(photos)), atol=1e-5
        )
    finally:
        pool.close()


@pytest.mark.parametrize("kind", ["vit", "vit_unpooled", "clip", "siglip", "mobilenet"])
def test_a_stored_trunk_keeps_its_weights_and_pooling(kind, tiny_model, tmp_path, photos):
    folder = tiny_model(kind)
    found = ResolvedModel(folder, folder_revision(folder))
    trunk = EncoderLoader(precision="float32", images_only=True, fuse=False).load(
        EncoderReference("t", str(folder)), found
    )
    assert trunk.spec.modalities == ("image",)
    made = embedder(trunk.spec.dim)
    about = config(
        TrunkReference(str(folder), trunk.spec.revision, stored=True), made, trunk.spec.preprocessing
    )
    model = trunk.model
    if kind == "vit_unpooled":
        model.pooler = None
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    save_metric_encoder(tmp_path / "look", about, made, trunk=model, processor=processor)
    expected = made.embed(trunk.encode_images(photos))
    np.testing.assert_allclose(load(tmp_path / "look").encode_images(photos), expected, atol=1e-5)


def test_the_preprocessing_of_the_config_is_what_counts(tiny_model, tmp_path, photos):
    folder, made = tiny_model("mobilenet"), embedder(320)
    trunk = load(folder)
    larger = replace(trunk.spec.preprocessing, resize=(64, 48), crop=None)
    about = config(TrunkReference(str(folder), trunk.spec.revision), made, larger)
    save_metric_encoder(tmp_path / "look", about, made)
    encoder = load(tmp_path / "look")
    assert encoder.prepare(photos[0]).shape == (64, 48, 3)
    assert encoder.spec.preprocessing == larger
    assert not np.allclose(encoder.encode_images(photos), made.embed(trunk.encode_images(photos)), atol=1e-3)


def test_the_revision_is_over_embedder_config_and_trunk(tiny_model, tmp_path):
    folder, made = tiny_model("vit"), embedder(32)
    trunk = EncoderLoader(precision="float32", fuse=False).load(EncoderReference("look", str(folder)))
    about = config(
        TrunkReference(str(folder), trunk.spec.revision, stored=True), made, trunk.spec.preprocessing
    )

    def revision(name: str) -> str:
        save_metric_encoder(tmp_path / name, about, made, trunk=trunk.model, processor=processor)
        return load(tmp_path / name).spec.revision

    processor = json.loads((folder / "preprocessor_config.json").read_text())
    first, again = revision("a"), revision("b")
    assert first == again
    assert first.startswith("sha256:")
    with torch.no_grad():
        next(trunk.model.parameters()).add_(0.1)
    assert revision("c") != first


@pytest.mark.parametrize("trained", ["float32", "bfloat16"])
def test_auto_is_the_precision_that_was_trained_with(trained, tiny_model, tmp_path):
    trunk, made = load(tiny_model("vit")), embedder(32)
    about = config(
        TrunkReference(str(tiny_model("vit")), trunk.spec.revision), made, trunk.spec.preprocessing
    )
    save_metric_encoder(tmp_path / "look", replace(about, precision=trained), made)
    assert load(tmp_path / "look", "auto").precision == trained
    assert load(tmp_path / "look", "float32").precision == "float32"


def test_a_folder_is_never_overwritten_and_half_a_folder_is_none(on_colours):
    made, spec = embedder(64), ColourEncoder().spec
    about = config(TrunkReference(COLOUR_MODEL, spec.revision), made, spec.preprocessing)
    with pytest.raises(AlreadyExists):
        save_metric_encoder(on_colours, about, made)
    (on_colours / "embedder.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(ModelUnavailable, match="embedder"):
        load(on_colours)
    (on_colours / "embedder.safetensors").unlink()
    with pytest.raises(ModelUnavailable):
        load(on_colours)


def test_folders_of_unknown_kinds_and_formats_are_refused(on_colours):
    tree = json.loads((on_colours / "config.json").read_text())
    for change in ({"vitrine": "something-else"}, {"format": 2}, {"trunk": {}}):
        (on_colours / "config.json").write_text(json.dumps(tree | change))
        with pytest.raises(ModelUnavailable):
            load(on_colours)
    (on_colours / "split.json").unlink()
    with pytest.raises(ModelUnavailable, match="held out"):
        read_split(on_colours)


def test_weights_that_do_not_fit_the_config_are_refused(on_colours):
    tree = json.loads((on_colours / "config.json").read_text())
    tree["embedder"]["layers"] = [16, 9]
    (on_colours / "config.json").write_text(json.dumps(tree))
    with pytest.raises(ModelUnavailable, match="other than its config"):
        load(on_colours)


def test_dropout_acts_in_training_alone(tmp_path):
    made = embedder(64)
    rows = torch.randn(5, 64)
    torch.testing.assert_close(made(rows), made(rows))
    made.train()
    assert not torch.allclose(made(rows), made(rows))
    made.embed(rows.numpy())
    assert not made.training


def test_the_input_is_standardised_by_the_training_rows():
    made = Embedder(4, (3,))
    rows = torch.tensor([[1.0, 10.0, 5.0, 0.0], [3.0, -10.0, 5.0, 0.0]])
    made.fit_input(rows)
    torch.testing.assert_close(made.mean, torch.tensor([2.0, 0.0, 5.0, 0.0]))
    spread = torch.tensor([2**0.5, 200**0.5, 0.0, 0.0])
    floor = 0.1 * spread.square().mean().sqrt()
    torch.testing.assert_close(made.scale, 1 / spread.clamp_min(floor))
    assert set(made.state_dict()) == {"mean", "scale", "layers.1.weight", "layers.1.bias"}


@pytest.mark.parametrize(
    "wrong", [{"layers": ()}, {"layers": (0,)}, {"activation": "tanh"}, {"dropout": 1.0}]
)
def test_impossible_embedders_are_bad_requests(wrong):
    with pytest.raises(BadRequest):
        Embedder(4, **({"layers": (2,)} | wrong))


def test_saved_weights_are_plain_safetensors(on_colours):
    assert {path.name for path in on_colours.iterdir()} == {
        "config.json",
        "embedder.safetensors",
        "split.json",
    }
    assert load_file(on_colours / "embedder.safetensors")["mean"].shape == (64,)
