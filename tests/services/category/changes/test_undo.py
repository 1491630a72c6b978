"""Edits and deletions that are taken back, on their own, after others, and at once with others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.services.failing import Failing, Interrupted
from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.category.catalog import Catalog
from vitrine.services.category.changes.entries import Undo
from vitrine.services.category.changes.reading import SLICE
from vitrine.services.category.editor import Editor, ImageChanges
from vitrine.services.category.thumbnails import Thumbnails, thumbnail_key
from vitrine.services.domain import Payload, Point
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import NotFound
from vitrine.services.images.budget import DecodeBudget, ImageLimits
from vitrine.services.images.open import point_id
from vitrine.services.object_store.base import list_keys
from vitrine.services.object_store.local import LocalObjectStore

A, B, C, ABSENT = (point_id(digit * 64) for digit in "abcf")
SPEC = ColourEncoder().spec


class World:
    """A category ``c`` of images, with a clock that is set by hand."""

    def __init__(self, folder: Path, vectors: OracleVectorStore | None = None) -> None:
        self.vectors, self.objects = vectors or OracleVectorStore(), LocalObjectStore(folder, min_free_mb=0)
        self.catalog = Catalog(self.objects, self.vectors)
        self.thumbnails = Thumbnails(self.objects, ImageLimits, lambda: DecodeBudget(1 << 30))
        self.now = datetime(2026, 12, 1, 9, tzinfo=UTC)
        self.versions: dict[str, dict[str, str]] = {}
        self.editor = self.another()
        self.catalog.create("c", [SPEC])

    def another(self) -> Editor:
        """As another process has it."""
        return Editor(
            self.catalog,
            self.vectors,
            self.objects,
            self.thumbnails,
            versions=lambda category: self.versions,
            clock=lambda: self.now,
        )

    def add(self, id: str, **payload: Any) -> None:
        key = f"c/images/{id}"
        self.objects.put(key, b"picture")
        vector = np.random.default_rng(int(id[:8], 16)).normal(size=SPEC.dim).astype(np.float32)
        point = Point(id, {SPEC.name: vector / np.linalg.norm(vector)}, {"object_key": key, **payload})
        self.vectors.upsert("c", [point])

    def payload(self, id: str) -> Payload:
        hit = self.vectors.retrieve("c", [id])[0]
        assert hit is not None
        return hit.payload

    def state(self) -> list[Any]:
        """All images, whole."""
        hits = self.vectors.scroll("c", limit=10_000, with_vectors=(SPEC.name,)).hits
        return [(hit.id, hit.payload, hit.vectors[SPEC.name].tolist()) for hit in hits]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    for id in (A, B, C):
        made.add(id, tags=["old", "flat"], metadata={"year": 1990}, **{"class": "hat"})
    return made


def token(undo: Undo | None) -> str:
    assert undo is not None
    return undo.token


def change(world: World, *ids: str, **changes: Any) -> str:
    return token(world.editor.change("c", ids, ImageChanges.model_validate(changes)).undo)


@pytest.mark.parametrize(
    "changes",
    [
        {"add_tags": ["new"]},
        {"remove_tags": ["old"]},
        {"tags": ["flat", "x", "old"]},
        {"reject_tags": ["old", "never"]},
        {"class": None, "caption": "A hat", "quality": 0.5},
        {"metadata": {"year": None, "place": "Oslo"}},
        {"tags": [], "class": "cap", "metadata": {"year": 2001}},
    ],
)
def test_an_edit_is_taken_back_and_made_again(world: World, changes: dict[str, Any]) -> None:
    before = world.state()
    undo = change(world, A, B, **changes)
    after = world.state()
    assert after != before
    done = world.another().undo(undo)  # a token holds in every process
    assert (done.undone, done.kept) == (2, ())
    assert bare(world.state()) == bare(before)
    again = world.editor.undo(token(done.undo))
    assert (again.undone, bare(world.state())) == (2, bare(after))


def bare(state: list[Any]) -> list[Any]:
    """Without empty lists and objects, which mean the same as none."""
    return [
        (id, {name: value for name, value in payload.items() if value not in ([], {})}, vector)
        for id, payload, vector in state
    ]


def test_a_token_works_once_and_for_a_day(world: World) -> None:
    used = change(world, A, add_tags=["one"])
    world.editor.undo(used)
    old = change(world, A, add_tags=["two"])
    world.now += timedelta(hours=24)
    for gone in (used, old, "c.x", "nonsense", f"other.{old.partition('.')[2]}", "c.../../x"):
        with pytest.raises(NotFound):
            world.editor.undo(gone)
    assert world.payload(A)["tags"] == ["old", "flat", "two"]


def test_an_edit_without_effect_has_nothing_to_undo(world: World) -> None:
    assert world.editor.change("c", [A], ImageChanges(add_tags=("old",))).undo is None
    assert list_keys(world.objects, "_undo/") == []


def test_undoing_leaves_alone_what_was_changed_since_and_what_is_gone(world: World) -> None:
    undo = change(world, A, B, C, add_tags=["sale"], metadata={"year": 2001})
    change(world, A, add_tags=["mine"], metadata={"place": "Oslo"})  # something else
    change(world, B, metadata={"year": 2002})  # the same column
    world.editor.delete("c", [C])
    done = world.editor.undo(undo)
    assert (done.undone, set(done.kept)) == (2, {B, C})
    assert world.payload(A)["tags"] == ["old", "flat", "mine"]
    assert world.payload(A)["metadata"] == {"year": 1990, "place": "Oslo"}
    assert world.payload(B)["tags"] == ["old", "flat"] and world.payload(B)["metadata"] == {"year": 2002}


def test_edits_of_many_threads_at_once_all_count_and_are_all_taken_back(world: World) -> None:
    before = bare(world.state())
    with ThreadPoolExecutor(16) as pool:
        tokens = list(pool.map(lambda n: change(world, A, B, add_tags=[f"tag-{n}"]), range(60)))
    assert set(world.payload(A)["tags"]) == {"old", "flat", *(f"tag-{n}" for n in range(60))}
    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(world.editor.undo, tokens))
    assert [each.undone for each in done] == [2] * 60 and not any(each.kept for each in done)
    assert bare(world.state()) == before


def test_a_token_that_two_use_at_once_works_for_one(world: World) -> None:
    undo = change(world, A, add_tags=["new"])

    def use(number: int) -> int:
        try:
            return world.editor.undo(undo).undone
        except NotFound:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(use, range(8))) == 1


def test_deleted_images_come_back_whole(world: World) -> None:
    before = world.state()
    outcome = world.editor.delete("c", [A, B, ABSENT])
    assert (outcome.matched, outcome.changed, outcome.missing) == (2, 2, (ABSENT,))
    assert world.catalog.get("c").images == 1 and world.vectors.count("c") == 1
    assert world.objects.stat(f"c/images/{A}") is not None
    page = world.editor.bin.images("c")
    assert page.total == 2 and {one.hit.id for one in page.images} == {A, B}
    assert page.images[0].hit.payload["class"] == "hat"
    assert page.images[0].deleted_at == "2026-12-01T09:00:00.000+00:00"
    done = world.editor.undo(token(outcome.undo))
    assert (done.undone, done.kept, world.state()) == (2, (), before)
    assert world.catalog.get("c").images == 3 and list_keys(world.objects, "_bin/") == []
    again = world.editor.undo(token(done.undo))
    assert (again.undone, world.vectors.count("c"), world.editor.bin.images("c").total) == (2, 1, 2)


def test_images_are_restored_one_by_one_by_their_ids(world: World) -> None:
    before = world.state()
    world.editor.delete("c", [A, B])
    world.editor.delete("c", [C])
    outcome = world.editor.restore("c", [B, ABSENT])
    assert (outcome.matched, outcome.changed, outcome.missing) == (1, 1, (ABSENT,))
    assert {one.hit.id for one in world.editor.bin.images("c").images} == {A, C}
    assert world.editor.restore("c", [A, B, C]).changed == 2
    assert world.state() == before and world.editor.bin.images("c").total == 0


def test_the_bin_is_read_page_by_page_latest_first(world: World) -> None:
    for id in (A, B, C):
        world.editor.delete("c", [id])
        world.now += timedelta(minutes=1)
    read = [world.editor.bin.images("c", limit=1, offset=n) for n in range(4)]
    assert [[one.hit.id for one in page.images] for page in read] == [[C], [B], [A], []]
    assert {page.total for page in read} == {3}


def test_what_was_indexed_again_is_left_as_it_is(world: World) -> None:
    outcome = world.editor.delete("c", [A])
    world.add(A, tags=["fresh"])
    assert world.editor.bin.images("c").total == 0  # it is not deleted any more
    restored = world.editor.restore("c", [A])
    assert (restored.changed, restored.unchanged) == (0, 1)
    done = world.editor.undo(token(outcome.undo))
    assert (done.undone, done.kept) == (0, (A,))
    assert world.payload(A)["tags"] == ["fresh"]
    assert world.editor.empty_bin("c") == 0 and world.objects.stat(f"c/images/{A}") is not None


def test_a_restored_image_that_people_have_changed_is_not_deleted_again(world: World) -> None:
    outcome = world.editor.delete("c", [A, B])
    done = world.editor.undo(token(outcome.undo))
    change(world, A, add_tags=["mine"])
    again = world.editor.undo(token(done.undo))
    assert (again.undone, again.kept) == (1, (A,)) and world.payload(A)["tags"][-1] == "mine"


def test_the_bin_is_emptied_after_a_day_by_the_next_deletion_and_at_the_start(world: World) -> None:
    world.editor.delete("c", [A])
    world.now += timedelta(hours=12)
    world.editor.delete("c", [B])
    world.now += timedelta(hours=12)
    assert world.editor.bin.images("c").total == 1  # what is too old cannot be restored
    assert world.editor.restore("c", [A]).missing == (A,)
    world.editor.delete("c", [C])
    assert world.objects.stat(f"c/images/{A}") is None and world.objects.stat(f"c/images/{B}") is not None
    assert {one.hit.id for one in world.editor.bin.images("c").images} == {B, C}
    world.now += timedelta(hours=25)
    world.another().sweep()
    kept = ("_categories/", "_journal/")
    assert [key for key in list_keys(world.objects, "") if not key.startswith(kept)] == []


def test_emptying_the_bin_keeps_the_picture_of_what_is_deleted_again_later(world: World) -> None:
    world.editor.delete("c", [A])
    world.now += timedelta(hours=20)
    world.add(A, tags=["fresh"])
    latest = world.editor.delete("c", [A])
    world.now += timedelta(hours=6)
    world.another().sweep()
    assert world.objects.stat(f"c/images/{A}") is not None
    world.editor.undo(token(latest.undo))
    assert world.payload(A)["tags"] == ["fresh"]


def test_nothing_brings_back_what_was_removed_from_the_bin(world: World) -> None:
    outcome = world.editor.delete("c", [A, B])
    world.objects.put(thumbnail_key("c", A, 320), b"small")
    assert world.editor.empty_bin("c") == 2
    assert list_keys(world.objects, "_thumbnails/") == []
    assert world.objects.stat(f"c/images/{A}") is None
    with pytest.raises(NotFound, match="for good"):
        world.editor.undo(token(outcome.undo))
    assert world.vectors.count("c") == 1


def test_a_damaged_object_of_the_bin_does_not_hold_up_the_others(world: World) -> None:
    world.editor.delete("c", [A])
    (key,) = list_keys(world.objects, "_bin/")
    world.objects.put(key, world.objects.get(key)[:-40] + b"x" * 40)
    with pytest.raises(Exception, match="damaged"):
        world.editor.restore("c", [A])
    world.objects.put(key, b"{}")
    world.now += timedelta(minutes=1)
    world.editor.delete("c", [B])
    assert world.another().bin.images("c").total == 1
    assert world.another().restore("c", [B]).changed == 1


def test_a_restored_image_has_nothing_of_runs_that_were_replaced_since(world: World) -> None:
    world.vectors.set_payload(
        "c", {A: {"clusters": {"look-1": {"id": "3"}, "form-1": {"id": "4"}}, "maps": {"umap-1": {"x": 0.5}}}}
    )
    world.editor.delete("c", [A])
    world.now += timedelta(hours=1)
    world.versions = {
        "clusters": {"look-1": "2026-12-01T09:30:00.000+00:00", "form-1": "2026-12-01T08:00:00.000+00:00"},
        "maps": {},
    }
    world.editor.restore("c", [A])
    payload = world.payload(A)
    assert payload["clusters"] == {"form-1": {"id": "4"}} and not payload.get("maps")


def test_many_images_are_changed_slice_by_slice_and_taken_back_by_one_token(tmp_path: Path) -> None:
    class Counting(OracleVectorStore):
        calls = 0

        def set_payload(self, *arguments: Any, **options: Any) -> None:
            type(self).calls += 1
            super().set_payload(*arguments, **options)

    world = World(tmp_path, Counting())
    ids = [point_id(f"{number:064x}") for number in range(2 * SLICE + 50)]
    for number, id in enumerate(ids):
        world.add(id, tags=["old"] * (number % 2))
    before = bare(world.state())
    outcome = world.editor.change_found("c", [*ids, ABSENT], ImageChanges(add_tags=("old",)))
    assert (outcome.matched, outcome.changed, outcome.missing) == (len(ids), len(ids) // 2, (ABSENT,))
    assert Counting.calls == 2  # of the images that change there are two slices
    assert len(list_keys(world.objects, "_undo/")) == 1
    done = world.editor.undo(token(outcome.undo))
    assert (done.undone, bare(world.state())) == (len(ids) // 2, before)
    outcome = world.editor.delete("c", ids)
    assert (outcome.changed, world.vectors.count("c"), len(list_keys(world.objects, "_bin/"))) == (2050, 0, 3)
    assert world.editor.undo(token(outcome.undo)).undone == len(ids)
    assert bare(world.state()) == before


def test_several_changes_are_taken_back_together(world: World) -> None:
    before = bare(world.state())
    record = world.editor.record("c")
    world.editor.change("c", [A], ImageChanges(add_tags=("merged",)), record=record)
    world.editor.delete("c", [B], record=record)
    world.editor.change("c", [A], ImageChanges(remove_tags=("old",)), record=record)
    done = world.editor.undo(token(record.undo))
    assert (done.undone, done.kept, bare(world.state())) == (2, (), before)
    again = world.editor.undo(token(done.undo))
    assert world.payload(A)["tags"] == ["flat", "merged"] and world.vectors.count("c") == 2
    world.editor.undo(token(again.undo))
    assert bare(world.state()) == before


def test_a_deleted_category_takes_its_bin_and_its_changes_with_it(world: World) -> None:
    change(world, A, add_tags=["new"])
    world.editor.delete("c", [B])
    assert list_keys(world.objects, "_undo/c/") and list_keys(world.objects, "_bin/c/")
    assert world.catalog.remains() == []
    world.catalog.delete("c")
    assert list_keys(world.objects, "") == [] and world.catalog.remains() == []


ACTS: dict[str, Callable[[Editor, World], object]] = {
    "edit": lambda editor, world: editor.change("c", [A, B], ImageChanges(add_tags=("new",))),
    "delete": lambda editor, world: editor.delete("c", [A, B]),
    "restore": lambda editor, world: editor.restore("c", [C]),
    "undo": lambda editor, world: editor.undo(world.undo),  # type: ignore[attr-defined]
    "empty": lambda editor, world: editor.empty_bin("c"),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_kill_at_any_moment_loses_nothing_and_leaves_nothing_half(tmp_path: Path, act: str) -> None:
    after, killed = 0, True
    while killed:
        world = World(tmp_path / act / str(after))
        for id in (A, B, C):
            world.add(id, tags=["old"])
        world.undo = token(world.editor.delete("c", [C]).undo)  # type: ignore[attr-defined]
        left = [after]
        editor = Editor(
            Catalog(Failing(world.objects, left), Failing(world.vectors, left)),  # type: ignore[arg-type]
            Failing(world.vectors, left),  # type: ignore[arg-type]
            Failing(world.objects, left),  # type: ignore[arg-type]
            world.thumbnails,
            clock=lambda: world.now,  # noqa: B023  # used within the round
        )
        try:
            ACTS[act](editor, world)
            killed = False
        except Interrupted:
            pass
        check_whole(world, binned_may_be_gone=act == "empty")
        if killed:
            ACTS[act](world.editor, world) if act != "undo" else finish_undo(world)
            check_whole(world, binned_may_be_gone=act == "empty")
        world.now += timedelta(hours=25)
        world.another().sweep()
        kept = {f"c/images/{hit.id}" for hit in world.vectors.scroll("c", limit=10).hits}
        there = {key for key in list_keys(world.objects, "") if not key.startswith("_journal/")}
        assert there == {"_categories/c.json", *kept}
        after += 1
    assert after > 2


def finish_undo(world: World) -> None:
    try:
        world.editor.undo(world.undo)  # type: ignore[attr-defined]
    except NotFound:  # the last write was the one that forgets the token
        assert world.vectors.count("c") == 3


def check_whole(world: World, *, binned_may_be_gone: bool) -> None:
    """Every image is in the category or in the bin, with its picture; the same for those of an edit."""
    here = {hit.id for hit in world.vectors.scroll("c", limit=10).hits}
    binned = {one.hit.id for one in world.another().bin.images("c").images}
    assert not here & binned
    assert {A, B} <= here | binned and (binned_may_be_gone or C in here | binned)
    assert all(world.objects.stat(f"c/images/{id}") is not None for id in here | binned)
