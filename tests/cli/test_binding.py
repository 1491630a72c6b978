"""Encoders in folders: what a category keeps of them does not depend on where a command was started."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from tests.cli.conftest import Run, runner
from vitrine.services.encoders.families.autoencoder import CONFIG, KIND, WEIGHTS

SIZE, CHANNELS = 16, (8, 16)


def save(folder: Path, dim: int = 8) -> Path:
    """An autoencoder as training saves it, without its other half and without torch."""
    random, weights = np.random.default_rng(dim), {}
    for place, (before, after) in enumerate(zip((3, *CHANNELS), CHANNELS, strict=False)):
        weights[f"encoder.{place}.0.weight"] = random.normal(0, 0.1, (after, before, 4, 4))
        weights |= {
            f"encoder.{place}.{name}": random.normal(1, 0.1, after) for name in ("0.bias", "1.weight")
        }
        weights[f"encoder.{place}.1.bias"] = random.normal(0, 0.1, after)
    flat = CHANNELS[-1] * (SIZE >> len(CHANNELS)) ** 2
    weights[f"encoder.{len(CHANNELS) + 1}.weight"] = random.normal(0, 0.1, (dim, flat))
    weights[f"encoder.{len(CHANNELS) + 1}.bias"] = random.normal(0, 0.1, dim)
    folder.mkdir(parents=True)
    save_file({name: rows.astype(np.float32) for name, rows in weights.items()}, folder / WEIGHTS)
    arguments = {"size": SIZE, "dim": dim, "channels": CHANNELS}
    config = {"model": "convolutional", "size": SIZE, "dim": dim, "arguments": arguments, "training": {}}
    (folder / CONFIG).write_text(json.dumps({"vitrine": KIND, "format": 1, **config}))
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: an encoder ``ae1`` and a picture lie there."""
    folder = tmp_path / "here"
    save(folder / "ae1")
    Image.new("RGB", (20, 20), "red").save(folder / "red.png")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def encoders_of(run: Run, category: str) -> dict[str, str]:
    return {
        spec["name"]: spec["model"] for spec in run("category", "show", category, "--json").json["encoders"]
    }


def stored(data: Path) -> list[str]:
    root = data / "objects" / "_encoders"
    return sorted(path.relative_to(root).parts[0] for path in root.rglob("config.json"))


@pytest.mark.parametrize("written", ["./ae1", "ae1", "ae=./ae1", "ae=../here/ae1", "ABSOLUTE"])
def test_a_folder_is_copied_and_answers_when_it_is_gone(
    here: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    run = runner(data)
    reference = str(here / "ae1") if written == "ABSOLUTE" else written
    made = run("category", "create", "shop", "--encoder", reference)
    assert made.code == 0 and "Copying" in made.err and "MB) into the object store" in made.err
    assert run("index", "add", here / "red.png", "-c", "shop").code == 0
    (model,) = encoders_of(run, "shop").values()
    assert model.startswith("store:_encoders/shop/")
    picture = shutil.copy(here / "red.png", tmp_path / "red.png")
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(here)
    found = run("search", "-c", "shop", "--image", picture, "--json").json
    assert found["hits"][0]["similarity"] == pytest.approx(1.0, abs=1e-3)
    assert run("category", "delete", "shop", "--yes").code == 0
    assert stored(data) == []


def test_an_encoder_that_is_added_is_copied_too_and_once(here: Path, data: Path) -> None:
    run = runner(data)
    assert run("index", "add", here / "red.png", "-c", "shop", "--create", "--encoder", "./ae1").code == 0
    save(here / "ae2", dim=12)
    assert run("category", "add-encoder", "shop", "ae2=./ae2").code == 0
    again = run("category", "add-encoder", "shop", "ae2=./ae2")
    assert again.code == 0 and "Copying" not in again.err
    assert set(encoders_of(run, "shop")) == {"ae1", "ae2"}
    assert all(model.startswith("store:_encoders/shop/") for model in encoders_of(run, "shop").values())
    assert stored(data) == ["shop", "shop"]


def test_a_refusal_leaves_no_copy(here: Path, data: Path) -> None:
    run = runner(data)
    assert run("category", "create", "shop", "--encoder", "./ae1").code == 0
    save(here / "other", dim=12)
    taken = run("category", "add-encoder", "shop", "ae1=./other", "--json")
    assert taken.json["error"]["code"] == "encoder_mismatch"
    assert (
        run("category", "create", "shop", "--encoder", "./other", "--json").json["error"]["code"]
        == "already_exists"
    )
    assert run("category", "add-encoder", "nowhere", "./other", "--json").json["error"]["code"] == "not_found"
    (here / "ae1" / "autoencoder.safetensors").write_bytes(b"broken")
    assert (
        run("category", "create", "second", "--encoder", "./ae1", "--json").json["error"]["code"]
        == "model_unavailable"
    )
    assert stored(data) == ["shop"]


def test_presets_and_the_models_folder_stay_references(
    here: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "models" / "mine")
    monkeypatch.setenv("VITRINE_MODELS", str(tmp_path / "models"))
    run = runner(data)
    assert run("category", "create", "shop", "--encoder", "mine", "--encoder", "colour").code == 0
    assert encoders_of(run, "shop") == {"mine": "mine", "colour": "vitrine/colour"}
    assert stored(data) == []


def test_a_relative_path_of_an_older_version_is_mended_by_adding_it_again(here: Path, data: Path) -> None:
    run = runner(data)
    assert run("category", "create", "shop", "--encoder", "./ae1").code == 0
    manifest = data / "objects" / "_categories" / "shop.json"
    (model,) = encoders_of(run, "shop").values()
    tree = json.loads(manifest.read_text().replace(model, "./ae1")) | {"format": 2}
    del tree["checksum"]
    manifest.write_text(json.dumps(tree))
    assert encoders_of(run, "shop") == {"ae1": "./ae1"}
    assert run("category", "add-encoder", "shop", "./ae1").code == 0
    assert encoders_of(run, "shop") == {"ae1": model}


def test_the_default_encoder_may_be_a_folder(here: Path, data: Path) -> None:
    run = runner(data)
    assert run("category", "create", "shop", env={"VITRINE_ENCODER": "mine=./ae1"}).code == 0
    assert encoders_of(run, "shop")["mine"].startswith("store:_encoders/shop/mine/")
