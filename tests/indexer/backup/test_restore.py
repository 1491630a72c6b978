"""What was backed up is what is restored: points, pictures, taggers, bin, undo, saved searches."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.indexer.pictures import CATEGORY, add_pictures, id_of, picture
from vitrine.indexer.backup.create import create_backup
from vitrine.indexer.backup.place import Place, open_place
from vitrine.indexer.backup.restore import restore_backup
from vitrine.services.category.changes.said import ImageChanges
from vitrine.services.domain import Near, Query
from vitrine.services.errors import AlreadyExists, NotFound, StoreDamaged
from vitrine.services.runtime import Runtime

Whole = dict[str, tuple[dict[str, object], dict[str, list[float]]]]


def same(one: Whole, other: Whole) -> bool:
    """Whether payloads are equal, and vectors as far as engines keep them."""
    return {id: payload for id, (payload, _) in one.items()} == {
        id: payload for id, (payload, _) in other.items()
    } and all(
        np.allclose(row, other[id][1][name], atol=2e-4) and vectors.keys() == other[id][1].keys()
        for id, (_, vectors) in one.items()
        for name, row in vectors.items()
    )


def whole(runtime: Runtime, category: str = CATEGORY) -> Whole:
    """Payload and vectors of every image."""
    using = tuple(spec.name for spec in runtime.catalog.get(category).encoders)
    hits = runtime.vectors.scroll(category, limit=10_000, with_vectors=using).hits
    return {hit.id: (hit.payload, {name: row.tolist() for name, row in hit.vectors.items()}) for hit in hits}


def test_restored_category_is_the_same(runtime: Runtime, place: Place, empty: Runtime) -> None:
    made = create_backup(runtime, place)
    assert (made.status, made.categories, made.lacking) == ("complete", {CATEGORY: 40}, [])
    report = restore_backup(empty, place)
    assert (report.error, report.categories) == (None, {CATEGORY: 40})
    assert whole(empty) == whole(runtime)
    before, after = runtime.catalog.get(CATEGORY), empty.catalog.get(CATEGORY)
    assert (after.encoders, after.indexes, after.created_at, after.images) == (
        before.encoders, before.indexes, before.created_at, 40,
    )  # fmt: skip
    for seed in range(40):
        key = whole(empty)[id_of(seed)][0]["object_key"]
        assert empty.objects.get(str(key)) == picture(seed)


def test_bin_undo_and_saved_searches_come_back(runtime: Runtime, place: Place, empty: Runtime) -> None:
    undo = runtime.editor.change(CATEGORY, [id_of(1)], ImageChanges(add_tags=("mine",))).undo
    assert undo is not None
    deleted = runtime.editor.delete(CATEGORY, [id_of(2), id_of(3)])
    runtime.saved.put(CATEGORY, "odd ones", {"filter": {"tags": "odd"}})
    create_backup(runtime, place)
    restore_backup(empty, place)
    assert {one.hit.id for one in empty.editor.bin.images(CATEGORY).images} == {id_of(2), id_of(3)}
    assert [saved.name for saved in empty.saved.all(CATEGORY)] == ["odd ones"]
    assert deleted.undo is not None
    empty.editor.undo(deleted.undo.token)
    found = whole(empty)
    assert len(found) == 40
    assert empty.objects.get(str(found[id_of(2)][0]["object_key"])) == picture(2)
    empty.editor.undo(undo.token)
    assert whole(empty)[id_of(1)][0]["tags"] == ["odd"]


def test_second_backup_writes_only_what_is_new(runtime: Runtime, place: Place, empty: Runtime) -> None:
    first = create_backup(runtime, place)
    again = open_place(place.name, runtime.settings, make=False)
    assert create_backup(runtime, again).files == 0
    add_pictures(runtime, range(40, 42))
    third = create_backup(runtime, open_place(place.name, runtime.settings, make=False))
    assert first.files > 40
    assert third.files == 4  # two pictures, the part that their points are in, a line of the journal
    restore_backup(empty, place, backup=first.backup)
    assert len(whole(empty)) == 40


def test_category_that_is_there_is_refused(runtime: Runtime, place: Place) -> None:
    create_backup(runtime, place)
    before = whole(runtime)
    with pytest.raises(AlreadyExists, match="vitrine category delete things"):
        restore_backup(runtime, place)
    assert whole(runtime) == before


def test_over_pictures_that_a_deletion_kept(runtime: Runtime, place: Place) -> None:
    create_backup(runtime, place)
    before = whole(runtime)
    runtime.catalog.delete(CATEGORY, keep_images=True)
    assert restore_backup(runtime, place).error is None
    assert whole(runtime) == before


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
def test_damaged_file_is_named_and_nothing_half_restored_is_in_service(
    runtime: Runtime, place: Place, empty: Runtime, tmp_path: Path, where: float
) -> None:
    create_backup(runtime, place)
    files = sorted((tmp_path / "backups/content").glob("*/*"))
    damaged = files[int(where * len(files))]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(bytes(data))
    report = restore_backup(empty, place)
    assert isinstance(report.error, StoreDamaged)
    assert damaged.name in report.error.message
    assert empty.catalog.list() == []
    with pytest.raises(NotFound):
        empty.catalog.get(CATEGORY)
    data[len(data) // 2] ^= 1  # the right file is found elsewhere: the same call goes on
    damaged.write_bytes(bytes(data))
    assert restore_backup(empty, place).error is None
    assert whole(empty) == whole(runtime)


def test_missing_file_is_named_before_anything_is_written(
    runtime: Runtime, place: Place, empty: Runtime, tmp_path: Path
) -> None:
    create_backup(runtime, place)
    part = place.read().categories[0].parts[0].sha256
    next((tmp_path / "backups/content").glob(f"*/{part}")).unlink()
    report = restore_backup(empty, place)
    assert isinstance(report.error, StoreDamaged) and part in report.error.message
    assert empty.vectors.collections() == []


def test_interrupted_restore_goes_on(runtime: Runtime, place: Place, empty: Runtime) -> None:
    create_backup(runtime, place)

    class Stop(threading.Event):
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 1

    assert restore_backup(empty, place, stop=Stop()).interrupted
    assert empty.catalog.list() == []
    again = restore_backup(empty, place)
    assert again.error is None
    assert whole(empty) == whole(runtime)


def test_picture_that_the_category_lost_is_named_and_the_rest_goes_on(
    runtime: Runtime, place: Place, empty: Runtime
) -> None:
    key = str(whole(runtime)[id_of(5)][0]["object_key"])
    other = str(whole(runtime)[id_of(6)][0]["object_key"])
    runtime.objects.delete(key)
    runtime.objects.put(other, b"something else")
    report = create_backup(runtime, place)
    assert report.status == "refused"
    assert sorted((name, found) for name, found, _ in report.lacking) == sorted(
        [(CATEGORY, key), (CATEGORY, other)]
    )
    assert restore_backup(empty, place).error is None
    assert len(whole(empty)) == 40


def test_into_the_object_store_and_out(runtime: Runtime, empty: Runtime) -> None:
    inside = open_place("objects:backups", runtime.settings, runtime.objects, make=True)
    create_backup(runtime, inside)
    assert runtime.catalog.remains() == []
    before = whole(runtime)
    runtime.catalog.delete(CATEGORY)
    again = open_place("objects:backups", runtime.settings, runtime.objects, make=False)
    assert restore_backup(runtime, again).error is None
    assert whole(runtime) == before


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_to_a_server_and_back(
    runtime: Runtime, server: Runtime, place: Place, empty: Runtime, tmp_path: Path
) -> None:
    create_backup(runtime, place)
    assert restore_backup(server, place).error is None
    assert same(whole(server), whole(runtime))
    back = open_place(str(tmp_path / "back"), runtime.settings, make=True)
    made = create_backup(server, back)
    assert (made.status, made.notes) == ("complete", [])
    assert restore_backup(empty, back).error is None
    assert same(whole(empty), whole(runtime))
    using = runtime.catalog.get(CATEGORY).encoders[0].name
    for seed in range(40):
        (hit,) = runtime.vectors.retrieve(CATEGORY, [id_of(seed)], with_vectors=(using,))
        assert hit is not None
        asked = Query(Near(hit.vectors[using]), using, limit=5)
        answers = [each.vectors.query(CATEGORY, asked) for each in (runtime, server, empty)]
        assert len({tuple(hit.id for hit in answer) for answer in answers}) == 1
        first, *others = [[hit.similarity for hit in answer] for answer in answers]
        assert all(np.allclose(first, other, atol=1e-6) for other in others)
