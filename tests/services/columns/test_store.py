"""Columns are read once, kept as the category is, and not kept where they are too many."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.columns.keeper import Keeper
from vitrine.services.columns.store import ColumnStore
from vitrine.services.columns.table import to_texts
from vitrine.services.domain import Hit, Page, Point
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.errors import NotFound, Unavailable, UnknownField
from vitrine.services.images.open import point_id
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.settings import Settings
from vitrine.services.vector_store.changes import Changes, Version

NAME = "shop"
IDS = sorted(point_id(f"{number:064x}") for number in range(40))


class WatchedStore(OracleVectorStore):
    """Counts full readings and points that were read again. ``gate``: pages wait for it. ``complete``: what
    it says of its changes. ``failing``: pages raise."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0
        self.read_again: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.complete, self.failing = True, False

    def scroll(self, collection: str, **options: Any) -> Page:  # type: ignore[override]
        if options.get("cursor") is None:
            self.readings += 1
        self.gate.wait(20)
        if self.failing:
            raise Unavailable("gone")
        return super().scroll(collection, **options)

    def retrieve(self, collection: str, ids: Sequence[str], **options: Any) -> list[Hit | None]:  # type: ignore[override]
        self.read_again += ids
        return super().retrieve(collection, ids, **options)

    def changes(self, collection: str, since: Version | None = None) -> Changes:
        found = super().changes(collection, since)
        return Changes(found.version, found.ids, self.complete)


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
def runtime(tmp_path: Path, store: WatchedStore) -> Iterator[Runtime]:
    settings = Settings(data=tmp_path, _env_file=None)  # type: ignore[call-arg,unused-ignore]
    pool = EncoderPool(settings)
    spec = pool.register(ColourEncoder()).spec
    made = assemble(settings, store, LocalObjectStore(tmp_path, min_free_mb=0), pool)
    made.catalog.create(NAME, [spec])
    vector = np.full(64, 0.125, np.float32)
    store.upsert(NAME, [Point(id, {"colour": vector}, {"class": "mug", "width": 9}) for id in IDS])
    yield made
    pool.close()


def classes(columns: ColumnStore, **options: Any) -> dict[str, str]:
    """The class of each image, by id."""
    found = columns.snapshot(NAME, ["class"], patience=None)
    assert found is not None
    column, ids = found.table.columns["class"], to_texts(found.table.ids)
    return {
        ids[row]: str(column.words.values[code])
        for row, code in zip(column.owners().tolist(), column.all_items().tolist(), strict=True)
    }


def test_only_what_was_changed_is_read_again(runtime: Runtime, store: WatchedStore) -> None:
    assert classes(runtime.columns) == dict.fromkeys(IDS, "mug")
    assert classes(runtime.columns) == dict.fromkeys(IDS, "mug")
    assert store.readings == 1
    store.read_again.clear()
    store.set_payload(NAME, {IDS[3]: {"class": "vase"}})
    store.delete(NAME, [IDS[5]])
    assert classes(runtime.columns) == dict.fromkeys([*IDS[:5], *IDS[6:]], "mug") | {IDS[3]: "vase"}
    assert store.readings == 1 and sorted(store.read_again) == [IDS[3], IDS[5]]


def test_a_query_does_not_wait_for_a_long_reading(runtime: Runtime, store: WatchedStore) -> None:
    store.gate.clear()
    assert runtime.columns.snapshot(NAME, ["class"], patience=0.0) is None
    assert runtime.columns.snapshot(NAME, ["class"], patience=0.0) is None
    store.gate.set()
    assert len(classes(runtime.columns)) == len(IDS)
    assert store.readings == 1


def test_fields_that_are_seldom_asked_for_are_read_when_they_are(
    runtime: Runtime, store: WatchedStore
) -> None:
    assert "filename" not in runtime_fields(runtime, "class")
    assert {"filename", "class", "width"} <= runtime_fields(runtime, "filename")
    assert {"filename", "class", "width"} <= runtime_fields(runtime, "width")
    assert store.readings == 2
    with pytest.raises(UnknownField):
        runtime.columns.snapshot(NAME, ["metadata.none"])


def runtime_fields(runtime: Runtime, field: str) -> set[str]:
    found = runtime.columns.snapshot(NAME, [field], patience=None)
    assert found is not None
    return set(found.table.columns)


def test_a_category_with_too_many_images_has_no_columns(runtime: Runtime, store: WatchedStore) -> None:
    few = ColumnStore(runtime.catalog, runtime.vectors, runtime.clusters, runtime.maps, max_rows=len(IDS) - 1)
    assert few.snapshot(NAME, ["class"], patience=None) is None and store.readings == 0


def test_columns_longest_unused_make_room(runtime: Runtime, store: WatchedStore) -> None:
    spec = runtime.catalog.get(NAME).encoder()
    others = ["one", "two", "three"]
    for name in others:
        runtime.catalog.create(name, [spec])
        store.upsert(name, [Point(IDS[0], {}, {"class": "mug"})])
    small = ColumnStore(runtime.catalog, runtime.vectors, runtime.clusters, runtime.maps, max_bytes=1)
    for name in (NAME, *others):
        assert small.snapshot(name, ["class"], patience=None) is not None
    store.readings = 0
    assert small.snapshot("three", ["class"], patience=None) is not None
    assert store.readings == 0
    assert small.snapshot("one", ["class"], patience=None) is not None
    assert store.readings == 1


def test_a_reading_that_fails_is_tried_again(runtime: Runtime, store: WatchedStore) -> None:
    store.failing = True
    with pytest.raises(Unavailable):
        runtime.columns.snapshot(NAME, ["class"], patience=None)
    store.failing = False
    assert len(classes(runtime.columns)) == len(IDS)


def test_deleted_categories_are_forgotten(runtime: Runtime, store: WatchedStore) -> None:
    assert len(classes(runtime.columns)) == len(IDS)
    spec = runtime.catalog.get(NAME).encoder()
    runtime.catalog.delete(NAME)
    with pytest.raises(NotFound):
        runtime.columns.snapshot(NAME, ["class"])
    runtime.catalog.create(NAME, [spec])
    assert classes(runtime.columns) == {}


def test_what_others_write_on_a_server_is_seen_by_a_later_reading(
    runtime: Runtime, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.complete = False
    before = runtime.columns.snapshot(NAME, ["class"], patience=None)
    assert before is not None
    store._collections[NAME].points[IDS[0]].payload["class"] = "vase"  # of another process: nobody tells
    assert classes(runtime.columns)[IDS[0]] == "mug"
    monkeypatch.setattr("vitrine.services.columns.keeper.BELIEVED_SECONDS", -1.0)
    monkeypatch.setattr(Keeper, "_is_old", lambda keeper: store.readings < 2)
    assert classes(runtime.columns)[IDS[0]] == "mug"  # the old one is answered, and a reading begins
    for thread in threading.enumerate():
        if thread.name == "vitrine-columns":
            thread.join(20)
    after = runtime.columns.snapshot(NAME, ["class"], patience=None)
    assert classes(runtime.columns)[IDS[0]] == "vase"
    assert after is not None and after.name != before.name
