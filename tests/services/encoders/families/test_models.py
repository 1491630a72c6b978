"""Encoders on real model classes with tiny random weights, and on real weights where they lie beside the
checkout."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from vitrine.services.domain import EncoderSpec
from vitrine.services.encoders.base import TextEncoder
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import EncoderReference, parse_reference
from vitrine.services.errors import ModelUnavailable

REPOSITORY = Path(__file__).parents[4]
MOBILENET = Path(os.environ.get("VITRINE_MODELS", "models")) / "mobilenet-v2-1.0-224"
DEMO = REPOSITORY / "data" / "demo-clip"
DUALS = ["clip", "siglip"]
VISION = {"vit": 32, "dinov2": 32, "convnext": 32, "mobilenet": 320, "clip_vision": 32}
POOLINGS = {"vit": "pooler", "dinov2": "cls", "convnext": "mean", "mobilenet": "mean", "clip_vision": "cls"}


def load(folder: Path, precision: str = "float32"):
    return EncoderLoader(precision=precision, device="cpu", offline=True).load(
        EncoderReference("tiny", str(folder))
    )


def processed(folder: Path, images):
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    return processor(images, return_tensors="pt")["pixel_values"]


def unit(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows.detach().float(), dim=-1).numpy()


@pytest.mark.parametrize("kind", [*DUALS, *VISION])
def test_image_embeddings_are_aligned_unit_rows(kind, tiny_model, photos):
    encoder = load(tiny_model(kind))
    rows = encoder.encode_images(photos)
    assert rows.dtype == np.float32
    assert rows.shape == (len(photos), encoder.spec.dim)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_images(photos[::-1]), rows[::-1], atol=1e-5)
    assert encoder.encode_images([]).shape == (0, encoder.spec.dim)
    assert encoder.encode_images([]).dtype == np.float32
    assert len(np.unique(rows.round(4), axis=0)) == len(photos)


@pytest.mark.parametrize("kind", DUALS)
def test_dual_models_agree_with_transformers(kind, tiny_model, photos):
    folder = tiny_model(kind)
    encoder = load(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert isinstance(encoder, TextEncoder)
    assert encoder.spec.modalities == ("image", "text")
    images = model.get_image_features(pixel_values=processed(folder, photos)).pooler_output
    np.testing.assert_allclose(encoder.encode_images(photos), unit(images), atol=1e-5)
    texts = ["a photo of a cat", "the red house", "dog"]
    padding = {"padding": "max_length", "max_length": 12} if kind == "siglip" else {"padding": True}
    tokens = tokenizer(texts, return_tensors="pt", **padding)
    given = (
        {"input_ids": tokens["input_ids"]}
        if kind == "siglip"
        else {k: tokens[k] for k in ("input_ids", "attention_mask")}
    )
    np.testing.assert_allclose(
        encoder.encode_texts(texts), unit(model.get_text_features(**given).pooler_output), atol=1e-5
    )


@pytest.mark.parametrize("kind", DUALS)
def test_texts_of_any_length_are_encoded_alike_alone_and_together(kind, tiny_model):
    encoder = load(tiny_model(kind))
    texts = ["cat", "a photo of the red dog", "", " ".join(["blue"] * 500), *["a house"] * 40]
    rows = encoder.encode_texts(texts)
    assert rows.shape == (44, encoder.spec.dim)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    for place in (0, 1, 2, 3, 43):
        np.testing.assert_allclose(encoder.encode_texts([texts[place]])[0], rows[place], atol=1e-5)
    assert encoder.encode_texts([]).shape == (0, encoder.spec.dim)


@pytest.mark.parametrize(("kind", "dim"), VISION.items())
def test_vision_models_give_their_pooled_output(kind, dim, tiny_model, photos):
    folder = tiny_model(kind)
    encoder = load(folder)
    assert not isinstance(encoder, TextEncoder)
    assert (encoder.spec.modalities, encoder.spec.dim) == (("image",), dim)
    assert encoder.spec.pooling == POOLINGS[kind]
    model = transformers.AutoModel.from_pretrained(folder).eval()
    expected = model(pixel_values=processed(folder, photos)).pooler_output.flatten(1)
    np.testing.assert_allclose(encoder.encode_images(photos), unit(expected), atol=1e-5)


def test_a_pooler_without_weights_is_not_used(tiny_model, photos):
    folder = tiny_model("vit_unpooled")
    encoder = load(folder)
    assert encoder.spec.pooling == "cls"
    model = transformers.ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    states = model(pixel_values=processed(folder, photos)).last_hidden_state
    np.testing.assert_allclose(encoder.encode_images(photos), unit(states[:, 0]), atol=1e-5)
    np.testing.assert_array_equal(load(folder).encode_images(photos), encoder.encode_images(photos))


@pytest.mark.parametrize("kind", ["clip", "vit"])
def test_missing_weights_are_refused(kind, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model(kind), tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "layers.0" in name or "layer.0" in name)
    save_file(
        {key: value for key, value in weights.items() if key != name},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(
        ModelUnavailable, match=r"lacks 1 of its weights|lacks weights that its config asks for"
    ):
        load(folder)


@pytest.mark.parametrize("damage", ["weights", "config", "tokenizer", "size"])
def test_damaged_folders_are_model_unavailable(damage, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model("clip"), tmp_path / "broken")
    if damage == "weights":
        (folder / "model.safetensors").write_bytes(b"\0" * 100)
    elif damage == "config":
        (folder / "config.json").write_text("{")
    elif damage == "tokenizer":
        for file in folder.glob("tokenizer*"):
            file.unlink()
    else:  # the images would not fit the model's positions
        processor = json.loads((folder / "preprocessor_config.json").read_text())
        processor["crop_size"] = {"height": 48, "width": 48}
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    with pytest.raises(ModelUnavailable):
        load(folder)


def test_the_spec_names_what_the_folder_holds(tiny_model, tmp_path):
    folder = tiny_model("clip")
    spec = load(folder).spec
    assert isinstance(spec, EncoderSpec)
    assert (spec.name, spec.model, spec.dim) == ("tiny", str(folder), 24)
    assert spec.revision.startswith("sha256:")
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert load(moved).spec.fingerprint == spec.fingerprint


@pytest.mark.parametrize("kind", [*DUALS, "vit", "dinov2", "convnext"])
def test_bfloat16_stays_close_to_float32(kind, tiny_model, photos):
    folder = tiny_model(kind)
    exact, rounded = load(folder), load(folder, "bfloat16")
    assert (exact.precision, rounded.precision) == ("float32", "bfloat16")
    rows = rounded.encode_images(photos)
    assert rows.dtype == np.float32
    assert (rows * exact.encode_images(photos)).sum(axis=1).min() > 0.999
    assert exact.spec == rounded.spec


def test_auto_precision_keeps_batch_normalised_networks_exact(tiny_model):
    assert load(tiny_model("mobilenet"), "auto").precision == "float32"


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-6), ("bfloat16", 2e-3)])
def test_an_embedding_does_not_depend_on_its_batch(precision, tolerance, tiny_model, photos):
    encoder = load(tiny_model("clip"), precision)
    together = encoder.encode_images([photos[i % len(photos)] for i in range(40)])
    alone = np.concatenate([encoder.encode_images([photo]) for photo in photos])
    for place in range(40):
        assert together[place] @ alone[place % len(photos)] > 1 - tolerance


def test_pixels_prepared_elsewhere_give_the_same(tiny_model, photos):
    encoder = load(tiny_model("dinov2"))
    prepared = [encoder.prepare(photo) for photo in photos]
    assert {pixels.shape for pixels in prepared} == {(32, 32, 3)}
    np.testing.assert_array_equal(encoder.encode_pixels(prepared), encoder.encode_images(photos))


@pytest.mark.skipif(
    not MOBILENET.is_dir(),
    reason=f"{MOBILENET} is not there: put google/mobilenet_v2_1.0_224 below the folder of VITRINE_MODELS",
)
def test_the_real_mobilenet_gives_its_frozen_numbers():
    reference = parse_reference("mobilenet-v2-1.0-224")
    encoder = EncoderLoader(models=MOBILENET.parent, precision="float32", device="cpu", offline=True).load(
        reference
    )
    ramp = np.linspace(0, 255, 300, dtype=np.uint8)
    green, blue = Image.new("L", (300, 200), 90), Image.new("L", (300, 200), 0)
    image = Image.merge("RGB", [Image.fromarray(np.tile(ramp, (200, 1))), green, blue])
    row = encoder.encode_images([image])[0]
    assert (encoder.spec.name, encoder.spec.dim) == ("mobilenet-v2-1-0-224", 1280)
    assert encoder.spec.revision == "sha256:b875afe274954334b9573fbd3829846b8ea2f06dec8b043a001fb9709fc8afd8"
    np.testing.assert_allclose(
        row[[672, 593, 362, 1185, 534]], [0.27989, 0.24134, 0.238, 0.23386, 0.22472], atol=2e-4
    )
    processor = transformers.AutoImageProcessor.from_pretrained(MOBILENET, backend="pil")
    model = transformers.AutoModel.from_pretrained(MOBILENET).eval()
    expected = unit(model(**processor(image, return_tensors="pt")).pooler_output)[0]
    assert row @ expected > 0.999999


def test_the_demo_model_finds_a_picture_by_its_words():
    encoder = EncoderLoader(precision="float32", device="cpu", offline=True).load(parse_reference("demo"))
    assert isinstance(encoder, TextEncoder)
    assert encoder.spec.model == "vitrine/demo-clip"
    rows = encoder.encode_texts(["a red car", "a blue house", "a red car"])
    np.testing.assert_allclose(rows[0], rows[2], atol=1e-5)
    assert rows[0] @ rows[1] < 0.999
