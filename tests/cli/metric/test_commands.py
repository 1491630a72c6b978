"""``vitrine metric train``, ``eval`` and ``list``, on the built-in encoder of colours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from tests.cli.conftest import COLOURS, Answer, Run, environment
from vitrine.cli.main import VitrineGroup
from vitrine.cli.metric import commands as metric
from vitrine.services.encoders.families.metric_config import read_config, read_split
from vitrine.services.encoders.families.metric_folders import find_folder, new_folder
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.errors import BadRequest

ROOT = Path(__file__).parents[3]
EACH = 12
FAST = (
    "--trunk",
    "colour",
    "--epochs",
    "4",
    "--batch-size",
    "9",
    "--samples-per-class",
    "3",
    "--embedder-layers",
    "16,8",
)
app = typer.Typer(cls=VitrineGroup)
app.add_typer(metric.app, name="metric")


@app.callback()
def top() -> None:
    pass


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy pictures of each colour: ``<colour>/<number>.png``."""
    folder, random = tmp_path_factory.mktemp("shop"), np.random.default_rng(3)
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for number in range(EACH):
            coarse = np.clip(np.array(colour) + random.integers(-90, 90, (5, 5, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(coarse).resize((40, 40), Image.Resampling.NEAREST).save(
                folder / name / f"{number}.png"
            )
    return folder


@pytest.fixture
def without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs ``vitrine metric ...`` on a data folder of the test's own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Answer:
        result = CliRunner().invoke(app, ["metric", *map(str, arguments)], env=environment(tmp_path / "data"))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def vm(without_torch):
    """The same, for commands that train."""
    pytest.importorskip("torch")
    return without_torch


def test_training_on_a_folder_leaves_an_encoder_with_its_report(vm, shop, tmp_path):
    answer = vm("train", "--from", shop, "look", *FAST, "--json")
    assert answer.code == 0, answer.err
    folder, tree = Path(answer.json["folder"]), answer.json
    assert folder.parent == tmp_path / "data" / "encoders" / "look"
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "embedder.safetensors", "split.json", "report.json", "report.md"} <= names
    assert tree["metrics"].keys() == {"candidate", "trunk"}
    assert tree["metrics"] == read_config(folder).metrics
    assert 0 <= tree["metrics"]["candidate"]["precision_at_1"] <= 1
    assert sum(tree["images"].values()) == len(COLOURS) * EACH
    assert len(tree["history"]) == tree["epochs"] <= 4
    assert read_split(folder)["protocol"] == "by-image"
    assert EncoderLoader().load(EncoderReference("look", str(folder))).spec.dim == 8
    assert "epoch 1 of 4: loss" in answer.err
    assert list((tmp_path / "data" / "runs" / "look").rglob("events.out.tfevents.*"))
    assert not (tmp_path / "data" / "cache" / "metric" / "look").exists()


def test_what_was_trained_is_listed_and_judged_again(vm, shop, tmp_path):
    first = vm("train", "--from", shop, "look", *FAST, "--json").json
    listed = vm("list", "--json").json["encoders"]
    assert [row["folder"] for row in listed] == [first["folder"]]
    assert (listed[0]["name"], listed[0]["dim"], listed[0]["classes"]) == ("look", 8, 3)
    assert "look\tfrozen\tvitrine/colour" in vm("list").out
    answer = vm("eval", "look", "--from", shop, "--json").json
    assert answer["notes"] == [
        "openai/clip-vit-base-patch32 is not on this machine: clip is left out of the comparison."
    ]
    rows = {row["name"]: row for row in answer["comparison"]["rows"]}
    assert rows.keys() == {"candidate", "trunk"}
    for name, row in rows.items():
        recall = row["metrics"]["precision_at_1"]
        assert recall["value"] == pytest.approx(first["metrics"][name]["precision_at_1"], abs=1e-4)
        assert recall["low"] <= recall["value"] <= recall["high"]
    third = vm("eval", first["folder"], "--from", shop, "--against", "other=vitrine/colour", "--json").json
    assert [row["name"] for row in third["comparison"]["rows"]] == ["candidate", "trunk", "clip"]
    table = vm("eval", "look", "--from", shop)
    assert "recall@1" in table.out and "is left out" in table.err


def test_other_images_are_sought_among_each_other(vm, shop, tmp_path):
    vm("train", "--from", shop, "look", *FAST)
    random = np.random.default_rng(9)
    for name, colour in COLOURS.items():
        (tmp_path / "new" / name).mkdir(parents=True)
        for number in range(3):
            pixels = np.clip(np.array(colour) + random.integers(-60, 60, (20, 20, 3)), 0, 255).astype(
                np.uint8
            )
            Image.fromarray(pixels).save(tmp_path / "new" / name / f"{number}.png")
    answer = vm("eval", "look", "--from", tmp_path / "new", "--json").json
    assert answer["comparison"]["queries"] == 9
    assert answer["comparison"]["gallery"] is None


def test_a_csv_names_files_classes_and_parts(vm, shop, tmp_path):
    parts = {0: "test", 1: "validation"}
    rows = [f"{colour}/{n}.png,{colour},{parts.get(n, 'train')}" for colour in COLOURS for n in range(6)]
    (tmp_path / "meta.csv").write_text("\n".join(["file,kind,split", *rows]))
    answer = vm(
        "train",
        "--meta",
        tmp_path / "meta.csv",
        "--from",
        shop,
        "--label",
        "kind",
        "look",
        *FAST,
        "--json",
    )
    assert answer.code == 0, answer.err
    assert answer.json["images"] == {"train": 12, "validation": 3, "test": 3}
    assert answer.json["protocol"] == "given"


def test_unseen_classes_are_judged_among_themselves(vm, shop, tmp_path):
    extra = tmp_path / "five"
    for number, colour in enumerate([*COLOURS, "teal", "pink"]):
        (extra / colour).mkdir(parents=True)
        random = np.random.default_rng(number)
        for place in range(6):
            pixels = np.clip(
                np.array((40 * number, 90, 200 - 40 * number)) + random.integers(-40, 40, (9, 9, 3)), 0, 255
            )
            Image.fromarray(pixels.astype(np.uint8)).resize((40, 40)).save(extra / colour / f"{place}.png")
    answer = vm(
        "train",
        "--from",
        extra,
        "look",
        "--split",
        "class",
        "--test-classes",
        "teal,pink",
        *FAST,
        "--json",
    )
    assert answer.code == 0, answer.err
    config = read_config(Path(answer.json["folder"]))
    assert not {"teal", "pink"} & set(config.classes)
    assert answer.json["protocol"] == "by-class"
    assert answer.json["comparison"]["gallery"] is None


def test_a_category_is_learnt_from_its_stored_embeddings(
    filled: Run, filled_data: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("torch")

    def unreadable(*_: object) -> None:
        raise AssertionError("a picture was embedded")

    def run(*arguments: object) -> Answer:
        result = CliRunner().invoke(app, ["metric", *map(str, arguments)], env=environment(filled_data))
        return Answer(result.exit_code, result.stdout, result.stderr)

    monkeypatch.setattr("vitrine.training.metric.views.PixelReader.read", unreadable)
    answer = run("train", "-c", "shop", "stored", *FAST[2:], "--json")
    assert answer.code == 0, answer.err
    assert answer.json["trunk"]["model"] == "vitrine/colour"
    assert answer.json["metrics"]["trunk"]["precision_at_1"] >= 0
    assert sum(answer.json["images"].values()) == 12
    assert run("train", "-c", "nothing", "stored", *FAST).code == 1


def test_an_interrupted_run_is_resumed(vm, shop, monkeypatch):
    whole = vm("train", "--from", shop, "other", *FAST, "--json").json

    def interrupt(row: dict[str, float], epochs: int) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(metric, "_note_epoch", interrupt)
        answer = vm("train", "--from", shop, "look", *FAST)
    assert answer.code == 130
    assert "--resume" in answer.err
    assert vm("list", "--json").json["encoders"][0]["name"] == "other"
    resumed = vm("train", "--from", shop, "look", *FAST, "--resume", "--json").json
    assert resumed["metrics"] == whole["metrics"]
    assert [row["loss"] for row in resumed["history"]] == [row["loss"] for row in whole["history"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--loss", "softmax"), "choose one of CircleLoss"),
        (("--embedder-layers", "big"), "must be a whole number"),
        (("--input-size", "big"), "must be a whole number"),
    ],
)
def test_options_that_cannot_be_read_are_told(arguments, words, without_torch, shop):
    answer = without_torch("train", "--from", shop, "look", *FAST, *arguments)
    assert answer.code == 1
    assert words in answer.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--input-size", "64"), "no input size"),
        (("--val-classes", "red"), "go with --split class"),
        (("--mode", "whole"), "cannot be trained on"),
        (("--trunk", "no/such-model"), "not on this machine"),
        (("--resume",), "no checkpoint"),
        (("--split", "given"), "in no part"),
    ],
)
def test_wrong_wishes_are_told(arguments, words, vm, shop, tmp_path):
    answer = vm("train", "--from", shop, "look", *FAST, *arguments)
    assert answer.code == 1
    assert words in answer.err
    assert not (tmp_path / "data" / "encoders").exists()


def test_an_encoder_has_a_plain_name(vm, shop):
    answer = vm("train", "Not A Name", "--from", shop, *FAST)
    assert answer.code == 1 and "is not an encoder name" in answer.err


def test_mlflow_is_asked_for_or_left_alone(vm, shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    answer = vm("train", "--from", shop, "look", *FAST, "--mlflow", "file:./runs")
    assert answer.code == 1
    assert "MLflow is not installed" in answer.err


def test_one_source_must_be_named(vm, shop):
    for arguments in ((), ("--from", shop, "--category", "shop")):
        assert "Say what to learn from" in vm("train", "look", *arguments).err
    assert "There is no trained encoder" in vm("eval", "look", "--from", shop).err


def test_an_output_folder_is_never_overwritten(vm, shop, tmp_path):
    assert vm("train", "--from", shop, "look", *FAST, "--to", tmp_path / "out").code == 0
    before = (tmp_path / "out" / "config.json").read_bytes()
    again = vm("train", "--from", shop, "look", *FAST, "--to", tmp_path / "out", "--json")
    assert again.json["error"]["code"] == "already_exists"
    assert (tmp_path / "out" / "config.json").read_bytes() == before


def test_a_name_means_its_latest_version(tmp_path):
    for version in ("20260101-000000", "20260102-000000"):
        (tmp_path / "encoders" / "look" / version).mkdir(parents=True)
        (tmp_path / "encoders" / "look" / version / "config.json").write_text(json.dumps({}))
    assert find_folder(tmp_path, "look").name == "20260102-000000"
    assert find_folder(tmp_path, "look/20260101-000000").name == "20260101-000000"
    with pytest.raises(BadRequest):
        find_folder(tmp_path, "gone")
    for number in (1, 2):
        new = new_folder(tmp_path, "look")
        assert new.name.startswith(f"v000{number}-")
        (tmp_path / "encoders" / "look" / new.name).mkdir()
        (new / "config.json").write_text(json.dumps({}))
        assert find_folder(tmp_path, "look") == new
    set_back = tmp_path / "encoders" / "look" / "v0003-19700101-000000"
    set_back.mkdir()
    (set_back / "config.json").write_text(json.dumps({}))
    assert find_folder(tmp_path, "look") == set_back


def test_the_commands_are_listed_without_loading_what_they_need():
    heavy = ("torch", "numpy", "transformers", "qdrant_client")
    code = f"import sys, vitrine.cli.metric.commands; print(*[n for n in {heavy!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
