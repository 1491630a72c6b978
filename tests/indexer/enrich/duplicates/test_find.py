"""The search for duplicates as a whole, over a store of plain loops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.indexer.enrich.duplicates.scenes import scene
from tests.indexer.pictures import CATEGORY, file_of, make_runtime, payloads, write
from vitrine.indexer.enrich.duplicates.changes import deletable, delete, dismiss, keep
from vitrine.indexer.enrich.duplicates.find import find_duplicates
from vitrine.indexer.enrich.duplicates.report import DuplicateReport
from vitrine.indexer.enrich.duplicates.store import mark
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.services.artifacts.duplicates import FIELD, DuplicateGroup, DuplicateRun, Member
from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.runtime import Runtime
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ById, ByVector


def shop(runtime: Runtime, folder: Path) -> None:
    """Four scenes; of the first two there are copies."""
    files = {f"{n}.png": file_of(scene(n)) for n in range(4)}
    files["0-jpeg.jpg"] = file_of(scene(0), "JPEG", 60)
    files["0-half.png"] = file_of(scene(0).resize((100, 75), Image.Resampling.LANCZOS))
    files["0-blur.png"] = file_of(scene(0).filter(ImageFilter.GaussianBlur(1)))
    files["1.bmp"] = file_of(scene(1), "BMP")
    index_images(open_source(str(write(folder, files))), runtime, CATEGORY)


def named(runtime: Runtime, report: DuplicateReport) -> list[list[str]]:
    names = {hit.id: str(hit.payload["filename"]) for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits}
    return [[names[id] for id in group.ids] for group in report.groups]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    made = make_runtime(tmp_path / "data")
    shop(made, tmp_path / "shop")
    yield made
    made.encoders.close()


def test_copies_are_grouped_and_the_best_is_kept(runtime: Runtime) -> None:
    report = find_duplicates(runtime, CATEGORY)
    first, second = named(runtime, report)
    assert first[0] == "0.png" and sorted(first[1:]) == ["0-blur.png", "0-half.png", "0-jpeg.jpg"]
    assert sorted(second) == ["1.bmp", "1.png"]
    assert report.kinds["identical"] == 1 and report.duplicates == 4
    stored = payloads(runtime)
    assert {stored[name][FIELD] for name in first} == {report.groups[0].id}
    assert FIELD not in stored["2.png"] and FIELD not in stored["3.png"]


def test_a_dry_run_and_a_stopped_one_write_nothing(runtime: Runtime) -> None:
    assert len(find_duplicates(runtime, CATEGORY, dry_run=True).groups) == 2
    stop = threading.Event()
    stop.set()
    report = find_duplicates(runtime, CATEGORY, stop=stop)
    assert report.exit_code == 130 and not report.groups
    assert runtime.duplicates.current(CATEGORY) is None
    assert not any(FIELD in payload for payload in payloads(runtime).values())


def test_dismissed_images_stay_dismissed(runtime: Runtime) -> None:
    report = find_duplicates(runtime, CATEGORY)
    blurred = next(
        hit.id
        for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits
        if hit.payload["filename"] == "0-blur.png"
    )
    assert dismiss(runtime, CATEGORY, report.groups[0].id, [blurred]) == 3
    assert FIELD not in payloads(runtime)["0-blur.png"]
    again = find_duplicates(runtime, CATEGORY)
    assert [len(group.ids) for group in again.groups] == [3, 2] and all(
        blurred not in group.ids for group in again.groups
    )
    dismiss(runtime, CATEGORY, again.groups[1].id)
    assert [len(group.ids) for group in find_duplicates(runtime, CATEGORY).groups] == [3]
    with pytest.raises(NotFound):
        dismiss(runtime, CATEGORY, "9-9")


def test_what_a_person_chose_to_keep_is_kept_again_and_the_rest_deleted(runtime: Runtime) -> None:
    report = find_duplicates(runtime, CATEGORY)
    group = report.groups[0]
    keep(runtime, CATEGORY, group.id, group.ids[2])
    again = find_duplicates(runtime, CATEGORY)
    assert again.groups[0].keep == group.ids[2] and again.groups[0].chosen
    with pytest.raises(BadRequest):
        keep(runtime, CATEGORY, again.groups[0].id, again.groups[1].keep)
    takes = deletable(runtime, CATEGORY, kinds=["identical"]).takes
    assert list(takes) == [again.groups[1].id]
    keys = {hit.id: hit.payload["object_key"] for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits}
    assert delete(runtime, CATEGORY, takes).images == 1
    runtime.editor.empty_bin(CATEGORY)
    assert runtime.objects.stat(keys[again.groups[1].others[0]]) is None
    assert [g.id for g in runtime.duplicates.get(CATEGORY).groups] == [again.groups[0].id]
    assert delete(runtime, CATEGORY, deletable(runtime, CATEGORY).takes).images == 3
    assert runtime.vectors.count(CATEGORY) == 4 and not any(
        FIELD in payload for payload in payloads(runtime).values()
    )


def test_a_run_that_was_killed_half_way_is_never_seen_and_the_next_one_removes_it(runtime: Runtime) -> None:
    report = find_duplicates(runtime, CATEGORY)
    ids = [hit.id for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits]
    group = DuplicateGroup("", tuple(Member(id, "edited", 0.9) for id in ids))
    half = runtime.duplicates.save(CATEGORY, DuplicateRun("colour", len(ids), (group,)))
    mark(runtime, CATEGORY, half)  # and here it is killed
    options = SearchOptions(limit=8, collapse=True)
    assert runtime.duplicates.get(CATEGORY).groups == report.groups
    assert len(runtime.searcher.search(CATEGORY, ByVector(np.ones(_dim(runtime))), options).hits) == 4
    again = find_duplicates(runtime, CATEGORY)
    assert [group.id for group in again.groups] == ["3-1", "3-2"]
    values = {repr(payload.get(FIELD)) for payload in payloads(runtime).values()}
    assert values == {"None", "'3-1'", "'3-2'"}


def test_a_search_gives_one_of_each_group_and_counts_the_others(runtime: Runtime) -> None:
    report = find_duplicates(runtime, CATEGORY)
    groups = {id: group.id for group in report.groups for id in group.ids}
    found = runtime.searcher.search(
        CATEGORY, ByVector(np.ones(_dim(runtime))), SearchOptions(limit=8, collapse=True)
    )
    assert len(found.hits) == 4 and sorted(found.similar.values()) == [1, 3]
    assert len({groups.get(hit.id, hit.id) for hit in found.hits}) == 4
    rest = runtime.searcher.search(
        CATEGORY, ByVector(np.ones(_dim(runtime))), SearchOptions(limit=2, offset=2, collapse=True)
    )
    assert [hit.id for hit in rest.hits] == [hit.id for hit in found.hits[2:]]
    mine = report.groups[0].keep
    others = runtime.searcher.search(CATEGORY, ById(mine), SearchOptions(limit=8, collapse=True))
    assert sorted(others.similar.values()) == [1, 2]


def _dim(runtime: Runtime) -> int:
    return runtime.catalog.get(CATEGORY).encoder().dim
