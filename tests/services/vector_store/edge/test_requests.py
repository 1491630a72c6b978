"""What crosses to the engine process, and what does not."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.services.vector_store.edge_points import DIM, SCHEMA, point_id, points, unit_vectors
from vitrine.services.domain import Near, NearPoint, Point, Query
from vitrine.services.errors import BadRequest, BadVector, StoreDamaged, Unavailable, UnknownField
from vitrine.services.filters.conditions import (
    Filter,
    HasId,
    IsNull,
    MatchValue,
    MinShould,
    Nested,
    OnField,
    Range,
)
from vitrine.services.vector_store.edge.link import wire as edge_wire
from vitrine.services.vector_store.edge.store import EdgeVectorStore
from vitrine.services.vector_store.fields import check_filter, filter_fields


def test_frames_come_out_as_they_went_in() -> None:
    ours, theirs = socket.socketpair()
    arrays = [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.empty((0, 4), np.float32),
        np.ones(300_000, np.int32),
    ]
    sent = {"text": "ü", "n": 2**60, "texts": ["ü".encode(), b"", b'{"not": "read"}']}
    thread = threading.Thread(target=edge_wire.send, args=(ours, sent, arrays))
    thread.start()
    header, received = edge_wire.receive(theirs)
    thread.join()
    assert header == sent
    assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(arrays, received, strict=True))
    ours.close()
    with pytest.raises(EOFError):
        edge_wire.receive(theirs)
    theirs.close()


def test_fields_of_a_filter_are_found_wherever_they_stand() -> None:
    def field(key: str) -> MatchValue:
        return MatchValue(key, "x")

    filter = Filter(
        must=(field("a"),),
        should=(Filter(must_not=(field("b.c"),)), HasId(("00000000-0000-4000-8000-000000000001",))),
        must_not=(Nested("objects", Filter(must=(field("kind"),))),),
        min_should=MinShould((IsNull("d"),), 1),
    )
    assert filter_fields(filter) == {"a", "b.c", "objects[].kind", "d"}
    assert filter_fields(None) == set()


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        (MatchValue("absent", "x"), UnknownField),
        (MatchValue("tags", 1), BadRequest),
        (Range("tags", gt=1), BadRequest),
        (MatchValue("n", True), BadRequest),
        (Range("n", gt=float("nan")), BadRequest),
    ],
)
def test_filters_that_no_index_answers_are_refused(condition: OnField, error: type[Exception]) -> None:
    with pytest.raises(error, match=condition.key):
        check_filter(SCHEMA, Filter(must=(condition,)))


def test_refusals_leave_the_store_usable(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 5))
    with pytest.raises(BadRequest):
        store.upsert("cats", [Point(point_id(9), {}, {"x": object()})])
    with pytest.raises(BadRequest):
        store.delete_payload("cats", [point_id(0)], ["a..b"])
    with pytest.raises(BadVector):
        store.query("cats", Query(Near(unit_vectors(1)[0] * 2), "clip"))
    assert store.count("cats") == 5
    store.close()
    with pytest.raises(Unavailable, match="closed"):
        store.count("cats")


def test_a_damaged_vector_is_told_and_the_collection_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 5))
    with monkeypatch.context() as unchecked:
        unchecked.setattr("vitrine.services.vector_store.edge.store.check_vectors", lambda *_: None)
        store.update_vectors("cats", [point_id(2)], "clip", np.zeros((1, DIM), np.float32))
    for _ in range(2):
        with pytest.raises(StoreDamaged, match="check --repair"):
            store.query("cats", Query(NearPoint(point_id(2)), "clip"))
        assert store.info("cats").status == "green"
        assert store.query("cats", Query(NearPoint(point_id(1)), "clip", limit=1))[0].id == point_id(1)
    store.close()


def test_many_callers_at_once(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    wrong: list[object] = []

    def work(worker: int) -> None:
        for turn in range(10):
            first = worker * 100 + turn * 10
            store.upsert("cats", points(first, first + 10))
            vector = points(first + 3, first + 4)[0].vectors["clip"]
            hit = store.query("cats", Query(Near(vector), "clip", limit=1, exact=True))[0]
            if hit.id != point_id(first + 3):
                wrong.append((worker, turn, hit))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert store.count("cats") == 800
    store.close()
