"""Moving pictures out of a category: every one of them ends in the folder, whatever is killed in between."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.indexer.pictures import CATEGORY, make_runtime, picture
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.runs import cluster, fit_tree
from vitrine.indexer.export import common as export
from vitrine.indexer.export import folders as export_folders
from vitrine.indexer.export import move as export_move
from vitrine.indexer.export.clusters.folders import ByCluster
from vitrine.indexer.export.move import JOURNAL, Mover
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.category.filters import parse_conditions
from vitrine.services.errors import BadRequest
from vitrine.services.images.open import content_hash, point_id
from vitrine.services.runtime import Runtime

IMAGES = 24
PAGE = 5
ALL = parse_conditions({})


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Pictures in clusters, several of one name, and an export that reads few at a time."""
    made = make_runtime(tmp_path / "data")
    records = [ImageRecord("test", f"{n % 7}.png", lambda n=n: picture(n)) for n in range(IMAGES)]  # type: ignore[misc]
    assert index_images(records, made, CATEGORY).added == IMAGES
    cluster(made, CATEGORY, "look", fit_tree(TreeOptions(3, 6)))
    monkeypatch.setattr(export, "PAGE", PAGE)
    yield made
    made.encoders.close()


def move(runtime: Runtime, target: Path, conditions: Any = ALL) -> tuple[export.ExportReport, int]:
    mover = Mover(runtime, CATEGORY, target)
    mover.complete()
    by = ByCluster(runtime.clusters.get(CATEGORY, "look"), 1)
    return export_folders.export_folders(
        runtime, CATEGORY, target, by, conditions=conditions, placed=mover
    ), mover.moved


def in_folder(target: Path) -> Counter[str]:
    return Counter(content_hash(path.read_bytes()) for path in target.rglob("*.png"))


def in_category(runtime: Runtime) -> set[str]:
    return {str(hit.payload["sha256"]) for hit in runtime.vectors.scroll(CATEGORY, limit=10_000).hits}


def objects(runtime: Runtime) -> set[str]:
    return {
        stat.key.rpartition("/")[2].partition(".")[0] for stat in runtime.objects.list(f"{CATEGORY}/images/")
    }


EVERY = {content_hash(picture(n)) for n in range(IMAGES)}


def test_all_pictures_leave(runtime: Runtime, tmp_path: Path) -> None:
    report, moved = move(runtime, tmp_path / "out")
    assert (report.images, report.files, report.exit_code, moved) == (IMAGES, IMAGES, 0, IMAGES)
    assert in_folder(tmp_path / "out") == Counter(EVERY) and not in_category(runtime) and not objects(runtime)
    assert not (tmp_path / "out" / JOURNAL).exists()
    again, moved = move(runtime, tmp_path / "out")
    assert (again.images, moved) == (0, 0) and in_folder(tmp_path / "out") == Counter(EVERY)


def test_only_those_asked_for_and_those_in_the_run_leave(runtime: Runtime, tmp_path: Path) -> None:
    index_images([ImageRecord("test", "new.png", lambda: picture(99))], runtime, CATEGORY)
    runtime.vectors.delete_payload(CATEGORY, [point_id(content_hash(picture(99)))], ["clusters.look-1"])
    chosen = parse_conditions({"filename": ["0.png", "new.png"]})
    report, moved = move(runtime, tmp_path / "out", chosen)
    assert (report.images, report.without, moved) == (4, 1, 4)
    assert len(in_category(runtime)) == IMAGES - 3 and in_category(runtime) == objects(runtime)


class Killed(BaseException):
    """What no code catches."""


def killing(work: Callable[..., Any], at: int, *, after: bool = False) -> Callable[..., Any]:
    """``work``, killed at its n-th call from 0 on, before or after it is done."""
    calls = iter(range(10_000))

    def call(*arguments: Any, **options: Any) -> Any:
        now = next(calls) == at
        if now and not after:
            raise Killed
        done = work(*arguments, **options)
        if now:
            raise Killed
        return done

    return call


STEPS = [
    ("copied", 0),
    ("copied", 7),
    ("synced", 3),
    ("noted", 0),
    ("noted", 2),
    ("points", 0),
    ("points", 1),
    ("points after", 0),
    ("points after", 3),
    ("object", 0),
    ("object", 3),
    ("object", 8),
    ("object after", 4),
    ("object after", 9),
    ("forgotten", 0),
    ("forgotten", 2),
]


@pytest.mark.parametrize(("step", "at"), STEPS)
def test_killed_between_any_two_steps_nothing_is_lost_and_the_next_run_completes(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, at: int
) -> None:
    target, after = tmp_path / "out", step.endswith("after")
    with monkeypatch.context() as patch:
        if step == "copied":
            patch.setattr(export_folders, "_copy", killing(export_folders._copy, at, after=True))
        elif step == "synced":
            patch.setattr(export_move, "sync", killing(export_move.sync, at))
        elif step == "noted":
            patch.setattr(export_move.os, "replace", killing(export_move.os.replace, at))
        elif step.startswith("points"):
            patch.setattr(runtime.vectors, "delete", killing(runtime.vectors.delete, at, after=after))
        elif step.startswith("object"):
            patch.setattr(runtime.objects, "delete", killing(runtime.objects.delete, at, after=after))
        else:
            # the first forgets nothing: it is the look for what an earlier move left
            patch.setattr(Mover, "_forget", killing(Mover._forget, at + 1))
        with pytest.raises(Killed):
            move(runtime, target)
    there = set(in_folder(target))
    assert there | in_category(runtime) == EVERY
    assert in_category(runtime) <= objects(runtime)  # no point without its picture
    report, _ = move(runtime, target)
    assert report.exit_code == 0
    assert in_folder(target) == Counter(EVERY) and not in_category(runtime)
    assert not objects(runtime) and [path.name for path in target.glob(".*")] == []


def test_links_and_files_that_changed_keep_their_picture(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = ByCluster(runtime.clusters.get(CATEGORY, "look"), 1)
    target = tmp_path / "out"
    export_folders.export_folders(runtime, CATEGORY, target, by, conditions=ALL, mode="symlink")
    report, moved = move(runtime, target)
    assert moved == 0 and {reason for _, reason in report.failed} == {"linked_file"} and report.exit_code == 3
    assert in_category(runtime) == objects(runtime) == EVERY and report.images == 0
    write = export_folders._copy
    monkeypatch.setattr(export_folders, "_copy", lambda data, path: write(b"cut", path))
    report, moved = move(runtime, tmp_path / "cut")
    assert moved == 0 and {reason for _, reason in report.failed} == {"file_changed"}
    assert in_category(runtime) == objects(runtime) == EVERY


def test_missing_and_damaged_pictures_stay(runtime: Runtime, tmp_path: Path) -> None:
    one, other = (runtime.searcher.image(CATEGORY, point_id(content_hash(picture(n)))) for n in (0, 1))
    runtime.objects.delete(one.payload["object_key"])
    runtime.objects.put(other.payload["object_key"], b"other bytes")
    report, moved = move(runtime, tmp_path / "out")
    assert moved == IMAGES - 2 and dict(report.failed) == {one.id: "image_missing", other.id: "damaged_image"}
    assert in_category(runtime) == {one.payload["sha256"], other.payload["sha256"]}


def test_a_note_is_believed_only_as_far_as_it_fits(runtime: Runtime, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    keys = {hit.id: hit.payload["object_key"] for hit in runtime.vectors.scroll(CATEGORY, limit=10_000).hits}
    some = next(iter(keys))
    forged = {**keys, point_id("0" * 64): keys[some], "no-id": f"_categories/{CATEGORY}.json"}
    (target / JOURNAL).write_text(json.dumps({"category": CATEGORY, "objects": forged}))
    Mover(runtime, CATEGORY, target).complete()
    assert objects(runtime) == EVERY and runtime.catalog.get(CATEGORY).name == CATEGORY
    for text in ("{", "[]", json.dumps({"category": "other", "objects": {}})):
        (target / JOURNAL).write_text(text)
        with pytest.raises(BadRequest):
            Mover(runtime, CATEGORY, target).complete()


def test_a_file_is_no_folder_to_move_into(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadRequest, match="is not a folder"):
        move(runtime, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine" and len(in_category(runtime)) == IMAGES
