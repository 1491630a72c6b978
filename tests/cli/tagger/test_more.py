from __future__ import annotations

import csv
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from tests.cli.conftest import Answer, Run, environment
from tests.training.taggers.old_files import to_npz
from vitrine.cli.main import VitrineGroup
from vitrine.cli.tagger.more import convert, quality, zero_shot
from vitrine.services.encoders.families.fake import COLOURS, ColourEncoder

Shop = Callable[..., Answer]
DRAWN = ("red", "blue", "green", "yellow")
PER_COLOUR = 12


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 pictures of four colours and a manifest; a picture is rated by how bright it is."""
    folder = tmp_path_factory.mktemp("drawn")
    generator = np.random.default_rng(4)
    rows = ["path,rating"]
    for colour in DRAWN:
        for number in range(PER_COLOUR):
            share = 0.5 + 0.5 * (number + 1) / PER_COLOUR
            pixels = (
                np.array(COLOURS[colour]) * share
                + 255 * (1 - share)
                + generator.integers(-9, 10, (20, 20, 3))
            )
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB").save(
                folder / f"{colour}-{number}.png"
            )
            rows.append(f"{colour}-{number}.png,{10 * (1 - share) + 1:.2f}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def shop(vitrine: Run, drawn: Path, empty_data: Path, tmp_path: Path) -> Shop:
    """The three commands on a category of these pictures."""
    name = tmp_path.name[-60:].lower()  # the engine stays open between tests: each has a category of its own
    added = vitrine("index", "add", drawn / "manifest.csv", "-c", name, "--create")
    assert added.code == 0, added.err
    app = typer.Typer(cls=VitrineGroup)
    app.callback()(lambda: None)
    for command, function in (("quality", quality), ("zero-shot", zero_shot), ("convert", convert)):
        app.command(command)(function)

    def run(command: str, *arguments: object) -> Answer:
        words = [command, *(str(argument) for argument in arguments), "-c", name]
        result = CliRunner().invoke(app, words, env=environment(empty_data))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


def test_quality_from_ratings_and_from_pairs(shop: Shop, tmp_path: Path) -> None:
    tree = shop("quality", "--ratings", "metadata.rating", "--json").json
    assert tree["tag"] == "quality" and tree["examples"] == {"ratings": 48}
    assert tree["metrics"]["spearman"] > 0.6 and sum(tree["metrics"]["histogram"]) == 48
    shown = shop("quality", "--ratings", "metadata.rating")
    assert "spearman" in shown.out and "tagger score" in shown.err
    pairs = tmp_path / "pairs.csv"
    generator = np.random.default_rng(1)
    lines = ["better,worse", "red-1.png,nowhere.png"]
    for _ in range(300):
        left, right = generator.integers(0, PER_COLOUR, 2)
        first, second = generator.choice(DRAWN, 2)
        if left != right:
            lines.append(f"{first}-{min(left, right)}.png,{second}-{max(left, right)}.png")
    pairs.write_text("\n".join(lines))
    answer = shop("quality", "--pairs", pairs, "--json")
    assert answer.json["metrics"]["pair_accuracy"] > 0.7 and "1 pairs" in answer.err


def test_quality_says_what_is_wrong(shop: Shop, tmp_path: Path) -> None:
    assert "bad_request" in shop("quality").err
    assert "too_few_examples" in shop("quality", "--ratings", "metadata.nothing").err
    assert "bad_request" in shop("quality", "--ratings", "metadata.rating", "--high", 5).err
    assert "bad_request" in shop("quality", "--pairs", tmp_path / "none.csv").err
    assert "unknown_vector" in shop("quality", "--ratings", "metadata.rating", "--using", "none").err


def test_words_are_scored_written_and_put_into_service(shop: Shop, tmp_path: Path) -> None:
    words, table = tmp_path / "words.txt", tmp_path / "scores.csv"
    words.write_text("\n".join(DRAWN))
    tree = shop("zero-shot", "--words", words, "--to", table, "--keep", "--json").json
    assert (
        [row["word"] for row in tree["words"]] == list(DRAWN) and tree["images"] == 48 and tree["trained_at"]
    )
    for row in tree["words"]:
        assert row["best"][0]["filename"].startswith(row["word"]) and row["images"] > 0
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 48 and set(rows[0]) == {"id", *(f"scores.{word}" for word in DRAWN)}
    templates = tmp_path / "templates.txt"
    templates.write_text("something {}\n")
    plain = shop("zero-shot", "--words", words, "--templates", templates)
    assert (
        plain.out.splitlines()[0].split("\t") == ["word", "images", "best"]
        and "Nothing was kept" in plain.err
    )


def test_words_that_cannot_be_scored(shop: Shop, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("red\n")
    assert "bad_request" in shop("zero-shot", "--words", tmp_path / "none.txt").err
    assert "bad_request" in shop("zero-shot", "--words", words, "--to", tmp_path / "scores.xls").err


def test_an_old_classifier_becomes_taggers(shop: Shop, drawn: Path, tmp_path: Path) -> None:
    sklearn = pytest.importorskip("sklearn.linear_model")
    names = [path.name for path in sorted(drawn.glob("*.png"))]
    x = ColourEncoder().encode_images([Image.open(drawn / name) for name in names])
    colours = [name.partition("-")[0] for name in names]
    file = tmp_path / "old.npz"

    def dump(value: Any) -> Path:
        file.write_bytes(to_npz(value))
        return file

    red = [colour == "red" for colour in colours]
    dump(sklearn.LogisticRegression(C=100).fit(x, np.where(red, 0, 1)))
    unsaid = shop("convert", file, "--tag", "red")
    assert unsaid.code == 1 and "--positive-class 0, or 1" in unsaid.err
    assert shop("convert", file, "--tag", "red", "--positive-class", 0, "--json").json[0]["class"] == "0"
    dump(sklearn.LogisticRegression(C=100).fit(x, red))
    seen = shop("convert", file, "--tag", "red")
    assert seen.code == 0 and "Nothing was kept" in seen.err, seen.err
    (row,) = shop("convert", file, "--tag", "red", "--keep", "--json").json
    assert (row["tag"], row["class"], row["kind"], row["using"]) == (
        "red",
        "True",
        "converted-logistic-regression",
        "colour",
    )
    assert (row["roc_auc"], row["positives"], row["saved"]) == (None, 0, True) and "too few to check" in row[
        "note"
    ]
    dump(sklearn.LogisticRegression().fit(x, colours))
    assert [row["tag"] for row in shop("convert", file, "--json").json] == sorted(DRAWN)
    assert [
        row["tag"] for row in shop("convert", file, "--class", "blue", "--tag", "sky", "--json").json
    ] == ["sky"]
    assert "softmax" in shop("convert", file, "--class", "blue").err
    dump(sklearn.LogisticRegression().fit(x[:, :5], red))
    assert (
        json.loads(shop("convert", file, "--tag", "red", "--json").out)["error"]["code"] == "tagger_mismatch"
    )
    file.write_bytes(pickle.dumps(print))
    assert "docs/training.md" in shop("convert", file, "--tag", "red").err
    assert "bad_request" in shop("convert", tmp_path, "--tag", "red").err
