"""Payload changes of many points: written in several messages, durable at once or with a later flush."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.vector_store import random_data
from vitrine.services.domain import CollectionSchema
from vitrine.services.errors import NotFound
from vitrine.services.vector_store.base import VectorStore
from vitrine.services.vector_store.edge.store import EdgeVectorStore

Fresh = Callable[[str], str]


def filled(store: VectorStore, name: str, count: int) -> list[str]:
    points = random_data.points(count, seed=3)
    store.ensure(random_data.schema(name))
    store.upsert(name, points)
    return [point.id for point in points]


def test_what_is_flushed_late_is_seen_at_once(store: VectorStore, fresh: Fresh) -> None:
    name = fresh("late")
    ids = filled(store, name, 10)
    store.set_payload(name, {id: {"class": f"c{n}"} for n, id in enumerate(ids)}, durable=False)
    store.flush(name)
    assert [hit.payload["class"] for hit in store.retrieve(name, ids) if hit] == [f"c{n}" for n in range(10)]
    with pytest.raises(NotFound):
        store.flush(fresh("none"))


def test_changes_beyond_one_message_are_applied_whole_or_not_at_all(store: VectorStore, fresh: Fresh) -> None:
    name = fresh("large")
    ids = filled(store, name, 40)
    text = "x" * 60_000  # a message to the embedded engine takes a megabyte of them
    store.set_payload(name, {id: {"caption": f"{n} {text}"} for n, id in enumerate(ids)})
    assert all(
        hit and hit.payload["caption"].startswith(f"{n} ") for n, hit in enumerate(store.retrieve(name, ids))
    )
    unknown = "00000000-0000-0000-0000-000000000000"
    with pytest.raises(NotFound):
        store.set_payload(
            name, {**{id: {"caption": f"{id} {text}"} for id in ids}, unknown: {"caption": "none"}}
        )
    assert all(
        hit and hit.payload["caption"].startswith(f"{n} ") for n, hit in enumerate(store.retrieve(name, ids))
    )


def test_equal_changes_and_changes_at_a_key(store: VectorStore, fresh: Fresh) -> None:
    name = fresh("equal")
    ids = filled(store, name, 20)
    store.set_payload(name, {id: {"cat": 0.25} for id in ids}, key="scores")
    hits = [hit for hit in store.retrieve(name, ids) if hit]
    assert len(hits) == 20 and all(hit.payload["scores"]["cat"] == 0.25 for hit in hits)


def test_many_indexes_are_added_in_one_call(store: VectorStore, fresh: Fresh) -> None:
    name = fresh("indexes")
    filled(store, name, 5)
    new = CollectionSchema(name, (), {f"scores.tag{n}": "float" for n in range(6)})
    store.ensure(new)
    store.ensure(new)
    indexes = store.info(name).schema.indexes
    assert new.indexes.items() <= indexes.items() and "class" in indexes


def test_what_was_not_flushed_is_there_after_the_engine_was_closed(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    ids = filled(store, "c", 5)
    store.set_payload("c", {ids[0]: {"class": "late"}}, durable=False)
    store.close()
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    (hit,) = store.retrieve("c", ids[:1])
    store.close()
    assert hit is not None and hit.payload["class"] == "late"
