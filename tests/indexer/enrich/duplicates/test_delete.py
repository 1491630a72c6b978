"""Deleting copies: what people said of them is kept, whenever the deletion is cut short."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.indexer.enrich.duplicates.scenes import scene
from tests.indexer.enrich.duplicates.test_kills import Killed, kill_at
from tests.indexer.pictures import CATEGORY, file_of, make_runtime, payloads, write
from vitrine.indexer.enrich.duplicates.changes import deletable, delete, dismiss, keep, said_of
from vitrine.indexer.enrich.duplicates.find import find_duplicates
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.services.artifacts.duplicates import DuplicateGroup, Member
from vitrine.services.category.editor import ImageChanges
from vitrine.services.runtime import Runtime

TAGS = {
    "0.png": {"mug"},
    "0.jpg": {"red", "sale"},
    "0.bmp": {"red", "old"},
    "1.png": {"hat"},
    "1.jpg": {"sale"},
}


def made(folder: Path) -> Runtime:
    """Two groups, found; each image has its own words."""
    runtime = make_runtime(folder / "data")
    files = {f"{n}.png": file_of(scene(n)) for n in (0, 1)}
    files |= {f"{n}.jpg": file_of(scene(n), "JPEG", 80) for n in (0, 1)} | {"0.bmp": file_of(scene(0), "BMP")}
    index_images(open_source(str(write(folder / "pictures", files))), runtime, CATEGORY)
    for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits:
        name = str(hit.payload["filename"])
        changes = ImageChanges(
            add_tags=tuple(sorted(TAGS[name])), metadata={"shot": name, f"of {name[2:]}": 1}
        )
        runtime.editor.change(CATEGORY, [hit.id], changes)
        if name == "0.jpg":
            said = ImageChanges(**{"caption": "A red mug", "class": "mug", "quality": 0.7})
            runtime.editor.change(CATEGORY, [hit.id], said)
    find_duplicates(runtime, CATEGORY)
    return runtime


def test_what_people_said_goes_to_the_image_that_is_kept(tmp_path: Path) -> None:
    runtime = made(tmp_path)
    done = delete(runtime, CATEGORY, deletable(runtime, CATEGORY).takes)
    assert (done.images, done.merged) == (3, 2)
    left = payloads(runtime)
    assert len(left) == 2
    first = next(payload for name, payload in left.items() if name.startswith("0"))
    assert set(first["tags"]) == {"mug", "red", "sale", "old"}  # type: ignore[call-overload]
    assert (first["caption"], first["class"], first["quality"]) == ("A red mug", "mug", 0.7)
    assert first["metadata"] == {"shot": first["filename"], "of png": 1, "of jpg": 1, "of bmp": 1}
    assert runtime.catalog.get(CATEGORY).indexes['metadata."of jpg"'] == "integer"
    runtime.encoders.close()


def test_it_can_be_left_out(tmp_path: Path) -> None:
    runtime = made(tmp_path)
    before = payloads(runtime)
    done = delete(runtime, CATEGORY, deletable(runtime, CATEGORY).takes, merge=False)
    assert (done.images, done.merged) == (3, 0)
    assert all(payload["tags"] == before[name]["tags"] for name, payload in payloads(runtime).items())
    runtime.encoders.close()


def state(runtime: Runtime) -> tuple[object, ...]:
    """All that a decision on duplicates can change."""
    hits = runtime.vectors.scroll(CATEGORY, limit=100).hits
    run = runtime.duplicates.get(CATEGORY)
    return [(hit.id, hit.payload) for hit in hits], run.groups, runtime.duplicates.dismissed(CATEGORY)


def test_deleting_copies_is_taken_back_with_their_groups(tmp_path: Path) -> None:
    runtime = made(tmp_path)
    before = state(runtime)
    done = delete(runtime, CATEGORY, deletable(runtime, CATEGORY).takes)
    after = state(runtime)
    assert done.undo is not None and after != before
    undone = runtime.editor.undo(done.undo.token)
    assert (undone.undone, undone.kept, state(runtime)) == (5, (), before)
    assert undone.undo is not None
    runtime.editor.undo(undone.undo.token)
    assert state(runtime) == after
    assert all(set(takes) for takes in deletable(runtime, CATEGORY).takes.values())
    runtime.encoders.close()


def test_keeping_and_dismissing_are_taken_back(tmp_path: Path) -> None:
    runtime = made(tmp_path)
    before, record = state(runtime), runtime.editor.record(CATEGORY)
    group = max(runtime.duplicates.get(CATEGORY).groups, key=lambda group: len(group.members))
    keep(runtime, CATEGORY, group.id, group.ids[1], record=record)
    dismiss(runtime, CATEGORY, group.id, [group.ids[2]], record=record)
    after = state(runtime)
    assert after != before and record.undo is not None
    undone = runtime.editor.undo(record.undo.token)
    assert (undone.undone, state(runtime)) == (3, before) and undone.undo is not None
    runtime.editor.undo(undone.undo.token)
    assert state(runtime) == after
    runtime.encoders.close()


def test_a_group_that_was_changed_since_and_one_of_another_run_stay(tmp_path: Path) -> None:
    runtime = made(tmp_path)
    first, second = (runtime.editor.record(CATEGORY) for _ in range(2))
    group = max(runtime.duplicates.get(CATEGORY).groups, key=lambda group: len(group.members))
    keep(runtime, CATEGORY, group.id, group.ids[1], record=first)
    keep(runtime, CATEGORY, group.id, group.ids[2], record=second)
    chosen = state(runtime)
    assert first.undo is not None and second.undo is not None
    undone = runtime.editor.undo(first.undo.token)
    assert (undone.undone, set(undone.kept), state(runtime)) == (0, set(group.ids), chosen)
    find_duplicates(runtime, CATEGORY)
    anew = state(runtime)
    undone = runtime.editor.undo(second.undo.token)
    assert (undone.undone, set(undone.kept), state(runtime)) == (0, set(group.ids), anew)
    runtime.encoders.close()


def test_nothing_is_lost_wherever_it_is_cut_short(tmp_path: Path) -> None:
    number, ended = 0, False
    while not ended:
        runtime = made(tmp_path / str(number))
        takes = deletable(runtime, CATEGORY).takes
        with pytest.MonkeyPatch.context() as patch:
            kill_at(runtime, number, patch, more=(("vectors", "delete"),))
            try:
                delete(runtime, CATEGORY, takes)
                ended = True
            except Killed:
                number += 1
        for group in ("0", "1"):
            left = [payload for name, payload in payloads(runtime).items() if name.startswith(group)]
            said = set().union(*(payload["tags"] for payload in left))  # type: ignore[arg-type]
            assert said == set().union(*(tags for name, tags in TAGS.items() if name.startswith(group)))
        assert any(payload.get("caption") == "A red mug" for payload in payloads(runtime).values())
        for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits:
            assert runtime.objects.stat(hit.payload["object_key"]) is not None, "a point without its picture"
        delete(runtime, CATEGORY, deletable(runtime, CATEGORY).takes)
        assert runtime.vectors.count(CATEGORY) == 2
        runtime.encoders.close()
    assert number >= 8


def test_a_group_whose_image_to_keep_has_gone_is_left_alone(tmp_path: Path) -> None:
    runtime = made(tmp_path)
    takes = deletable(runtime, CATEGORY).takes
    group = runtime.duplicates.get(CATEGORY).group(next(iter(takes)))
    runtime.editor.delete(CATEGORY, [group.keep])
    assert delete(runtime, CATEGORY, {group.id: takes[group.id]}).images == 0
    assert runtime.vectors.count(CATEGORY) == 4
    assert group == DuplicateGroup(group.id, group.members) and isinstance(group.members[0], Member)
    runtime.encoders.close()


def test_the_contrary_of_what_was_said_is_not_taken_over() -> None:
    kept = {
        "tags": ["red"],
        "rejected_tags": ["old"],
        "class": "mug",
        "quality": 0.2,
        "scored_by": {"quality": "tagger"},
    }
    others = [
        {
            "tags": ["old", "new"],
            "rejected_tags": ["red", "blue"],
            "class": "cup",
            "quality": 0.9,
            "scored_by": {"quality": "x"},
        },
        {"quality": 0.4, "metadata": {"place": "Oslo"}},
    ]
    changes = said_of(kept, others)
    assert changes is not None
    assert (changes.add_tags, changes.reject_tags, changes.class_) == (("new",), ("blue",), None)
    assert changes.quality == 0.4 and changes.metadata == {"place": "Oslo"}
    assert said_of(kept, [{"tags": ["red"]}]) is None
