"""New images that are copies of others are told, or not indexed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.indexer.enrich.duplicates.scenes import scene
from tests.indexer.pictures import CATEGORY, file_of, make_runtime, payloads, write
from vitrine.indexer.enrich.duplicates.changes import dismiss
from vitrine.indexer.enrich.duplicates.find import find_duplicates
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.job.report import IndexReport, ItemOutcome, NearDuplicates
from vitrine.indexer.sources.open import open_source
from vitrine.services.artifacts.duplicates import FIELD
from vitrine.services.runtime import Runtime


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    made = make_runtime(tmp_path / "data")
    add(made, tmp_path / "first", {f"{n}.png": file_of(scene(n)) for n in range(3)})
    yield made
    made.encoders.close()


def add(
    runtime: Runtime, folder: Path, files: dict[str, bytes], what: NearDuplicates = "ignore"
) -> tuple[IndexReport, dict[str, ItemOutcome]]:
    told: list[ItemOutcome] = []
    source = open_source(str(write(folder, files)))
    report = index_images(source, runtime, CATEGORY, near_duplicates=what, on_outcome=told.append)
    return report, {outcome.filename: outcome for outcome in told}


def copies() -> dict[str, bytes]:
    """Of the stored 0 and 1, of each other, the same bytes twice, and a new one."""
    half = scene(0).resize((100, 75), Image.Resampling.LANCZOS)
    return {
        "a-half.png": file_of(half),
        "b-same.png": file_of(half),
        "c-jpeg.jpg": file_of(scene(1), "JPEG", 60),
        "d-pixels.bmp": file_of(scene(2), "BMP"),
        "e-new.png": file_of(scene(7)),
        "f-new.jpg": file_of(scene(7), "JPEG", 70),
    }


def test_copies_are_told(runtime: Runtime, tmp_path: Path) -> None:
    ids = {name: outcome.id for name, outcome in add(runtime, tmp_path / "first", {})[1].items()}
    report, told = add(runtime, tmp_path / "more", copies(), "tell")
    assert (report.added, report.known, report.near, report.duplicate, report.exit_code) == (5, 1, 4, 0, 0)
    found = {name: (outcome.near.id, outcome.near.kind) for name, outcome in told.items() if outcome.near}
    assert found == {
        "a-half.png": (ids["0.png"], "resized"),
        "c-jpeg.jpg": (ids["1.png"], "resized"),
        "d-pixels.bmp": (ids["2.png"], "identical"),
        "f-new.jpg": (told["e-new.png"].id, "resized"),
    }
    assert told["b-same.png"].outcome == "known"
    assert "4 are near-duplicates" in report.summary() and len(report.to_json()["near_duplicates"]) == 4
    again, _ = add(runtime, tmp_path / "more", {}, "tell")
    assert (again.known, again.near) == (6, 0), "only new images are compared"


def test_copies_are_not_indexed(runtime: Runtime, tmp_path: Path) -> None:
    before = payloads(runtime)
    objects = {stat.key for stat in runtime.objects.list(f"{CATEGORY}/")}
    report, told = add(runtime, tmp_path / "more", copies(), "skip")
    assert (report.added, report.duplicate, report.near, report.images) == (1, 5, 0, 4)
    assert {name for name, outcome in told.items() if outcome.outcome == "duplicate"} == set(copies()) - {
        "e-new.png"
    }
    assert told["a-half.png"].id is None and told["a-half.png"].near == told["b-same.png"].near
    after = payloads(runtime)
    assert set(after) == {*before, "e-new.png"} and all(after[name] == before[name] for name in before)
    assert len({stat.key for stat in runtime.objects.list(f"{CATEGORY}/")} - objects) == 1
    assert not any(FIELD in payload for payload in after.values())
    assert add(runtime, tmp_path / "more", {}, "skip")[0].duplicate == 5, "again: the same"


def test_a_larger_copy_is_no_copy_to_leave_out(runtime: Runtime, tmp_path: Path) -> None:
    small = file_of(scene(8).resize((100, 75), Image.Resampling.LANCZOS))
    report, told = add(
        runtime, tmp_path / "more", {"1-small.png": small, "2-whole.png": file_of(scene(8))}, "skip"
    )
    assert (report.added, report.duplicate) == (2, 0)
    assert told["2-whole.png"].near is not None and told["2-whole.png"].near.kind == "resized"
    assert (
        add(runtime, tmp_path / "less", {"3-small.jpg": file_of(scene(8), "JPEG", 80)}, "skip")[0].duplicate
        == 1
    )


def test_the_same_bytes_in_later_batches_share_the_outcome(runtime: Runtime, tmp_path: Path) -> None:
    copy = file_of(scene(0), "JPEG", 50)
    source = open_source(str(write(tmp_path / "many", {f"{n}.jpg": copy for n in range(7)})))
    report = index_images(source, runtime, CATEGORY, near_duplicates="skip", batch_size=2)
    assert (report.duplicate, report.added, report.images) == (7, 0, 3)


def test_what_people_dismissed_is_no_copy(runtime: Runtime, tmp_path: Path) -> None:
    copy = {"copy.jpg": file_of(scene(0), "JPEG", 50)}
    told = add(runtime, tmp_path / "more", copy)[1]["copy.jpg"]
    dismiss(runtime, CATEGORY, find_duplicates(runtime, CATEGORY).groups[0].id)
    runtime.editor.delete(CATEGORY, [str(told.id)])
    assert add(runtime, tmp_path / "more", copy, "skip")[0].added == 1
