from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_a_table_a_plot_and_json(filled: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "timing.png"
    common = ("bench", "timing", "-c", "shop", "--sizes", "6,12,99", "--tasks", "clustering,tagger,search")
    answer = filled(*common, "--to", plot, "--json")
    assert answer.code == 0, answer.err
    assert (answer.json["sizes"], answer.json["images"], plot.exists()) == ([6, 12], 12, True)
    assert [row["task"] for row in answer.json["tasks"]] == ["clustering", "tagger", "search"]
    assert all(isinstance(row["exponent"], float) for row in answer.json["tasks"] if row["task"] != "tagger")
    assert "99 is cut" in answer.json["notes"][0]
    shown = filled(*common)
    assert (
        shown.out.splitlines()[0].split("\t") == ["task", "6 images", "12 images", "exponent"]
        and "99 is cut" in shown.err
    )


def test_a_plot_without_its_library_is_refused_before_the_work(
    filled: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitrine.services.extras.has_library", lambda name: False)
    monkeypatch.setattr("vitrine.indexer.timing.time_tasks", None)
    answer = filled("bench", "timing", "-c", "shop", "--to", "plot.png")
    assert answer.code == 1 and "missing_extra" in answer.err


def test_what_cannot_be_timed(filled: Run) -> None:
    for arguments in (("--sizes", "many"), ("--tasks", "lunch"), ("--to", "plot.txt"), ("--sizes", "1")):
        answer = filled("bench", "timing", "-c", "shop", "--tasks", "clustering", *arguments)
        assert answer.code == 1 and "bad_request" in answer.err, arguments
    assert "not_found" in filled("bench", "timing", "-c", "nowhere").err


def test_the_recall_of_the_search_index(filled: Run) -> None:
    found = filled("bench", "recall", "-c", "shop", "--queries", "5", "--limit", "3", "--json").json
    assert (found["using"], found["queries"], found["limit"], found["recall"]) == ("colour", 5, 3, 1.0)
    shown = filled("bench", "recall", "-c", "shop")
    assert shown.out.splitlines()[0].split("\t") == ["queries", "recall@10", "index ms", "exact ms"]
    filled("category", "create", "empty")
    assert "not_found" in filled("bench", "recall", "-c", "empty").err
    assert filled("category", "delete", "empty", "--yes").code == 0
