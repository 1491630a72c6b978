"""``vitrine cluster agree`` and ``name``, and what ``run`` says of stability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Kept, Run
from vitrine.services.domain import Point
from vitrine.services.images.open import point_id
from vitrine.services.settings import Settings

NAME = "grouped"


@pytest.fixture
def grouped(vitrine: Run, kept: Kept, empty_data: Path) -> Run:
    """A category of three colours, of which half have a class."""
    settings = Settings(data=empty_data, encoder="colour", _env_file=None)  # type: ignore[call-arg,unused-ignore]
    with kept.open_runtime(settings) as runtime:
        encoder = runtime.encoders.get("colour")
        runtime.catalog.create(NAME, [encoder.spec])
        rows = np.repeat(encoder.encode_texts(["red", "blue", "green"]), 20, axis=0)
        rows = rows + 0.05 * np.random.default_rng(1).normal(size=rows.shape)
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        points = [
            Point(
                point_id(f"{n:064x}"),
                {"colour": rows[n]},
                {"class": "berry"} if n < 20 else {"metadata": {"hue": n // 20}},
            )
            for n in range(60)
        ]
        runtime.catalog.ensure_indexes(NAME, {"metadata.hue": "integer"})
        runtime.vectors.upsert(NAME, points)
    return vitrine


def test_runs_are_made_named_and_compared(grouped: Run, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    words = tmp_path / "words.txt"
    words.write_text("red\nblue\ngreen\nsomething\n")
    tree = ("--branching", 3, "--leaf-size", 20, "--depth", 1)
    list_of = ("--words", words, "--prompt", "{}")
    made = grouped("cluster", "run", "one", "-c", NAME, *tree, "--stability", 2, *list_of, "--json")
    assert made.code == 0, made.err
    assert made.json["metrics"]["stability"]["mean"] == 1.0 and made.json["metrics"]["stability"][
        "seeds"
    ] == [0, 1, 2]
    children = grouped("cluster", "show", "one", "-c", NAME, "--json").json["children"]
    assert {(child["name"], child["named_by"]) for child in children} == {
        ("berry", "tags"),
        ("blue", "words"),
        ("green", "words"),
    }
    again = grouped("cluster", "run", "one", "-c", NAME, *tree)
    assert "agreement with the run it replaces (ARI): 1.000, over 60 images" in again.out

    named = grouped("cluster", "name", "one", "-c", NAME, "--words", words, "--prompt", "{}", "--json")
    assert (named.json["named"], named.json["by_tags"]) == (2, 1)
    assert sorted(named.json["names"].values()) == ["", "berry", "blue", "green"]
    plain = grouped("cluster", "name", "one", "-c", NAME, "--words", words)
    assert "2 of 4 nodes named by 4 words (colour), 1 by tags" in plain.err and "berry" in plain.out

    renamed = grouped("cluster", "rename", "one", "root-1", " Deep  sea ", "-c", NAME, "--json").json
    assert renamed["name"] == "Deep sea"
    grouped("cluster", "name", "one", "-c", NAME, "--words", words, "--prompt", "{}")
    assert grouped("cluster", "show", "one", "root-1", "-c", NAME, "--json").json["name"] == "Deep sea"
    grouped("undo", renamed["undo"]["token"])
    assert grouped("cluster", "show", "one", "root-1", "-c", NAME, "--json").json["name"] != "Deep sea"
    same = grouped("cluster", "rename", "one", "root-1", "Deep sea", "-c", NAME)
    assert "root-1: Deep sea." in same.err and "vitrine undo" in same.err
    assert grouped("cluster", "rename", "one", "root-9", "x", "-c", NAME).code != 0

    grouped("cluster", "run", "two", "-c", NAME, "--method", "kmeans", "--clusters", 2)
    found = grouped("cluster", "agree", "one", "two", "-c", NAME, "--json").json
    assert found["images"] == 60 and 0.4 < found["ari"] < 0.8 and len(found["matches"]) == 3
    assert {match["share"] for match in found["matches"]} == {1.0}
    assert "ARI" in grouped("cluster", "agree", "one", "two", "-c", NAME, "--level", 1).err
    field = grouped("cluster", "agree", "one", "-c", NAME, "--against", "metadata.hue", "--json").json
    assert (field["images"], field["purity"], field["ari"]) == (40, 1.0, 1.0)
    assert "purity:" in grouped("cluster", "agree", "one", "-c", NAME, "--against", "class").out


def test_noise_is_left_out_and_counted(grouped: Run) -> None:
    pytest.importorskip("sklearn")

    def run(name: str, *options: object) -> None:
        assert grouped("cluster", "run", name, "-c", NAME, *options).code == 0

    run("whole", "--method", "kmeans", "--clusters", 3)
    run("dense", "--method", "dbscan", "--eps", "0.13", "--min-samples", 5)
    [noise] = [
        child
        for child in grouped("cluster", "show", "dense", "-c", NAME, "--json").json["children"]
        if child["id"] == "root-noise"
    ]
    assert noise["radius"] is None and noise["name"] == "" and 0 < noise["count"] < 60
    found = grouped("cluster", "agree", "whole", "dense", "-c", NAME, "--json").json
    assert (found["images"], found["noise"]) == (60 - noise["count"], noise["count"])
    assert "root-noise" not in {match["other"] for match in found["matches"]} and found["ari"] == 1.0
    told = grouped("cluster", "agree", "dense", "whole", "-c", NAME).err
    assert f"{noise['count']} images are left out" in told
    field = grouped("cluster", "agree", "dense", "-c", NAME, "--against", "metadata.hue", "--json").json
    assert field["images"] + field["noise"] == 40 and field["purity"] == 1.0


def test_a_run_in_place_of_a_named_one_says_that_the_names_are_gone(grouped: Run, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    words = tmp_path / "words.txt"
    words.write_text("red\nblue\ngreen\n")
    kmeans = ("cluster", "run", "one", "-c", NAME, "--method", "kmeans", "--clusters", 3)
    assert "names" not in grouped(*kmeans).out
    grouped("cluster", "name", "one", "-c", NAME, "--words", words, "--prompt", "{}")
    assert "vitrine cluster name one --words FILE" in grouped(*kmeans).out
    assert "names" not in grouped(*kmeans).out


def test_what_is_wrong_is_said_before_any_work(grouped: Run, tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("# nothing\n")
    (tmp_path / "words.txt").write_text("red\n")
    for options in (
        ("--words", tmp_path / "none.txt"),
        ("--words", tmp_path / "words.txt", "--prompt", "no place"),
    ):
        assert grouped("cluster", "run", "one", "-c", NAME, *options).code == 1
    assert grouped("cluster", "list", "-c", NAME, "--json").json == []
    assert "one of the two" in grouped("cluster", "agree", "one", "-c", NAME).err
    assert "not_found" in grouped("cluster", "name", "one", "-c", NAME, "--words", tmp_path / "words.txt").err
