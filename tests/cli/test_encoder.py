from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Run


def test_presets_and_categories_encoders_are_listed(filled: Run) -> None:
    answer = filled("encoder", "list", "--json").json
    assert answer["default"] == "colour"
    rows = {(row["name"], row["category"]): row for row in answer["encoders"]}
    assert {("clip", None), ("demo", None), ("colour", None), ("colour", "shop")} <= rows.keys()
    assert rows["colour", "shop"]["weights"] == "built in"
    assert "\tbuilt in" in filled("encoder", "list").out


def test_checking_an_encoder_tells_its_shape_and_speed(vitrine: Run, tmp_path: Path) -> None:
    Image.new("RGB", (30, 30), "red").save(tmp_path / "a.png")
    answer = vitrine("encoder", "check", "colour", tmp_path / "a.png", "--json").json
    assert (answer["name"], answer["dim"], answer["modalities"]) == ("colour", 64, ["image", "text"])
    assert answer["images_per_second"] > 0
    assert abs(answer["cosine_to_float32"]["min"] - 1) < 1e-3
    assert len(answer["embedding"]) == 64
    assert vitrine("encoder", "check", "colour").out.startswith("name:")


def test_an_encoder_that_is_not_there_is_told(vitrine: Run, tmp_path: Path) -> None:
    assert "model_unavailable" in vitrine("encoder", "check", "no/such-model").err
    assert "bad_request" in vitrine("encoder", "check", "").err
    (tmp_path / "a.png").write_text("no picture")
    assert (
        vitrine("encoder", "check", "colour", tmp_path / "a.png", "--json").json["error"]["code"]
        == "image_refused"
    )


def test_the_proof_is_printed_and_decides_the_exit_code(vitrine: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    rows = vitrine("encoder", "check", "colour", "--json").json["checks"]
    assert all(row["passed"] for row in rows) and "texts alone and among others" in [
        row["name"] for row in rows
    ]
    folder = save_autoencoder_of_nan(tmp_path / "broken")
    failed = vitrine("encoder", "check", folder)
    assert failed.code == 1
    assert (
        "vectors of pictures are finite" in failed.out
        and "NaN" in failed.out
        and "unsound_encoder" in failed.err
    )
    error = vitrine("encoder", "check", folder, "--json").json["error"]
    assert error["code"] == "unsound_encoder"
    assert [row["passed"] for row in error["details"]["checks"]] == [True, False]


def save_autoencoder_of_nan(folder: Path) -> Path:
    from safetensors.torch import load_file, save_file

    from vitrine.services.encoders.families.autoencoder import WEIGHTS, AutoencoderConfig
    from vitrine.training.autoencoder.network import ConvolutionalAutoencoder, save_autoencoder

    model = ConvolutionalAutoencoder(size=16, dim=8, channels=(8, 16))
    save_autoencoder(folder, model, AutoencoderConfig("convolutional", 16, 8, model.arguments, {}))
    weights = load_file(folder / WEIGHTS)
    next(weight for name, weight in weights.items() if name.startswith("encoder.")).fill_(float("nan"))
    save_file(weights, folder / WEIGHTS)
    return folder
