"""Model folders that once gave wrong vectors without a word: now right ones, or a refusal that says why."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.services.encoders.model_folders import LONGEST, change, write_family
from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.proof import CLOSE, Rows, encode_inputs, prove
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.errors import ModelUnavailable, UnsoundEncoder

TinyModel = Callable[[str], Path]
Photos = list[Image.Image]
TEXTS = ["cat", "a photo of the red dog", "", " ".join(["blue house"] * 400)]
TEXT_FAMILIES = ["clip_left", "altclip", "vision_text_dual", "metaclip_2", "aimv2", "siglip2", "groupvit"]


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    root = tmp_path_factory.mktemp("families")

    def folder(kind: str) -> Path:
        return root / kind if (root / kind).is_dir() else write_family(kind, root / kind)

    return folder


def load(folder: Path, precision: Any = "float32") -> Any:
    return EncoderLoader(precision=precision, device="cpu", offline=True).load(
        EncoderReference("tiny", str(folder))
    )


def cosines(rows: Embeddings, reference: torch.Tensor) -> Embeddings:
    expected = torch.nn.functional.normalize(reference.detach().float(), dim=-1).numpy()
    found: Embeddings = np.einsum("nd,nd->n", rows, expected)
    return found


def pixels(folder: Path, photos: Photos) -> torch.Tensor:
    tensor: torch.Tensor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")(
        photos, return_tensors="pt"
    )["pixel_values"]
    return tensor


def reference_text(folder: Path, text: str) -> torch.Tensor:
    """One text by transformers itself, alone, cut to what its tower reads."""
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    siglip = model.config.model_type == "siglip"
    padding = "max_length" if siglip else False
    tokens = tokenizer(
        text, truncation=True, max_length=LONGEST, padding=padding, padding_side="right", return_tensors="pt"
    )
    names = ["input_ids"] if siglip else ["input_ids", "attention_mask"]
    features: torch.Tensor = model.get_text_features(**{name: tokens[name] for name in names}).pooler_output
    return features


@pytest.mark.parametrize("kind", TEXT_FAMILIES)
def test_texts_of_any_length_are_as_transformers_has_them_one_by_one(kind: str, family: TinyModel) -> None:
    encoder = load(family(kind))
    reference = torch.cat([reference_text(family(kind), text) for text in TEXTS])
    together, alone = (
        encoder.encode_texts(TEXTS),
        np.concatenate([encoder.encode_texts([text]) for text in TEXTS]),
    )
    assert cosines(together, reference).min() > 0.99999
    assert cosines(alone, reference).min() > 0.99999


@pytest.mark.parametrize("kind", TEXT_FAMILIES)
def test_images_are_as_transformers_has_them(kind: str, family: TinyModel, photos: Photos) -> None:
    model = transformers.AutoModel.from_pretrained(family(kind)).eval()
    reference = model.get_image_features(pixel_values=pixels(family(kind), photos)).pooler_output
    assert cosines(load(family(kind)).encode_images(photos), reference).min() > 0.99999


def test_siglip_reads_lower_case(family: TinyModel) -> None:
    encoder = load(family("siglip2"))
    capitals, small = encoder.encode_texts(["A Photo of the RED Dog", "a photo of the red dog"])
    assert capitals @ small > 0.99999


def test_a_masked_autoencoder_sees_whole_pictures(family: TinyModel, photos: Photos) -> None:
    encoder = load(family("vit_mae"))
    model = transformers.ViTMAEModel.from_pretrained(family("vit_mae"), mask_ratio=0.0).eval()
    reference = model(pixel_values=pixels(family("vit_mae"), photos)).last_hidden_state[:, 1:].mean(dim=1)
    for _ in range(2):
        assert cosines(encoder.encode_images(photos), reference).min() > 0.99999


@pytest.mark.parametrize(
    ("kind", "loader"),
    [("clip_projected", "CLIP"), ("metaclip_2_projected", "MetaClip2")],
    ids=["clip", "metaclip_2"],
)
def test_a_vision_model_with_a_projection_is_projected(
    kind: str, loader: str, family: TinyModel, photos: Photos
) -> None:
    encoder = load(family(kind))
    assert encoder.spec.dim == 24
    model = getattr(transformers, f"{loader}VisionModelWithProjection").from_pretrained(family(kind)).eval()
    assert (
        cosines(
            encoder.encode_images(photos), model(pixel_values=pixels(family(kind), photos)).image_embeds
        ).min()
        > 0.99999
    )


def test_a_projection_that_the_config_does_not_name_is_found_in_the_weights(
    family: TinyModel, tmp_path: Path, photos: Photos
) -> None:
    folder = shutil.copytree(family("clip_projected"), tmp_path / "unnamed")
    change(folder / "config.json", architectures=["CLIPVisionModel"])
    np.testing.assert_allclose(
        load(folder).encode_images(photos), load(family("clip_projected")).encode_images(photos), atol=1e-6
    )


@pytest.mark.parametrize("kind", ["blip_2", "flava"])
def test_texts_outside_the_images_space_are_refused(kind: str, family: TinyModel) -> None:
    with pytest.raises(
        UnsoundEncoder, match="texts of all kinds are encoded: the model fails on them"
    ) as refused:
        load(family(kind))
    checks = refused.value.details["checks"]
    assert isinstance(checks, list) and [check["passed"] for check in checks][-1] is False


def damaged(folder: Path, value: float, name: str) -> Path:
    """A copy's weight of which one number is ``value``."""
    weights = load_file(folder / "model.safetensors")
    key = next(key for key in weights if name in key)
    weights[key].view(-1)[0] = value
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["vision_model.post_layernorm.weight", "text_model.final_layer_norm.weight"])
def test_weights_that_are_not_finite_are_refused(
    value: float, name: str, tiny_model: TinyModel, tmp_path: Path
) -> None:
    folder = damaged(shutil.copytree(tiny_model("clip"), tmp_path / "damaged"), value, name)
    side = "pictures" if "vision" in name else "texts"
    with pytest.raises(
        UnsoundEncoder, match=f"vectors of {side} are finite and of length 1: they hold NaN or infinity"
    ):
        load(folder, "auto")


def test_weights_of_zero_are_refused(tiny_model: TinyModel, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model("vit"), tmp_path / "zero")
    weights = {
        name: torch.zeros_like(weight) for name, weight in load_file(folder / "model.safetensors").items()
    }
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnsoundEncoder, match="some are zero"):
        load(folder)


def test_an_end_token_that_no_text_has_is_refused(tiny_model: TinyModel, tmp_path: Path) -> None:
    """The model then reads every text at its first token, which is the same for all."""
    folder = shutil.copytree(tiny_model("clip"), tmp_path / "other-end")
    config = transformers.CLIPConfig.from_pretrained(folder)
    config.text_config.eos_token_id = 60
    config.save_pretrained(folder)
    with pytest.raises(UnsoundEncoder, match="different texts differ: all get the same vector"):
        load(folder)


@pytest.mark.parametrize("layout", ["lora_A", "base_layer"])
def test_weights_with_an_unmerged_adapter_are_refused(
    layout: str, tiny_model: TinyModel, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model("clip"), tmp_path / "adapted")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("q_proj.weight"))
    weights[name.replace("q_proj", f"q_proj.{layout}")] = torch.zeros(2, 32)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelUnavailable, match=r"LoRA adapter.*merge it"):
        load(folder)


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_a_model_that_rounding_changes_runs_in_float32(
    precision: str, family: TinyModel, photos: Photos
) -> None:
    encoder = load(family("groupvit"), precision)
    assert encoder.precision == "float32"
    np.testing.assert_allclose(
        encoder.encode_images(photos), load(family("groupvit")).encode_images(photos), atol=1e-6
    )


def test_bfloat16_that_is_not_close_falls_back_and_says_so(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(tiny_model("clip"), "bfloat16").precision == "bfloat16"
    monkeypatch.setattr("vitrine.services.encoders.proof.CLOSE", 0.9999999)
    assert load(tiny_model("clip"), "bfloat16").precision == "float32"
    assert "runs in float32" in caplog.text and "rounding changes the vectors" in caplog.text


class Broken(ColourEncoder):
    """An encoder of colours with one fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault, self._random = fault, np.random.default_rng(1)

    @property
    def spec(self) -> EncoderSpec:
        return ColourEncoder().spec

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        rows = super().encode_images(images)
        if self._fault == "random":
            rows = self._random.standard_normal(rows.shape).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        if self._fault == "batch" and len(rows) > 1:
            rows = np.roll(rows, 1, axis=1)
        if self._fault == "constant":
            rows = np.repeat(rows[:1], len(rows), axis=0)
        if self._fault == "constant":
            rows[:] = np.eye(1, rows.shape[1], dtype=np.float32)
        return rows[:-1] if self._fault == "too few" and len(rows) > 1 else rows

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        if self._fault == "long" and max(map(len, texts)) > 1000:
            raise IndexError("out of range")
        if self._fault == "blank" and "" in texts:
            raise ValueError("nothing to encode")
        rows = super().encode_texts(texts)
        return rows[:, :40] if self._fault == "narrow" else rows


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("", []),
        ("random", ["one of the pictures twice", "pictures alone and among others"]),
        ("batch", ["pictures alone and among others"]),
        ("too few", ["pictures of all kinds are encoded"]),
        ("long", ["texts of all kinds are encoded"]),
        ("blank", ["texts of all kinds are encoded"]),
        ("narrow", ["texts get one vector each"]),
    ],
)
def test_each_fault_is_named(fault: str, says: list[str]) -> None:
    proof = prove(Broken(fault))
    assert [check.name for check in proof.faults] == says
    assert proof.sound is (not says)


def test_pictures_that_are_all_alike_are_remarked_on(caplog: pytest.LogCaptureFixture) -> None:
    proof = prove(Broken("constant"))
    assert proof.sound and "learnt nothing" in caplog.text
    assert [check.name for check in proof.checks if check.remark] == ["different pictures differ"]


def test_rounding_is_judged_by_the_embeddings_in_float32() -> None:
    exact = encode_inputs(ColourEncoder())
    assert exact is not None and exact.texts is not None
    turned = Rows(np.roll(exact.pictures, 1, axis=1), exact.texts)
    assert [check.name for check in prove(ColourEncoder(), turned).faults] == [
        "pictures in bfloat16 and in float32"
    ]
    assert prove(ColourEncoder(), exact).sound and CLOSE > 0.99
    assert encode_inputs(Broken("long")) is None
