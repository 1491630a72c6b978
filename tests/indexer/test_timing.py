"""Timings over sizes, on a clock that is turned by the tasks themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.indexer.pictures import CATEGORY, picture
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.indexer.timing import QUERIES, Sample, Timing, draw_timing, exponent, indexer_tasks, time_tasks
from vitrine.services.errors import BadRequest, TooFewExamples
from vitrine.services.runtime import Runtime

IMAGES = 24


@pytest.fixture
def shop(runtime: Runtime) -> Runtime:
    records = [
        ImageRecord("test", f"{seed}.png", lambda seed=seed: picture(seed), tags=("even",) * (seed % 2 == 0))  # type: ignore[misc]
        for seed in range(IMAGES)
    ]
    assert index_images(records, runtime, CATEGORY).added == IMAGES
    return runtime


def test_exponents_are_those_of_the_sizes(shop: Runtime) -> None:
    now, seen = [0.0], []

    def square(sample: Sample) -> None:
        now[0] += len(sample.ids) ** 2
        seen.append((set(sample.ids), sample.x.shape, sample.scratch.vectors.count("sample")))

    def steady(sample: Sample) -> float:
        return 0.25

    def broken(sample: Sample) -> None:
        raise TooFewExamples("Nobody tagged anything.")

    tasks = {"square": square, "steady": steady, "broken": broken}
    report = time_tasks(shop, CATEGORY, [6, 12, 100, 200, 6], tasks, clock=lambda: now[0])
    assert report.sizes == [6, 12, IMAGES] and report.images == IMAGES
    assert [report.timed("square", size) for size in report.sizes] == [36, 144, 576]
    assert report.exponents == {"square": 2.0, "steady": 0.0, "broken": None}
    assert report.notes == [
        "The category has 24 images: 100, 200 are cut to that.",
        "broken: Nobody tagged anything.",
    ]
    assert [(len(ids), shape[0], count) for ids, shape, count in seen] == [
        (6, 6, 6),
        (6, 6, 6),
        (12, 12, 12),
        (24, 24, 24),
    ]
    assert seen[1][0] < seen[2][0] < seen[3][0]  # a sample is a part of the next
    tree = json.loads(json.dumps(report.to_json()))
    assert tree["tasks"][0] == {"task": "square", "seconds": {"6": 36, "12": 144, "24": 576}, "exponent": 2.0}
    assert shop.vectors.count(CATEGORY) == IMAGES and [one.name for one in shop.catalog.list()] == [CATEGORY]


@pytest.mark.parametrize("ends", [KeyboardInterrupt, InterruptedError])
def test_what_was_timed_before_it_ended_is_reported(shop: Runtime, ends: type[BaseException]) -> None:
    def large_ends(sample: Sample) -> float:
        if len(sample.ids) > 6:
            raise ends
        return 0.25

    report = time_tasks(shop, CATEGORY, [6, 12], {"large": large_ends})
    assert (report.status, report.exit_code) == ("interrupted", 130)
    assert [(row.size, row.seconds) for row in report.rows] == [(6, 0.25)]
    assert "Interrupted" in report.summary() and report.to_json()["status"] == "interrupted"


def test_the_tasks_of_the_indexer_run(shop: Runtime, tmp_path: Path) -> None:
    report = time_tasks(shop, CATEGORY, [8, 16], indexer_tasks("pca"))
    assert report.notes == [] and {row.task for row in report.rows} == {
        "embedding",
        "clustering",
        "map",
        "search",
    }
    assert all(row.seconds is not None and row.seconds > 0 for row in report.rows) and QUERIES > 1
    pytest.importorskip("matplotlib")
    draw_timing(report, tmp_path / "plots" / "timing.svg")
    text = (tmp_path / "plots" / "timing.svg").read_text()
    assert "<svg" in text
    with pytest.raises(BadRequest):
        draw_timing(report, tmp_path / "timing.txt")


def test_what_cannot_be_timed(shop: Runtime) -> None:
    for sizes in ([], [2], [0, 10]):
        with pytest.raises(BadRequest, match="--sizes"):
            time_tasks(shop, CATEGORY, sizes, {})
    with pytest.raises(BadRequest):
        indexer_tasks("magic")
    assert (
        exponent([Timing("x", 10, 1.0)]) is None
        and exponent([Timing("x", 10, None), Timing("x", 20, 1.0)]) is None
    )
    assert exponent([Timing("x", 10, 1.0), Timing("x", 20, 4.0)]) == 2.0
