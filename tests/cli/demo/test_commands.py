from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Run
from vitrine.services.errors import MissingExtra


def test_the_demo_draws_indexes_searches_learns_and_is_free_the_second_time(
    vitrine: Run, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    data = ("--data", tmp_path / "data")  # the shared one may hold an encoder that another test has trained
    options = ("--folder", tmp_path / "out", "--count", 50)
    first = vitrine(*data, "demo", *options, "-e", "colour", "--json")
    assert first.code == 0, first.err
    assert first.json["index"]["added"] == 50
    assert [search["kind"] for search in first.json["searches"]] == [
        "picture", "text", "tag and score", "picture and class", "taggers",
    ]  # fmt: skip
    learned = first.json["learned"]
    assert learned["encoder"]["fresh"] and learned["encoder"]["metrics"].keys() == {"candidate", "trunk"}
    assert learned["taggers"]["fresh"] and 0 < learned["taggers"]["mean"] <= 1
    found = first.json["found"]
    assert found["clusters"]["fresh"] and found["clusters"]["using"].startswith("look-")
    assert sum(node["images"] for node in found["clusters"]["nodes"]) == 50 == found["clusters"]["images"]
    assert (
        found["clusters"]["nodes"][0]["id"] == "root-0"
        and found["clusters"]["nodes"][0]["class"]["count"] > 0
    )
    duplicates = found["duplicates"]
    assert duplicates["fresh"] and duplicates["planted"] == 4
    assert duplicates["found"] <= 4 and duplicates["redrawn"] <= duplicates["wrong"] <= duplicates["groups"]
    drawn = [Path(path) for path in (*found["clusters"]["treemaps"], duplicates["sheet"])]
    assert [path.name for path in drawn] == ["treemap.svg", "treemap.png", "duplicates.png"]
    before = [path.stat().st_mtime_ns for path in drawn]
    for search in first.json["searches"]:
        assert search["hits"][0].keys() == {"id", "similarity", "class", "design"}
        with Image.open(search["sheet"]) as sheet:
            assert sheet.format == "PNG"
    drawn[0].unlink()
    second = vitrine(*data, "demo", *options, "-e", "colour")
    assert "All 50 pictures are indexed already" in second.err
    assert (
        "make serve" in second.out and "curl -s http://127.0.0.1:8000/v1/categories/demo/search" in second.out
    )
    assert second.out.count("Contact sheet: ") == 6
    assert "Found: a tree of clusters, 'look', on look-" in second.out and "planted copies" in second.out
    assert drawn[0].exists() and [path.stat().st_mtime_ns for path in drawn[1:]] == before[1:]
    assert "Trained before; report" in second.out and "Training an encoder" not in second.err
    another = vitrine(*data, "demo", *options, "-e", "second=vitrine/colour", "--json")
    assert another.json["index"]["updated"] == 50


def test_the_demo_trains_no_encoder_without_torch_and_shows_all_else(
    vitrine: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("vitrine.training.metric.run", "vitrine.training.metric.train"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    data = ("--data", tmp_path / "data")
    options = ("--folder", tmp_path / "out", "--count", 50, "-e", "colour")
    first = vitrine(*data, "demo", *options, "--json")
    assert first.code == 0, first.err
    assert first.err.count("No encoder is trained. This needs torch") == 1
    assert "pip install 'vitrine[train]'" in first.err
    kinds = [search["kind"] for search in first.json["searches"]]
    assert kinds == ["picture", "text", "tag and score", "taggers"]
    assert first.json["learned"]["encoder"] is None and first.json["learned"]["taggers"]["mean"] > 0
    assert first.json["found"]["clusters"]["using"] == "colour"
    assert first.json["found"]["duplicates"]["planted"] == 4
    second = vitrine(*data, "demo", *options)
    assert "Learned: an encoder" not in second.out and "Learned: " in second.out
    assert second.out.count("Contact sheet: ") == 5


def test_the_demo_goes_on_where_clusters_and_copies_need_what_is_missing(
    vitrine: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise MissingExtra("This needs scikit-image, which is not installed: install the extra cluster.")

    monkeypatch.setattr("vitrine.cli.demo.commands.learn", lambda *_: None)
    monkeypatch.setattr("vitrine.indexer.enrich.duplicates.find.find_duplicates", missing)
    monkeypatch.setattr("vitrine.indexer.enrich.clusters.runs.cluster", missing)
    answer = vitrine("demo", "--folder", tmp_path / "out", "--count", 50, "-e", "colour", "--json")
    assert answer.code == 0 and answer.json["found"] == {"clusters": None, "duplicates": None}
    assert (
        "No clusters are made. This needs" in answer.err
        and "No duplicates are looked for. This needs" in answer.err
    )
