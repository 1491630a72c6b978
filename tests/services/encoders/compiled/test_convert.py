"""Models without a graph: converted once, kept, and torch where that does not work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from PIL import Image

from tests.services.encoders.folders.tiny import write_model
from tests.services.encoders.model_folders import write_family
from vitrine.services.encoders.compiled import convert
from vitrine.services.encoders.compiled.encoder import OpenVinoEncoder
from vitrine.services.encoders.families import transformers as by_transformers
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.torch_encoder import TorchEncoder

Photos = list[Image.Image]


def load(folder: Path, cache: Path | None, **options: Any) -> Any:
    loader = EncoderLoader(precision="float32", device="cpu", offline=True, cache=cache, **options)
    return loader.load(EncoderReference("tiny", str(folder)))


def test_a_model_is_converted_once_and_again_where_its_copy_is_damaged(
    tmp_path: Path, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kept = write_model("poolformer", tmp_path / "model"), tmp_path / "cache"
    made = []
    original = by_transformers.load_transformers
    monkeypatch.setattr(
        by_transformers, "load_transformers", lambda *given: made.append(given) or original(*given)
    )
    torchs = load(folder, None)
    assert isinstance(torchs, TorchEncoder) and len(made) == 1
    for loads in (2, 2):
        encoder = load(folder, kept)
        assert isinstance(encoder, OpenVinoEncoder) and len(made) == loads
        assert encoder.spec == torchs.spec
        assert (encoder.encode_images(photos) * torchs.encode_images(photos)).sum(axis=1).min() > 0.99999
    (weights,) = kept.glob("converted/*/model.bin")
    weights.write_bytes(weights.read_bytes()[:-4])
    assert isinstance(load(folder, kept), OpenVinoEncoder) and len(made) == 3
    (graph,) = kept.glob("converted/*/model.xml")
    graph.write_bytes(b" " * graph.stat().st_size)
    encoder = load(folder, kept)
    assert isinstance(encoder, OpenVinoEncoder) and len(made) == 4
    assert (encoder.encode_images(photos) * torchs.encode_images(photos)).sum(axis=1).min() > 0.99999
    assert len(list((kept / "converted").iterdir())) == 1


def test_what_other_versions_converted_is_converted_again_where_torch_is(tmp_path: Path) -> None:
    folder, kept = write_model("poolformer", tmp_path / "model"), tmp_path / "cache"
    load(folder, kept)
    (note,) = kept.glob("converted/*/converted.json")
    known = json.loads(note.read_text())
    note.write_text(json.dumps(known | {"made_by": ["0.1", *known["made_by"][1:]]}))
    load(folder, kept)
    assert json.loads(note.read_text()) == known


def test_what_does_not_convert_runs_in_torch_and_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_model("poolformer", tmp_path / "model")
    monkeypatch.setattr(convert, "_EQUAL", 1.1)
    assert isinstance(load(folder, tmp_path / "cache"), TorchEncoder)
    assert "runs in torch" in caplog.text and "other vectors" in caplog.text
    monkeypatch.setattr(convert, "_convert", None)
    assert isinstance(load(folder, tmp_path / "cache"), TorchEncoder)


def test_a_dual_without_a_graph_runs_in_torch(tmp_path: Path) -> None:
    encoder = load(write_family("metaclip_2", tmp_path / "model"), tmp_path / "cache")
    assert isinstance(encoder, TorchEncoder) and encoder.spec.modalities == ("image", "text")
