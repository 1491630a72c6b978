from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.taggers.test_train import examples
from vitrine.training.taggers.options import TrainOptions
from vitrine.training.taggers.report import bars, write_report
from vitrine.training.taggers.train import Training, train_taggers


@pytest.fixture(scope="module")
def training() -> Training:
    return train_taggers(examples(n=600, shares=(0.1, 0.4)), TrainOptions(grid=(1.0,)))


def test_the_report_is_there_for_programs_for_readers_and_for_the_eye(
    training: Training, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    folder = write_report(tmp_path / "report", training, title="Taggers of shop")
    tree = json.loads((folder / "report.json").read_bytes())
    assert [row["tag"] for row in tree["taggers"]] == ["t0", "t1"]
    assert len(tree["taggers"][0]["metrics"]["calibration"]) == 10
    text = (folder / "report.md").read_text()
    assert "# Taggers of shop" in text and "| t0 |" in text and "overview.png" in text
    assert {path.name for path in folder.glob("*.png")} == {"overview.png", "001-t0.png", "002-t1.png"}
    assert all((folder / name).read_bytes()[:4] == b"\x89PNG" for name in ("overview.png", "001-t0.png"))


def test_a_tag_may_hold_what_a_plot_takes_for_a_formula(training: Training, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    reports = tuple(
        replace(report, head=replace(report.head, tag=tag))
        for report, tag in zip(training.reports, ("$x_$", "a/b|c"), strict=True)
    )
    folder = write_report(tmp_path, replace(training, reports=reports), title="Taggers")
    assert {path.name for path in folder.glob("*.png")} == {"overview.png", "001--x_-.png", "002-a-b-c.png"}
    assert r"| a/b\|c |" in (folder / "report.md").read_text()


def test_pictures_can_be_left_out(training: Training, tmp_path: Path) -> None:
    folder = write_report(tmp_path, training, title="t", plots=False)
    assert not list(folder.glob("*.png")) and "png" not in (folder / "report.md").read_text()


def test_bars_are_longest_where_most_are() -> None:
    lines = bars([0, 5, 10], width=10)
    assert [line.count("#") for line in lines] == [0, 5, 10]
