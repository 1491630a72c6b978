"""Encoders on OpenVINO: equal to torch, without importing it, proven once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitrine.services.encoders import load as load_module
from vitrine.services.encoders.base import TextEncoder, check_encoder
from vitrine.services.encoders.compiled.choose import choose_runtime, core_count
from vitrine.services.encoders.compiled.encoder import OpenVinoEncoder
from vitrine.services.encoders.families import built_in
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import EncoderReference, parse_reference
from vitrine.services.encoders.torch_encoder import TorchEncoder
from vitrine.services.errors import EncoderMismatch, MissingExtra, ModelUnavailable

TinyModel = Callable[[str], Path]
Photos = list[Image.Image]
TEXTS = ["cat", "a photo of the red dog", "", " ".join(["blue house"] * 400)]


def load(model: Path | str, **options: Any) -> Any:
    reference = parse_reference(model) if isinstance(model, str) else EncoderReference("tiny", str(model))
    return EncoderLoader(**{"precision": "float32", "device": "cpu", "offline": True, **options}).load(
        reference
    )


@pytest.mark.parametrize("kind", ["demo", "clip", "vit", "vit_unpooled", "clip_vision"])
def test_vectors_are_those_of_torch(kind: str, tiny_model: TinyModel, photos: Photos) -> None:
    pytest.importorskip("torch")
    model: Path | str = "demo" if kind == "demo" else tiny_model(kind)
    encoder, torchs = load(model), load(model, runtime="torch")
    assert isinstance(encoder, OpenVinoEncoder) and isinstance(torchs, TorchEncoder)
    check_encoder(torchs.spec, encoder.spec)
    assert encoder.spec.fingerprint == torchs.spec.fingerprint and encoder.spec.pooling == torchs.spec.pooling
    cosines = (encoder.encode_images(photos) * torchs.encode_images(photos)).sum(axis=1)
    assert cosines.min() >= 0.99999
    assert isinstance(encoder, TextEncoder) == isinstance(torchs, TextEncoder)
    if isinstance(encoder, TextEncoder):
        assert (encoder.encode_texts(TEXTS) * torchs.encode_texts(TEXTS)).sum(axis=1).min() >= 0.99999


def test_neither_torch_nor_transformers_is_imported() -> None:
    program = """
import sys
from PIL import Image
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import parse_reference
encoder = EncoderLoader(offline=True, runtime="openvino").load(parse_reference("demo"))
encoder.encode_images([Image.new("RGB", (40, 30))])
encoder.encode_texts(["a red house"])
foreign = {"torch", "transformers", "scipy"} & set(sys.modules)
assert not foreign, foreign
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_stay_with_their_images_on_any_number_of_streams(threads: int, photos: Photos) -> None:
    encoder = load("demo", threads=threads)
    pixels = [encoder.prepare(photo) for photo in photos]
    alone = np.concatenate([encoder.encode_pixels([one]) for one in pixels])
    random = np.random.default_rng(4)
    for count in (1, 2, 7, 20, 65):
        chosen = random.integers(0, len(pixels), count)
        rows = encoder.encode_pixels([pixels[i] for i in chosen])
        np.testing.assert_allclose(rows, alone[chosen], atol=1e-5)
    assert encoder.encode_pixels([]).shape == (0, encoder.spec.dim)
    assert encoder.encode_texts([]).shape == (0, encoder.spec.dim)


def test_a_failed_pass_leaves_the_encoder_usable(photos: Photos) -> None:
    encoder = load("demo")
    rows = encoder.encode_images(photos)
    with pytest.raises(Exception, match=r"(?i)shape|size|input"):
        encoder.encode_pixels([np.zeros((5, 5, 3), np.uint8)])
    np.testing.assert_allclose(encoder.encode_images(photos), rows, atol=1e-6)


def test_a_proof_is_made_once_for_the_same_weights(
    tiny_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proven = []
    prove = load_module.prove
    monkeypatch.setattr(
        load_module, "prove", lambda encoder, *exact: proven.append(encoder) or prove(encoder, *exact)
    )
    cache = tmp_path / "cache"
    for model, count in (("demo", 1), ("demo", 1), (tiny_model("vit"), 2), (tiny_model("vit"), 2)):
        load(model, cache=cache)
        assert len(proven) == count
    load("demo", cache=cache, precision="bfloat16")  # another question
    load("demo", cache=cache, precision="bfloat16")
    assert len(proven) == 3
    load("demo")  # without a cache nothing is remembered
    for file in cache.iterdir():
        file.write_text("{")
    load("demo", cache=cache)
    assert len(proven) == 5


def test_that_rounding_was_refused_is_remembered_and_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vitrine.services.encoders.proof.CLOSE", 1.1)
    for _ in range(2):
        caplog.clear()
        assert load("demo", precision="bfloat16", cache=tmp_path).precision == "float32"
        assert "runs in float32" in caplog.text and "rounding changes the vectors" in caplog.text
        monkeypatch.setattr(load_module, "prove", None)  # the second time nobody asks


def test_training_gets_torch_whatever_is_wanted(tiny_model: TinyModel) -> None:
    assert isinstance(load(tiny_model("vit"), runtime="openvino", fuse=False), TorchEncoder)
    assert choose_runtime("openvino", "cpu", training=True) == "torch"
    assert [choose_runtime(wanted, "cpu") for wanted in ("auto", "openvino", "torch")] == [
        "openvino",
        "openvino",
        "torch",
    ]
    assert choose_runtime("auto", "cuda:0") == "torch"
    assert core_count(3) == 3 and core_count() >= 1


def test_what_has_no_graph_runs_in_torch_or_says_what_to_install(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(load(tiny_model("mobilenet_v1"), runtime="openvino"), TorchEncoder)
    monkeypatch.setattr(built_in, "has_torch", lambda: False)
    with pytest.raises(ModelUnavailable, match=r"mobilenet_v1.*pip install 'vitrine\[train\]'"):
        load(tiny_model("mobilenet_v1"))


@pytest.mark.parametrize("asked", [{"runtime": "torch"}, {"device": "cuda"}])
def test_settings_that_need_torch_are_named_where_it_is_not_installed(
    asked: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built_in, "has_torch", lambda: False)
    with pytest.raises(MissingExtra, match=r"VITRINE_RUNTIME.*pip install 'vitrine\[train\]'"):
        load("demo", **asked)


def test_another_pooling_is_another_encoder_where_both_state_theirs(tiny_model: TinyModel) -> None:
    spec = load(tiny_model("vit")).spec
    check_encoder(replace(spec, pooling=None), spec)
    check_encoder(spec, replace(spec, pooling=None))
    with pytest.raises(EncoderMismatch, match="other pooling"):
        check_encoder(spec, replace(spec, pooling="mean"))
