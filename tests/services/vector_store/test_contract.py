"""One body of tests over every vector store, compared with slow plain loops: what callers may rely on,
whichever engine it is."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.services.vector_store import random_data
from tests.services.vector_store.conftest import PREFIX, Pair, make_edge
from tests.services.vector_store.random_data import DIMS, unit
from vitrine.services.domain import (
    AllBut,
    CollectionSchema,
    Facet,
    Fuse,
    Hit,
    IndexKind,
    Near,
    NearPoint,
    OrderBy,
    Page,
    Point,
    Quantization,
    Query,
    Random,
    Recommend,
    VectorSpec,
)
from vitrine.services.errors import (
    BadRequest,
    BadVector,
    NotFound,
    UnknownField,
    UnknownVector,
)
from vitrine.services.filters.conditions import (
    Condition,
    Filter,
    HasId,
    IsEmpty,
    IsNull,
    MatchAny,
    MatchValue,
    Nested,
    Range,
    ValuesCount,
)
from vitrine.services.values.field_paths import field_path
from vitrine.services.vector_store.base import MAX_LIMIT, VectorStore
from vitrine.services.vector_store.changes import ChangeLog, Version

# the server's in-process stand-in has no indexes, and says so
pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]
TOLERANCE = 2e-3
"""Engines keep float16: similarities of vectors that are not exact in it differ by up to this from the
oracle's."""
Name = Callable[..., str]


def uid(number: int) -> str:
    return str(uuid.UUID(int=number))


def axis(dim: int, *places: int) -> Any:
    """A unit vector with equal parts along these axes; exact in float16 for one and for four of them."""
    vector = np.zeros(dim, dtype=np.float32)
    vector[list(places)] = len(places) ** -0.5
    return vector


def small(name: str) -> CollectionSchema:
    return CollectionSchema(name, (VectorSpec("clip", 4),), {"class": "keyword", "n": "integer"})


def put_axes(store: VectorStore, name: str, count: int = 4) -> list[str]:
    """Points 1..count along the axes, with class "even" or "odd" and n."""
    store.ensure(small(name))
    points = [
        Point(uid(n), {"clip": axis(4, n % 4)}, {"class": "odd" if n % 2 else "even", "n": n})
        for n in range(1, count + 1)
    ]
    store.upsert(name, points)
    return [point.id for point in points]


def ids_of(hits: Sequence[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def keyword(field: str, value: str) -> Filter:
    return Filter(must=(MatchValue(field, value),))


def pages(store: VectorStore, name: str, limit: int, **arguments: Any) -> Iterator[Page]:
    cursor = None
    while True:
        page = store.scroll(name, limit=limit, cursor=cursor, **arguments)
        yield page
        cursor = page.cursor
        if cursor is None:
            return


def scrolled(store: VectorStore, name: str, limit: int = 100, **arguments: Any) -> list[str]:
    return [hit.id for page in pages(store, name, limit, **arguments) for hit in page.hits]


def payload_of(store: VectorStore, name: str, id: str) -> Any:
    (found,) = store.retrieve(name, [id])
    return found and found.payload


# Collections
# ------------------------------------------------------------------------------------------------------------


def test_a_collection_is_as_it_was_asked_for(store: VectorStore, fresh: Name) -> None:
    schema = random_data.schema(fresh())
    store.ensure(schema)
    info = store.info(schema.name)
    assert (info.schema.name, info.points, info.status) == (schema.name, 0, "green")
    assert dict(info.schema.indexes) == dict(schema.indexes)
    assert {v.name: v.dim for v in info.schema.vectors} == DIMS
    assert schema.name in store.collections()
    assert store.collections() == sorted(store.collections())


def test_ensure_again_changes_nothing_and_adds_what_is_new(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    ids = put_axes(store, name)
    store.ensure(small(name))
    store.ensure(CollectionSchema(name, (VectorSpec("vit", 3),), {"late": "keyword"}))
    schema = store.info(name).schema
    assert {v.name: v.dim for v in schema.vectors} == {"clip": 4, "vit": 3}
    assert dict(schema.indexes) == {"class": "keyword", "n": "integer", "late": "keyword"}
    assert scrolled(store, name) == ids


@pytest.mark.parametrize(
    ("vectors", "indexes", "error"),
    [
        ((VectorSpec("vit", 3), VectorSpec("clip", 5)), {"late": "keyword"}, BadVector),
        ((VectorSpec("vit", 3),), {"late": "keyword", "n": "float"}, BadRequest),
    ],
)
def test_ensure_refuses_what_differs_and_adds_nothing_then(
    store: VectorStore, fresh: Name, vectors: Any, indexes: Any, error: type[Exception]
) -> None:
    name = fresh()
    store.ensure(small(name))
    with pytest.raises(error):
        store.ensure(CollectionSchema(name, vectors, indexes))
    assert store.info(name).schema == small(name)


def test_a_vector_can_come_later(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    ids = put_axes(store, name)
    store.add_vector(name, VectorSpec("vit", 4))
    store.add_vector(name, VectorSpec("vit", 4))
    with pytest.raises(BadVector):
        store.add_vector(name, VectorSpec("vit", 5))
    assert store.query(name, Query(Near(axis(4, 0)), using="vit")) == []
    store.update_vectors(name, ids[:2], "vit", np.stack([axis(4, 0), axis(4, 1)]))
    assert ids_of(store.query(name, Query(Near(axis(4, 1)), using="vit"))) == [ids[1], ids[0]]
    assert ids_of(store.query(name, Query(Near(axis(4, 1)), using="clip", limit=1))) == [ids[0]]
    third = store.retrieve(name, [ids[2]], with_vectors=("clip", "vit"))[0]
    assert third is not None and set(third.vectors) == {"clip"}


def test_an_index_can_come_later(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(CollectionSchema(name, (VectorSpec("clip", 4),)))
    store.upsert(name, [Point(uid(1), {}, {"class": "odd"}), Point(uid(2), {}, {"class": "even"})])
    with pytest.raises(UnknownField):
        store.count(name, keyword("class", "odd"))
    store.add_index(name, "class", "keyword")
    store.add_index(name, "class", "keyword")
    assert scrolled(store, name, filter=keyword("class", "odd")) == [uid(1)]
    with pytest.raises(BadRequest):
        store.add_index(name, "class", "float")
    assert store.info(name).schema.indexes == {"class": "keyword"}


def test_a_snapshot_brings_a_collection_back(store: VectorStore, fresh: Name, tmp_path: Path) -> None:
    if store.snapshots is None:
        pytest.skip("only a Qdrant server makes snapshots: run with --qdrant-url")
    name = fresh()
    ids = put_axes(store, name)
    store.snapshots.save(name, tmp_path / "snapshot")
    before = store.scroll(name, with_vectors=("clip",)).hits
    store.set_payload(name, {ids[0]: {"class": "new"}})
    store.delete(name, ids[1:2])
    store.snapshots.load(name, tmp_path / "snapshot")
    found = store.scroll(name, with_vectors=("clip",)).hits
    assert [(hit.id, hit.payload) for hit in found] == [(hit.id, hit.payload) for hit in before]
    assert ids_of(store.query(name, Query(NearPoint(ids[1]), "clip", limit=1))) == [ids[1]]


@pytest.mark.parametrize("form", ["int8", "turbo4"])
def test_quantised_copies_are_a_setting_that_changes_no_answer(
    store: VectorStore, fresh: Name, form: Quantization
) -> None:
    name = fresh()
    store.ensure(replace(random_data.schema(name), quantization=form))
    store.ensure(random_data.schema(name))  # what is there already keeps its setting
    assert store.info(name).schema.quantization == form
    store.upsert(name, random_data.points(40, seed=3))
    query = Query(Near(unit(np.random.default_rng(4), DIMS["clip"])), "clip", limit=40)
    found = store.query(name, query)
    for setting in (None, None, form):
        store.set_quantization(name, setting)
        store.optimize(name)
        assert store.info(name).schema.quantization == setting
        assert store.query(name, query) == found


def test_an_index_of_a_filled_collection_can_become_one_of_another_kind(
    store: VectorStore, fresh: Name
) -> None:
    name = fresh()
    store.ensure(CollectionSchema(name, (VectorSpec("clip", 4),), {"n": "integer"}))
    store.upsert(
        name, [Point(uid(number), {}, {"n": value}) for number, value in enumerate([10, 12.5, "12.5", 13])]
    )
    store.change_index(name, "n", "float")
    above = Filter(must=(Range("n", gte=12),))
    assert scrolled(store, name, filter=above) == [uid(1), uid(3)]
    assert scrolled(store, name, order_by=OrderBy("n")) == [uid(0), uid(1), uid(3)]
    assert store.info(name).schema.indexes == {"n": "float"}
    with pytest.raises(BadRequest):
        store.facet(name, "n")
    store.change_index(name, "n", "keyword")
    store.change_index(name, "n", "keyword")
    assert scrolled(store, name, filter=keyword("n", "12.5")) == [uid(2)]
    store.change_index(name, "new", "keyword")
    assert store.info(name).schema.indexes == {"n": "keyword", "new": "keyword"}


def test_drop(store: VectorStore, fresh: Name) -> None:
    gone, kept = fresh("gone"), fresh("kept")
    put_axes(store, gone)
    put_axes(store, kept)
    store.drop(gone)
    assert gone not in store.collections()
    with pytest.raises(NotFound):
        store.drop(gone)
    assert store.count(kept) == 4
    store.ensure(small(gone))
    assert store.count(gone) == 0


VECTOR = axis(4, 0)
CALLS: dict[str, Callable[[VectorStore, str], object]] = {
    "drop": lambda s, c: s.drop(c),
    "info": lambda s, c: s.info(c),
    "add_vector": lambda s, c: s.add_vector(c, VectorSpec("vit", 3)),
    "add_index": lambda s, c: s.add_index(c, "class", "keyword"),
    "change_index": lambda s, c: s.change_index(c, "class", "keyword"),
    "upsert": lambda s, c: s.upsert(c, [Point(uid(1), {}, {})]),
    "upsert nothing": lambda s, c: s.upsert(c, []),
    "update_vectors": lambda s, c: s.update_vectors(c, [uid(1)], "clip", VECTOR[None]),
    "set_payload": lambda s, c: s.set_payload(c, {uid(1): {"a": 1}}),
    "delete_payload": lambda s, c: s.delete_payload(c, [uid(1)], ["a"]),
    "delete": lambda s, c: s.delete(c, [uid(1)]),
    "query": lambda s, c: s.query(c, Query(Near(VECTOR), using="clip")),
    "query_batch": lambda s, c: s.query_batch(c, [Query(Random())]),
    "retrieve": lambda s, c: s.retrieve(c, [uid(1)]),
    "scroll": lambda s, c: s.scroll(c),
    "facet": lambda s, c: s.facet(c, "class"),
    "count": lambda s, c: s.count(c),
    "optimize": lambda s, c: s.optimize(c),
    "set_quantization": lambda s, c: s.set_quantization(c, "int8"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_collection_that_is_not_there_is_not_found(store: VectorStore, fresh: Name, call: Any) -> None:
    with pytest.raises(NotFound):
        call(store, fresh("missing"))


# Writes
# ------------------------------------------------------------------------------------------------------------


def test_upsert_replaces_the_whole_point(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(CollectionSchema(name, (VectorSpec("clip", 4), VectorSpec("vit", 4))))
    first = Point(uid(1), {"clip": axis(4, 0), "vit": axis(4, 1)}, {"a": 1, "b": {"c": 2}})
    store.upsert(name, [first, replace(first, id=uid(2))])
    store.upsert(name, [Point(uid(1), {"clip": axis(4, 2)}, {"d": [1, None, {"e": True}], "f": None})])
    (found, other) = store.retrieve(name, [uid(1), uid(2)], with_vectors=("clip", "vit"))
    assert found is not None and other is not None
    assert found.payload == {"d": [1, None, {"e": True}], "f": None}
    assert set(found.vectors) == {"clip"}
    assert found.vectors["clip"] == pytest.approx(axis(4, 2))
    assert other.payload == {"a": 1, "b": {"c": 2}} and set(other.vectors) == {"clip", "vit"}
    assert store.info(name).points == store.count(name) == 2


def test_the_last_of_a_batch_wins(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(small(name))
    store.upsert(name, [Point(uid(1), {"clip": axis(4, n)}, {"n": n}) for n in range(3)])
    (found,) = store.retrieve(name, [uid(1)], with_vectors=("clip",))
    assert found is not None and found.payload == {"n": 2}
    assert found.vectors["clip"] == pytest.approx(axis(4, 2))
    assert store.info(name).points == 1


def test_batches_larger_than_a_request_arrive_whole(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    ids = put_axes(store, name, 1203)
    assert store.count(name) == 1203
    store.set_payload(name, {id: {"n": -number} for number, id in enumerate(ids)})
    store.update_vectors(name, ids, "clip", np.stack([axis(4, 0, 1, 2, 3)] * len(ids)))
    found = store.retrieve(name, ids, with_vectors=("clip",))
    assert [hit.payload["n"] for hit in found if hit] == [-number for number in range(1203)]
    assert all(np.allclose(hit.vectors["clip"], 0.5) for hit in found if hit)
    store.delete(name, ids[1:])
    assert scrolled(store, name) == ids[:1]


def test_nothing_to_write_is_no_error(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    ids = put_axes(store, name)
    store.upsert(name, [])
    store.update_vectors(name, [], "clip", np.empty((0, 4), dtype=np.float32))
    store.set_payload(name, {})
    store.delete_payload(name, [], ["n"])
    store.delete_payload(name, ids, [])
    store.delete(name, [])
    assert store.retrieve(name, []) == store.query_batch(name, []) == []
    assert store.count(name) == 4


NAN = np.array([np.nan, 0, 0, 0], dtype=np.float32)
BAD_POINTS: dict[str, tuple[Point, type[Exception]]] = {
    "nan": (Point(uid(9), {"clip": NAN}, {}), BadVector),
    "infinite": (Point(uid(9), {"clip": np.array([np.inf, 0, 0, 0], dtype=np.float32)}, {}), BadVector),
    "zero": (Point(uid(9), {"clip": np.zeros(4, dtype=np.float32)}, {}), BadVector),
    "too long": (Point(uid(9), {"clip": 2 * axis(4, 0)}, {}), BadVector),
    "dimension": (Point(uid(9), {"clip": axis(5, 0)}, {}), BadVector),
    "matrix": (Point(uid(9), {"clip": axis(4, 0)[None]}, {}), BadVector),
    "name": (Point(uid(9), {"vit": axis(4, 0)}, {}), UnknownVector),
    "id": (Point("9", {"clip": axis(4, 0)}, {}), BadVector),
    "upper id": (Point(uid(0xABC).upper(), {"clip": axis(4, 0)}, {}), BadVector),
}


@pytest.mark.parametrize(("bad", "error"), BAD_POINTS.values(), ids=BAD_POINTS)
def test_one_bad_point_and_none_is_stored(
    store: VectorStore, fresh: Name, bad: Point, error: type[Exception]
) -> None:
    name = fresh()
    store.ensure(small(name))
    with pytest.raises(error):
        store.upsert(name, [Point(uid(1), {"clip": axis(4, 0)}, {}), bad])
    assert store.count(name) == 0


def test_update_vectors_leaves_the_rest_alone(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(CollectionSchema(name, (VectorSpec("clip", 4), VectorSpec("vit", 4))))
    store.upsert(name, [Point(uid(n), {"clip": axis(4, 0), "vit": axis(4, 1)}, {"n": n}) for n in (1, 2)])
    store.update_vectors(name, [uid(2), uid(1)], "vit", np.stack([axis(4, 2), axis(4, 3)]))
    one, two = store.retrieve(name, [uid(1), uid(2)], with_vectors=("clip", "vit"))
    assert one is not None and two is not None
    assert (one.payload, two.payload) == ({"n": 1}, {"n": 2})
    assert one.vectors["vit"] == pytest.approx(axis(4, 3)) and two.vectors["vit"] == pytest.approx(axis(4, 2))
    assert one.vectors["clip"] == pytest.approx(axis(4, 0))


@pytest.mark.parametrize(
    ("ids", "using", "vectors", "error"),
    [
        ([uid(1)], "clip", NAN[None], BadVector),
        ([uid(1)], "clip", axis(5, 0)[None], BadVector),
        ([uid(1)], "vit", axis(4, 0)[None], UnknownVector),
        ([uid(1), uid(2)], "clip", axis(4, 0)[None], BadVector),
        ([], "clip", axis(4, 0)[None], BadVector),
        (["one"], "clip", axis(4, 0)[None], BadVector),
    ],
)
def test_bad_vectors_are_refused(
    store: VectorStore, fresh: Name, ids: Any, using: str, vectors: Any, error: Any
) -> None:
    name = fresh()
    put_axes(store, name)
    with pytest.raises(error):
        store.update_vectors(name, ids, using, vectors)


def test_set_payload_merges(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    put_axes(store, name, 3)
    store.set_payload(
        name,
        {
            uid(1): {"tags": ["a"], "n": 7},
            uid(2): {"tags": ["a"], "n": 7},
            uid(3): {"deep": {"a": 1, "b": 2}},
        },
    )
    store.set_payload(name, {uid(1): {"tags": ["b"]}, uid(3): {"deep": {"a": 3}}})
    assert payload_of(store, name, uid(1)) == {"class": "odd", "n": 7, "tags": ["b"]}
    assert payload_of(store, name, uid(2)) == {"class": "even", "n": 7, "tags": ["a"]}
    assert payload_of(store, name, uid(3)) == {"class": "odd", "n": 3, "deep": {"a": 3}}
    assert scrolled(store, name, filter=Filter(must=(Range("n", gte=7),))) == [
        uid(1),
        uid(2),
    ]


def test_set_payload_to_null_removes(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    put_axes(store, name, 1)
    store.set_payload(name, {uid(1): {"n": None, "x": 1}})
    assert payload_of(store, name, uid(1)) == {"class": "odd", "x": 1}


def test_set_payload_at_a_path_merges_there(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    put_axes(store, name, 2)
    store.set_payload(name, {uid(1): {"cat": 0.5}, uid(2): {"cat": 0.25}}, key="scores")
    store.set_payload(name, {uid(1): {"dog": 1.0}}, key="scores")
    store.set_payload(name, {uid(1): {"id": "14"}}, key="clusters.run-1")
    assert payload_of(store, name, uid(1)) == {
        "class": "odd",
        "n": 1,
        "scores": {"cat": 0.5, "dog": 1.0},
        "clusters": {"run-1": {"id": "14"}},
    }
    assert payload_of(store, name, uid(2))["scores"] == {"cat": 0.25}


ODD_NAMES = [
    "St. Moritz",
    "f/2.8",
    '"q"',
    '5" disk',
    "a\\b",
    "\\",
    "x=y",
    "EXIF:ISO",
    "a[]",
    "100%",
    "%22",
    "%2522",
    "größe",
    "é" * 200,
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_keys_may_have_any_name(store: VectorStore, fresh: Name, name: str) -> None:
    """What people call a tag or a column can be filtered, ordered by, counted, selected and removed, and
    comes back as it was."""
    collection, score, place = fresh(), field_path("scores", name), field_path("metadata", name)
    store.ensure(CollectionSchema(collection, (VectorSpec("clip", 4),), {score: "float"}))
    store.add_index(collection, place, "keyword")
    points = [
        Point(
            uid(n),
            {"clip": axis(4, n)},
            {"scores": {name: n / 4, "other": 1.0}, "metadata": {name: f"place {n % 2}"}},
        )
        for n in range(1, 4)
    ]
    store.upsert(collection, points)
    store.optimize(collection)
    assert dict(store.info(collection).schema.indexes) == {score: "float", place: "keyword"}
    assert payload_of(store, collection, uid(1)) == points[0].payload
    high = Filter(must=(Range(score, gte=0.5),))
    assert store.count(collection, high) == 2
    both = Filter(should=(Filter(must_not=(high,)), keyword(place, "place 0")))
    assert scrolled(store, collection, filter=both) == [uid(1), uid(2)]
    assert scrolled(store, collection, order_by=OrderBy(score, descending=True)) == [uid(3), uid(2), uid(1)]
    assert scrolled(store, collection, limit=1, order_by=OrderBy(score)) == [uid(1), uid(2), uid(3)]
    assert ids_of(store.query(collection, Query(OrderBy(score), filter=high))) == [uid(2), uid(3)]
    near = Query(Near(axis(4, 1)), using="clip", filter=high, with_payload=(score,))
    assert {hit.id: hit.payload for hit in store.query(collection, near)} == {
        uid(n): {"scores": {name: n / 4}} for n in (2, 3)
    }
    assert store.facet(collection, place, filter=high) == [Facet("place 0", 1), Facet("place 1", 1)]
    store.set_payload(collection, {uid(1): {name: 0.75}}, key="scores")
    assert payload_of(store, collection, uid(1))["scores"] == {name: 0.75, "other": 1.0}
    store.set_payload(collection, {uid(1): {"scores": {name: 1.0}}})
    store.delete_payload(collection, [uid(1)], [place])
    assert payload_of(store, collection, uid(1)) == {"scores": {name: 1.0}, "metadata": {}}


def test_odd_names_are_there_again_after_a_new_start(tmp_path: Path) -> None:
    fields = {field_path("scores", name): "float" for name in ODD_NAMES}
    for start in range(2):
        store = make_edge(tmp_path)
        store.ensure(CollectionSchema("c", (VectorSpec("clip", 4),), fields))  # type: ignore[arg-type]
        if start == 0:
            store.upsert(
                "c", [Point(uid(1), {"clip": axis(4, 1)}, {"scores": dict.fromkeys(ODD_NAMES, 0.5)})]
            )
            store.optimize("c")
        for field in fields:
            half = Range(field, gte=0.5, lte=0.5)
            assert store.count("c", Filter(must=(half,))) == 1, field
        assert payload_of(store, "c", uid(1)) == {"scores": dict.fromkeys(ODD_NAMES, 0.5)}
        store.close()


def test_delete_payload(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    put_axes(store, name, 2)
    store.set_payload(name, {uid(n): {"scores": {"cat": 0.5, "dog": 1.0}, "x": 1} for n in (1, 2)})
    store.delete_payload(name, [uid(1)], ["scores.cat", "x", "never.there"])
    assert payload_of(store, name, uid(1)) == {"class": "odd", "n": 1, "scores": {"dog": 1.0}}
    assert payload_of(store, name, uid(2)) == {
        "class": "even",
        "n": 2,
        "scores": {"cat": 0.5, "dog": 1.0},
        "x": 1,
    }


@pytest.mark.parametrize("missing", [uid(77), uid(2**127)])
@pytest.mark.parametrize("position", [0, 1])
def test_unknown_ids_are_named_before_anything_is_applied(
    store: VectorStore, fresh: Name, missing: str, position: int
) -> None:
    name = fresh()
    put_axes(store, name, 1)
    ids = [uid(1), missing][:: 1 if position else -1]
    calls = [
        lambda: store.set_payload(name, {id: {"n": 5} for id in ids}),
        lambda: store.set_payload(name, {id: {"n": 5} for id in ids}, key="deep"),
        lambda: store.delete_payload(name, ids, ["n"]),
        lambda: store.update_vectors(name, ids, "clip", np.stack([axis(4, 3)] * 2)),
    ]
    for call in calls:
        with pytest.raises(NotFound) as caught:
            call()
        assert caught.value.details["ids"] == [missing]
        assert caught.value.code == "not_found"
    (found,) = store.retrieve(name, [uid(1)], with_vectors=("clip",))
    assert found is not None and found.payload == {"class": "odd", "n": 1}
    assert found.vectors["clip"] == pytest.approx(axis(4, 1))


def test_delete_may_be_repeated(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    ids = put_axes(store, name)
    store.delete(name, [ids[0], uid(1000), ids[2]])
    store.delete(name, [ids[0]])
    assert scrolled(store, name) == [ids[1], ids[3]]
    assert store.retrieve(name, ids)[0] is None
    assert ids[0] not in ids_of(store.query(name, Query(Near(axis(4, 1)), using="clip")))
    assert store.facet(name, "class") == [Facet("even", 2)]
    assert store.info(name).points == 2


def test_malformed_ids_are_refused_everywhere(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    put_axes(store, name)
    for call in (
        lambda: store.delete(name, ["1"]),
        lambda: store.retrieve(name, ["1"]),
        lambda: store.set_payload(name, {"1": {}}),
        lambda: store.delete_payload(name, ["1"], ["n"]),
        lambda: store.query(name, Query(Random(), exclude=("1",))),
    ):
        with pytest.raises(BadVector):
            call()


def test_what_was_given_and_what_is_returned_is_the_callers(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(small(name))
    vector, payload = axis(4, 1), {"tags": ["a"]}
    store.upsert(name, [Point(uid(1), {"clip": vector}, payload)])
    payload["tags"].append("mine")
    vector[:] = 0
    (found,) = store.retrieve(name, [uid(1)], with_vectors=("clip",))
    assert found is not None and found.payload == {"tags": ["a"]}
    found.payload["tags"].append("theirs")
    found.vectors["clip"][:] = 0
    (again,) = store.retrieve(name, [uid(1)], with_vectors=("clip",))
    assert again is not None and again.payload == {"tags": ["a"]}
    assert again.vectors["clip"] == pytest.approx(axis(4, 1))
    assert again.vectors["clip"].dtype == np.float32


# Reads by id
# ------------------------------------------------------------------------------------------------------------


def test_retrieve_answers_in_the_order_of_the_ids(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    ids = put_axes(store, name)
    asked = [ids[2], uid(99), ids[0], ids[2]]
    found = store.retrieve(name, asked)
    assert [hit and hit.id for hit in found] == [ids[2], None, ids[0], ids[2]]
    assert all(hit is None or (hit.similarity is None and hit.vectors == {}) for hit in found)


PAYLOAD = {"a": 1, "b": {"c": 2, "d": {"e": 3}}, "l": [{"x": 1, "y": 2}, {"x": 3}], "t": ["p", "q"]}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (True, PAYLOAD),
        (False, {}),
        ((), {}),
        (("a",), {"a": 1}),
        (("b.d.e", "a"), {"a": 1, "b": {"d": {"e": 3}}}),
        (("b",), {"b": {"c": 2, "d": {"e": 3}}}),
        (("l[].x", "t"), {"l": [{"x": 1}, {"x": 3}], "t": ["p", "q"]}),
        (("never",), {}),
        (AllBut(("b", "t", "never")), {"a": 1, "l": [{"x": 1, "y": 2}, {"x": 3}]}),
        (AllBut(()), PAYLOAD),
    ],
)
def test_only_the_listed_fields_come_back(
    store: VectorStore, fresh: Name, wanted: Any, expected: Any
) -> None:
    name = fresh()
    store.ensure(small(name))
    store.upsert(name, [Point(uid(1), {"clip": axis(4, 0)}, PAYLOAD)])
    answers = [
        store.retrieve(name, [uid(1)], with_payload=wanted)[0],
        store.scroll(name, with_payload=wanted).hits[0],
        store.query(name, Query(Near(axis(4, 0)), using="clip", with_payload=wanted))[0],
        store.query(name, Query(Random(), with_payload=wanted))[0],
        store.query(name, Query(Fuse({"clip": axis(4, 0)}), with_payload=wanted))[0],
    ]
    assert [answer and answer.payload for answer in answers] == [expected] * len(answers)


def test_stored_vectors_have_unit_length(filled: Pair) -> None:
    found = filled.store.retrieve(filled.name, filled.ids, with_vectors=("clip", "vit"))
    expected = filled.oracle.retrieve(filled.name, filled.ids, with_vectors=("clip", "vit"))
    for hit, wanted in zip(found, expected, strict=True):
        assert hit is not None and wanted is not None
        assert set(hit.vectors) == set(wanted.vectors)
        for using, vector in hit.vectors.items():
            assert np.linalg.norm(vector) == pytest.approx(1, abs=TOLERANCE)
            assert vector == pytest.approx(wanted.vectors[using], abs=TOLERANCE)
        assert hit.payload == wanted.payload


# Filters
# ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_random_filters_let_the_same_points_through(filled: Pair, seed: int) -> None:
    pick = random.Random(seed)
    seen = Counter[bool]()
    for _ in range(20):
        filter = random_data.filter(pick, filled.ids)
        expected = scrolled(filled.oracle, filled.name, filter=filter)
        assert filled.store.count(filled.name, filter) == len(expected), filter
        assert scrolled(filled.store, filled.name, filter=filter) == expected, filter
        seen[0 < len(expected) < len(filled.ids)] += 1
    assert seen[True] >= 8  # most filters must tell points apart, or this compares nothing


@pytest.mark.parametrize("seed", range(6))
def test_random_filters_hold_in_queries_and_facets(filled: Pair, seed: int) -> None:
    pick, rng = random.Random(100 + seed), np.random.default_rng(seed)
    for _ in range(6):
        filter = random_data.filter(pick, filled.ids)
        text = repr(filter)
        query = Query(Near(unit(rng, DIMS["clip"])), using="clip", filter=filter, limit=len(filled.ids))
        assert_ranked_alike(filled, query, text)
        matching = set(scrolled(filled.oracle, filled.name, filter=filter))
        ordered = filled.store.query(
            filled.name, Query(OrderBy("quality"), filter=filter, limit=len(filled.ids))
        )
        assert ids_of(ordered) == ids_of(
            filled.oracle.query(filled.name, replace(query, ask=OrderBy("quality")))
        ), text
        sample = filled.store.query(filled.name, Query(Random(), filter=filter, limit=len(filled.ids)))
        assert sorted(ids_of(sample)) == sorted(matching), text
        for field in ("class", "tags", "width", "checked"):
            found = filled.store.facet(filled.name, field, filter=filter)
            assert found == filled.oracle.facet(filled.name, field, filter=filter), text


def test_an_empty_filter_lets_everything_through(filled: Pair) -> None:
    for filter in (Filter(), Filter(must=(Filter(),)), Filter(must=(Filter(should=()),))):
        assert filled.store.count(filled.name, filter) == len(filled.ids)


def test_of_two_bounds_on_one_side_both_hold(filled: Pair) -> None:
    for range in (
        Range("quality", gte=0.5, gt=0.1),
        Range("quality", gte=0.1, gt=0.5),
        Range("quality", lte=0.25, lt=0.9),
        Range("width", lte=300, lt=300),
        ValuesCount("tags", gte=1, gt=2),
    ):
        filter = Filter(must=(range,))
        assert 0 < filled.store.count(filled.name, filter) == filled.oracle.count(filled.name, filter), range


UNINDEXED: dict[str, Condition] = {
    "match": MatchValue("caption", "a dog"),
    "range": Range("scores.dog", gte=0),
    "is_empty": IsEmpty("caption"),
    "is_null": IsNull("caption"),
    "parent": IsEmpty("scores"),
    "deep": Filter(should=(Filter(must_not=(MatchValue("x", 1),)),)),
    "nested": Nested("objects", Filter(must=(MatchValue("colour", "red"),))),
}


@pytest.mark.parametrize("condition", UNINDEXED.values(), ids=UNINDEXED)
def test_an_unindexed_field_is_refused_everywhere(
    store: VectorStore, fresh: Name, condition: Condition
) -> None:
    name = fresh()
    store.ensure(random_data.schema(name))
    filter = Filter(must=(condition,))
    calls = [
        lambda: store.count(name, filter),
        lambda: store.scroll(name, filter=filter),
        lambda: store.facet(name, "class", filter=filter),
        *(
            lambda ask=ask: store.query(name, Query(ask, using="clip", filter=filter))
            for ask in (Near(axis(16, 0)), Random(), OrderBy("quality"), Fuse({"clip": axis(16, 0)}))
        ),
    ]
    for call in calls:
        with pytest.raises(UnknownField) as caught:
            call()
        assert caught.value.code == "unknown_field"


WRONG_KIND: dict[str, Callable[[VectorStore, str], object]] = {
    "match a number field by text": lambda s, c: s.count(c, keyword("width", "x")),
    "range over a keyword": lambda s, c: s.count(c, Filter(must=(Range("class", gte=1),))),
    "facet over a float": lambda s, c: s.facet(c, "quality"),
    "order by a keyword": lambda s, c: s.scroll(c, order_by=OrderBy("class")),
    "order a query by a bool": lambda s, c: s.query(c, Query(OrderBy("checked"))),
}


@pytest.mark.parametrize("call", WRONG_KIND.values(), ids=WRONG_KIND)
def test_an_index_of_the_wrong_kind_is_refused(store: VectorStore, fresh: Name, call: Any) -> None:
    name = fresh()
    store.ensure(random_data.schema(name))
    with pytest.raises(BadRequest):
        call(store, name)


def test_unindexed_facets_and_orders_are_refused(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(random_data.schema(name))
    for call in (
        lambda: store.facet(name, "caption"),
        lambda: store.scroll(name, order_by=OrderBy("caption")),
        lambda: store.query(name, Query(OrderBy("scores.dog"))),
    ):
        with pytest.raises(UnknownField):
            call()


# Similarity
# ------------------------------------------------------------------------------------------------------------


def assert_ranked_alike(pair: Pair, query: Query, message: str = "") -> None:
    """Same similarities in the same places, and the same points but for near ties."""
    found, expected = pair.store.query(pair.name, query), pair.oracle.query(pair.name, query)
    scores = [hit.similarity for hit in expected]
    assert [hit.similarity for hit in found] == pytest.approx(scores, abs=TOLERANCE), message
    everything = {
        hit.id: hit.similarity
        for hit in pair.oracle.query(pair.name, replace(query, limit=len(pair.ids), offset=0))
    }
    assert {hit.id: everything.get(hit.id) for hit in found} == pytest.approx(
        {hit.id: hit.similarity for hit in found}, abs=TOLERANCE
    ), message
    assert len(set(ids_of(found))) == len(found), message


@pytest.mark.parametrize("using", ["clip", "vit"])
@pytest.mark.parametrize(("limit", "offset"), [(10, 0), (7, 5), (1, 0), (200, 0), (10, 155), (5, 300)])
@pytest.mark.parametrize("exact", [False, True])
def test_near(filled: Pair, using: str, limit: int, offset: int, exact: bool) -> None:
    vector = unit(np.random.default_rng(limit + offset), DIMS[using])
    query = Query(Near(vector), using=using, limit=limit, offset=offset, exact=exact)
    assert_ranked_alike(filled, query)
    assert len(filled.store.query(filled.name, query)) == len(filled.oracle.query(filled.name, query))


def test_near_a_stored_vector_is_that_point(filled: Pair) -> None:
    for hit in filled.oracle.retrieve(filled.name, filled.ids[:5], with_vectors=("clip",)):
        assert hit is not None
        (best,) = filled.store.query(filled.name, Query(Near(hit.vectors["clip"]), using="clip", limit=1))
        assert best.id == hit.id and best.similarity == pytest.approx(1, abs=TOLERANCE)
        rest = filled.store.query(
            filled.name, Query(Near(hit.vectors["clip"]), using="clip", limit=500, exclude=(hit.id,))
        )
        assert hit.id not in ids_of(rest) and len(rest) == len(filled.ids) - 1


@pytest.mark.parametrize("using", ["clip", "vit"])
def test_near_a_point_is_near_its_vector(filled: Pair, using: str) -> None:
    store, name = filled.store, filled.name
    having = [
        hit for hit in store.retrieve(name, filled.ids[:8], with_vectors=(using,)) if hit and hit.vectors
    ]
    queries = [
        Query(ask, using, limit=40, offset=offset, exclude=left, min_similarity=least, exact=exact)
        for hit in having
        for offset, left, least, exact in ((0, (), None, False), (3, (hit.id,), 0.1, True))
        for ask in (NearPoint(hit.id), Near(hit.vectors[using]))
    ]
    found = store.query_batch(name, [*queries, Query(Random())])
    assert found[0] and found[:-1:2] == found[1:-1:2]
    assert [store.query(name, query) for query in queries] == found[:-1]


def test_near_a_point_that_cannot_be_asked_by(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    first, *_ = put_axes(store, name)
    store.add_vector(name, VectorSpec("vit", 4))
    for id, using, wrong in (
        (uid(999), "clip", NotFound),
        (first, "vit", NotFound),
        (first, "dino", UnknownVector),
        ("no id", "clip", BadVector),
    ):
        with pytest.raises(wrong):
            store.query(name, Query(NearPoint(id), using))
        with pytest.raises(wrong):
            store.query_batch(name, [Query(Near(axis(4, 0)), "clip"), Query(NearPoint(id), using)])
    assert store.query(name, Query(Near(axis(4, 0)), "clip"))


def test_exclusion_goes_with_a_filter(filled: Pair) -> None:
    filter = Filter(should=(MatchAny("class", ("elk", "dingo")),))
    matching = scrolled(filled.oracle, filled.name, filter=filter)
    for ask in (Near(axis(16, 0)), Random(), Recommend(axis(16, 0)[None]), Fuse({"clip": axis(16, 0)})):
        query = Query(ask, using="clip", filter=filter, exclude=tuple(matching[:3]), limit=200)
        assert sorted(ids_of(filled.store.query(filled.name, query))) == matching[3:]
    ordered = filled.store.query(
        filled.name, Query(OrderBy("width"), filter=filter, exclude=tuple(matching), limit=200)
    )
    assert ordered == []


def test_vectors_come_with_hits(filled: Pair) -> None:
    query = Query(Near(axis(16, 0)), using="clip", with_vectors=("clip", "vit"), limit=200)
    for ask in (
        query.ask,
        Random(),
        OrderBy("width"),
        Fuse({"clip": axis(16, 0)}),
        Recommend(axis(16, 0)[None]),
    ):
        for hit in filled.store.query(filled.name, replace(query, ask=ask)):
            (wanted,) = filled.oracle.retrieve(filled.name, [hit.id], with_vectors=("clip", "vit"))
            assert wanted is not None
            assert set(hit.vectors) == set(wanted.vectors)
            assert all(
                hit.vectors[n] == pytest.approx(wanted.vectors[n], abs=TOLERANCE) for n in wanted.vectors
            )
            assert hit.payload == wanted.payload


def test_min_similarity_keeps_what_is_at_it(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(small(name))
    places = {1: (0,), 2: (1,), 3: (0, 1, 2, 3)}
    store.upsert(name, [Point(uid(n), {"clip": axis(4, *where)}, {}) for n, where in places.items()])
    query = Query(Near(axis(4, 0)), using="clip")
    assert [(hit.id, hit.similarity) for hit in store.query(name, query)] == [
        (uid(1), 1.0),
        (uid(3), 0.5),
        (uid(2), 0.0),
    ]
    for least, expected in (
        (1.0, [1]),
        (0.5, [1, 3]),
        (0.50005, [1, 3]),
        (0.5002, [1]),
        (0.0, [1, 3, 2]),
        (-1.0, [1, 3, 2]),
    ):
        assert ids_of(store.query(name, replace(query, min_similarity=least))) == [
            uid(n) for n in expected
        ], least
    recommended = replace(query, ask=Recommend(axis(4, 0)[None]), min_similarity=0.5)
    assert ids_of(store.query(name, recommended)) == [uid(1), uid(3)]
    assert store.query(name, replace(query, min_similarity=1.5)) == []


@pytest.mark.parametrize(("positive", "negative"), [(1, 0), (3, 0), (1, 1), (4, 3)])
def test_recommend(filled: Pair, positive: int, negative: int) -> None:
    rng = np.random.default_rng(positive * 10 + negative)
    examples = [np.stack([unit(rng, 16) for _ in range(n)]) if n else None for n in (positive, negative)]
    assert examples[0] is not None
    assert_ranked_alike(filled, Query(Recommend(examples[0], examples[1]), using="clip", limit=20))
    assert_ranked_alike(filled, Query(Recommend(examples[0], examples[1]), using="clip", limit=4, offset=3))


def test_recommend_with_an_empty_list_of_negatives(filled: Pair) -> None:
    query = Query(Recommend(axis(16, 1)[None], np.empty((0, 16), dtype=np.float32)), using="clip")
    assert_ranked_alike(filled, query)


@pytest.mark.parametrize(("k", "limit", "offset"), [(60, 10, 0), (1, 10, 0), (7, 6, 0), (60, 5, 5)])
def test_fusion_is_by_reciprocal_rank_from_zero(filled: Pair, k: int, limit: int, offset: int) -> None:
    rng = np.random.default_rng(k)
    vectors = {using: unit(rng, dim) for using, dim in DIMS.items()}
    assert_fused_alike(filled, Query(Fuse(vectors, k=k), limit=limit, offset=offset))


def test_fusion_shows_every_point_once_in_pages_of_any_size(filled: Pair) -> None:
    rng = np.random.default_rng(60)
    query = Query(Fuse({using: unit(rng, dim) for using, dim in DIMS.items()}), limit=500)
    whole = filled.store.query(filled.name, query)
    assert sorted(ids_of(whole)) == sorted(filled.ids)
    assert ids_of(paged(filled.store, filled.name, query, 7)) == ids_of(whole)


def test_fusion_with_a_filter(filled: Pair) -> None:
    rng = np.random.default_rng(5)
    vectors = {using: unit(rng, dim) for using, dim in DIMS.items()}
    filter = Filter(must_not=(MatchValue("class", "elk"),))
    assert_fused_alike(
        filled, Query(Fuse(vectors, k=2), filter=filter, limit=30, exclude=tuple(filled.ids[:20]))
    )


def assert_fused_alike(pair: Pair, query: Query) -> None:
    # ranks are exact, so the scores are too
    found, expected = pair.store.query(pair.name, query), pair.oracle.query(pair.name, query)
    assert [hit.similarity for hit in found] == pytest.approx([hit.similarity for hit in expected], abs=1e-6)
    assert ids_of(found) == ids_of(expected)


def test_the_fusion_of_hand_placed_ranks(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(CollectionSchema(name, (VectorSpec("a", 4), VectorSpec("b", 4))))
    store.upsert(
        name,
        [
            Point(uid(1), {"a": axis(4, 0), "b": axis(4, 3)}, {}),  # first by a, last by b
            Point(uid(2), {"a": axis(4, 0, 1, 2, 3), "b": axis(4, 0)}, {}),  # second by a, first by b
            Point(uid(3), {"b": axis(4, 0, 1, 2, 3)}, {}),  # not in a, second by b
        ],
    )
    hits = store.query(name, Query(Fuse({"a": axis(4, 0), "b": axis(4, 0)}, k=10)))
    expected = {uid(2): 1 / 11 + 1 / 10, uid(1): 1 / 10 + 1 / 12, uid(3): 1 / 11}
    assert ids_of(hits) == list(expected)
    assert [hit.similarity for hit in hits] == pytest.approx(list(expected.values()), abs=1e-6)


# Equal similarities
# ------------------------------------------------------------------------------------------------------


def paged(store: VectorStore, name: str, query: Query, size: int) -> list[Hit]:
    """All hits of a query, asked for page by page."""
    hits: list[Hit] = []
    while len(page := store.query(name, replace(query, limit=size, offset=len(hits)))) == size:
        hits += page
    return [*hits, *page]


@pytest.fixture(scope="module")
def lookalikes(engine: VectorStore) -> tuple[VectorStore, str, list[str]]:
    """650 points on five vectors, so that each has 130 equals. Read only."""
    name, rng = PREFIX + "lookalikes", np.random.default_rng(11)
    bases = {using: [unit(rng, dim) for _ in range(5)] for using, dim in DIMS.items()}
    points = []
    for number in rng.permutation(650).tolist():
        vectors = {"clip": bases["clip"][number % 5], "vit": bases["vit"][number // 130]}
        points.append(Point(uid(number + 1), vectors, {"class": "odd" if number % 2 else "even"}))
    engine.ensure(random_data.schema(name))
    engine.upsert(name, points)
    return engine, name, sorted(point.id for point in points)


ASKS: dict[str, Near | Recommend | Fuse] = {
    "near": Near(unit(np.random.default_rng(1), 16)),
    "near a stored vector": Near(unit(np.random.default_rng(11), 16)),
    "recommend": Recommend(axis(16, 0)[None], axis(16, 1)[None]),
    "fuse": Fuse({"clip": axis(16, 0), "vit": axis(8, 1)}),
}


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_equals_stand_by_id_and_pages_are_slices(
    lookalikes: tuple[VectorStore, str, list[str]], ask: Near | Recommend | Fuse, exact: bool
) -> None:
    store, name, ids = lookalikes
    query = Query(ask, using="clip", exact=exact, with_payload=False)
    whole = store.query(name, replace(query, limit=MAX_LIMIT))
    assert sorted(ids_of(whole)) == ids
    if not isinstance(ask, Fuse):
        assert [(-(hit.similarity or 0), hit.id) for hit in whole] == sorted(
            (-(hit.similarity or 0), hit.id) for hit in whole
        )
        assert len({hit.similarity for hit in whole}) == 5
    for size, last in ((1, 12), (2, 12), (7, 60), (127, 650), (128, 300), (130, 650)):
        for offset in range(0, last, size):
            page = store.query(name, replace(query, limit=size, offset=offset))
            assert [(hit.id, hit.similarity) for hit in page] == [
                (hit.id, hit.similarity) for hit in whole[offset : offset + size]
            ], (size, offset)


def test_equals_stand_by_id_beside_a_filter_a_threshold_and_exclusions(
    lookalikes: tuple[VectorStore, str, list[str]],
) -> None:
    store, name, ids = lookalikes
    query = Query(
        Near(unit(np.random.default_rng(11), 16)),
        using="clip",
        limit=MAX_LIMIT,
        filter=keyword("class", "odd"),
    )
    whole = store.query(name, query)
    assert len(whole) == 325
    best = [hit for hit in whole if hit.similarity == 1.0]
    assert ids_of(best) == [id for number, id in enumerate(ids) if number % 2 and number % 5 == 0]
    narrow = replace(query, min_similarity=1.0, exclude=(best[0].id, best[7].id))
    assert ids_of(store.query(name, narrow)) == [hit.id for hit in best if hit not in (best[0], best[7])]
    assert ids_of(paged(store, name, narrow, 5)) == ids_of(store.query(name, narrow))


def test_a_batch_breaks_ties_alike(lookalikes: tuple[VectorStore, str, list[str]]) -> None:
    store, name, _ = lookalikes
    queries = [
        Query(ask, using="clip", limit=limit)
        for limit in (1, 40, 120)
        for ask in (*ASKS.values(), OrderBy("width"))
    ]
    assert store.query_batch(name, queries) == [store.query(name, query) for query in queries]


@pytest.mark.parametrize("dim", [16, 64, 300])
def test_a_vector_is_exactly_like_itself_and_first(store: VectorStore, fresh: Name, dim: int) -> None:
    name, rng = fresh(), np.random.default_rng(dim)
    store.ensure(CollectionSchema(name, (VectorSpec("clip", dim),)))
    for number in range(1, 13):
        vector, other = unit(rng, dim), unit(rng, dim)
        close = vector + 0.05 * (other - vector * (other @ vector))
        close /= np.linalg.norm(close)
        store.upsert(
            name,
            [Point(uid(2 * number - 1), {"clip": close}, {}), Point(uid(2 * number), {"clip": vector}, {})],
        )
        for asked in (Near(vector), Recommend(vector[None])):
            first = store.query(name, Query(asked, using="clip", limit=1))[0]
            assert (first.id, first.similarity) == (uid(2 * number), 1.0)
            exactly = store.query(name, Query(asked, using="clip", min_similarity=1.0))
            assert ids_of(exactly) == [uid(2 * number)]


BAD_QUERIES: dict[str, tuple[Query, type[Exception]]] = {
    "unknown vector": (Query(Near(axis(16, 0)), using="nope"), UnknownVector),
    "no vector named": (Query(Near(axis(16, 0))), UnknownVector),
    "unknown vector returned": (Query(Random(), with_vectors=("nope",)), UnknownVector),
    "unknown fused vector": (Query(Fuse({"clip": axis(16, 0), "nope": axis(4, 0)})), UnknownVector),
    "dimension": (Query(Near(axis(8, 0)), using="clip"), BadVector),
    "matrix": (Query(Near(axis(16, 0)[None]), using="clip"), BadVector),
    "nan": (Query(Near(axis(16, 0) * np.float32("nan")), using="clip"), BadVector),
    "zero": (Query(Near(np.zeros(16, dtype=np.float32)), using="clip"), BadVector),
    "bad example": (Query(Recommend(2 * axis(16, 0)[None]), using="clip"), BadVector),
    "bad negative": (Query(Recommend(axis(16, 0)[None], axis(8, 0)[None]), using="clip"), BadVector),
    "no example": (Query(Recommend(np.empty((0, 16), dtype=np.float32)), using="clip"), BadRequest),
    "examples cancel": (Query(Recommend(np.stack([axis(16, 0), -axis(16, 0)])), using="clip"), BadVector),
    "no fused vector": (Query(Fuse({})), BadRequest),
    "k": (Query(Fuse({"clip": axis(16, 0)}, k=0)), BadRequest),
    "limit": (Query(Random(), limit=0), BadRequest),
    "limit above": (Query(Random(), limit=MAX_LIMIT + 1), BadRequest),
    "offset": (Query(Random(), offset=-1), BadRequest),
    "threshold of nothing": (Query(Random(), min_similarity=0.5), BadRequest),
    "threshold of an order": (Query(OrderBy("width"), min_similarity=0.5), BadRequest),
    "threshold of ranks": (Query(Fuse({"clip": axis(16, 0)}), min_similarity=0.01), BadRequest),
}


@pytest.mark.parametrize("ids", [[-3, 29], ["abc"], ["A" * 36]])
def test_a_filter_on_ids_that_no_point_can_have_is_refused(filled: Pair, ids: list[int | str]) -> None:
    filter = Filter(must=(HasId(tuple(ids)),))
    for call in (
        lambda: filled.store.count(filled.name, filter),
        lambda: filled.store.query(filled.name, Query(Random(), filter=filter)),
        lambda: filled.store.scroll(filled.name, filter=filter),
    ):
        with pytest.raises(BadRequest):
            call()


@pytest.mark.parametrize(("query", "error"), BAD_QUERIES.values(), ids=BAD_QUERIES)
def test_bad_queries_are_refused_alike(filled: Pair, query: Query, error: type[Exception]) -> None:
    codes = []
    for store in (filled.store, filled.oracle):
        for call in (
            lambda s=store: s.query(filled.name, query),
            lambda s=store: s.query_batch(filled.name, [query]),
        ):
            with pytest.raises(error) as caught:
                call()
            codes.append(caught.value.code)
    assert len(set(codes)) == 1


def test_a_batch_answers_in_order(filled: Pair) -> None:
    queries = [
        Query(OrderBy("quality"), limit=5),
        Query(Near(axis(16, 0)), using="clip", limit=3),
        Query(Fuse({"vit": axis(8, 0), "clip": axis(16, 1)}), limit=4),
        Query(OrderBy("width", descending=True), limit=2),
        Query(Near(axis(8, 1)), using="vit", filter=keyword("class", "elk"), limit=6),
        Query(Recommend(axis(16, 2)[None]), using="clip", limit=1),
    ]
    assert filled.store.query_batch(filled.name, queries) == [
        filled.store.query(filled.name, query) for query in queries
    ]


def test_random_is_a_fair_sample(filled: Pair) -> None:
    draws = [ids_of(filled.store.query(filled.name, Query(Random(), limit=10))) for _ in range(60)]
    assert all(len(set(draw)) == 10 and set(draw) <= set(filled.ids) for draw in draws)
    assert len({tuple(draw) for draw in draws}) > 50
    assert len({id for draw in draws for id in draw}) > 0.9 * len(
        filled.ids
    )  # 600 draws from 160 leave out 4 on average
    hits = filled.store.query(filled.name, Query(Random(), limit=200))
    assert sorted(ids_of(hits)) == sorted(filled.ids)
    assert all(hit.similarity is None for hit in hits)


# Order and pages
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("field", ["quality", "width", "created_at", "scores.cat"])
def test_order(filled: Pair, field: str, descending: bool) -> None:
    order = OrderBy(field, descending)
    expected = ids_of(filled.oracle.query(filled.name, Query(order, limit=500)))
    assert 100 < len(expected) < len(filled.ids)  # points without the field are left out
    found = filled.store.query(filled.name, Query(order, limit=500))
    assert ids_of(found) == expected
    assert all(hit.similarity is None for hit in found)
    assert ids_of(filled.store.query(filled.name, Query(order, limit=9, offset=20))) == expected[20:29]
    assert ids_of(filled.store.query(filled.name, Query(order, limit=9, offset=400))) == []
    for limit in (1, 7, 50, 500):
        if limit > 1 or field == "width":
            assert scrolled(filled.store, filled.name, limit, order_by=order) == expected


@pytest.mark.parametrize("order", [None, OrderBy("width"), OrderBy("created_at", descending=True)])
def test_pages_with_a_filter_show_every_point_once(filled: Pair, order: OrderBy | None) -> None:
    filter = Filter(must=(MatchAny("class", ("elk", "boxer", "collie")),))
    expected = scrolled(filled.oracle, filled.name, filter=filter, order_by=order)
    assert len(expected) > 40
    assert scrolled(filled.store, filled.name, 6, filter=filter, order_by=order) == expected


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("field", "kind"),
    [("n", "integer"), ("x", "float"), ("when", "datetime"), ("parts[].n", "integer"), ("deep.n", "float")],
)
def test_a_point_with_several_values_stands_at_its_first(
    store: VectorStore, fresh: Name, field: str, kind: IndexKind, descending: bool
) -> None:
    name, pick = fresh(), random.Random(f"{field} {descending}")
    store.ensure(CollectionSchema(name, (VectorSpec("clip", 4),), {field: kind, "class": "keyword"}))
    expected: dict[str, list[int]] = {}
    points = []
    for number in range(1, 61):
        values = [pick.randrange(-4, 8) for _ in range(pick.choice([0, 1, 1, 2, 3, 5]))]
        points.append(
            Point(
                uid(number),
                {},
                {**as_field(field, kind, values, pick), "class": "odd" if number % 2 else "even"},
            )
        )
        if values:
            expected[uid(number)] = values
    store.upsert(name, points)
    order = OrderBy(field, descending)
    ids = sorted(expected, key=lambda id: ((-max(expected[id]) if descending else min(expected[id])), id))
    assert ids_of(store.query(name, Query(order, limit=100))) == ids
    assert ids_of(store.query(name, Query(order, limit=4, offset=9))) == ids[9:13]
    for limit in (1, 2, 7, 50):
        assert scrolled(store, name, limit, order_by=order) == ids
    odd = [id for id in ids if int(id.replace("-", ""), 16) % 2]
    assert scrolled(store, name, 3, order_by=order, filter=keyword("class", "odd")) == odd


def as_field(field: str, kind: IndexKind, values: list[int], pick: random.Random) -> dict[str, Any]:
    """A payload whose ``field`` carries these values."""
    if field == "parts[].n":
        return {"parts": [{"n": value} for value in values]}
    stored: list[Any] = list(values)
    if kind == "datetime":
        stored = [f"2024-05-{10 + value:02}T10:00:00{pick.choice(['Z', '+00:00'])}" for value in values]
    elif kind == "float":
        stored = [value / 4 for value in values]
    one = stored[0] if len(stored) == 1 and pick.random() < 0.5 else stored
    return {"deep": {"n": one}} if field == "deep.n" else {field: one}


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
def test_pages_end_without_an_empty_one(store: VectorStore, fresh: Name, limit: int) -> None:
    name = fresh()
    ids = put_axes(store, name, 6)
    for order in (None, OrderBy("n")):
        lengths = [len(page.hits) for page in pages(store, name, limit, order_by=order)]
        assert sum(lengths) == len(ids) and all(lengths)


def test_an_empty_collection_has_one_empty_page(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(small(name))
    assert store.scroll(name) == store.scroll(name, order_by=OrderBy("n")) == Page((), None)


@pytest.mark.parametrize("descending", [False, True])
def test_a_run_of_equal_values_is_paged_and_its_cursor_stays_short(
    store: VectorStore, fresh: Name, descending: bool
) -> None:
    name = fresh()
    store.ensure(small(name))
    values = [1] * 30 + [2] * 400 + [3] * 30
    store.upsert(name, [Point(uid(number + 1), {}, {"n": value}) for number, value in enumerate(values)])
    order = OrderBy("n", descending)
    found = list(pages(store, name, 25, order_by=order))
    hits = [hit for page in found for hit in page.hits]
    assert len(set(ids_of(hits))) == len(hits) == len(values)
    assert [hit.payload["n"] for hit in hits] == sorted(values, reverse=descending)
    assert all(page.cursor is None or len(page.cursor) < 200 for page in found)  # it travels in a URL


@pytest.mark.parametrize("order", [None, OrderBy("n"), OrderBy("n", descending=True)])
def test_points_that_stay_are_seen_once_while_others_come_and_go(
    store: VectorStore, fresh: Name, order: OrderBy | None
) -> None:
    name = fresh()
    store.ensure(small(name))
    stay = [Point(uid(10 * n), {}, {"n": n // 4}) for n in range(1, 41)]
    go = [Point(uid(10 * n + 1), {}, {"n": n // 4}) for n in range(1, 41)]
    store.upsert(name, [*stay, *go])
    seen: list[str] = []
    for step, page in enumerate(pages(store, name, 7, order_by=order)):
        seen += ids_of(page.hits)
        # the point on which the cursor stands goes too
        store.delete(
            name,
            [
                id
                for id in ids_of(page.hits[-2:])
                if id.endswith("1") or int(id.replace("-", ""), 16) % 10 == 1
            ],
        )
        store.upsert(name, [Point(uid(10_000 + 10 * step + 5), {}, {"n": step})])
    stayed = [point.id for point in stay]
    assert [id for id in seen if id in set(stayed)] == [
        id for id in scrolled(store, name, order_by=order) if id in set(stayed)
    ]
    assert len(set(seen)) == len(seen)


def test_integers_beyond_float64_are_told_apart(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(small(name))
    values = [2**60 + n // 2 for n in range(12)]
    store.upsert(name, [Point(uid(n + 1), {}, {"n": value}) for n, value in enumerate(values)])
    for descending in (False, True):
        expected = sorted(range(12), key=lambda n: (-values[n] if descending else values[n], n))
        assert scrolled(store, name, 5, order_by=OrderBy("n", descending)) == [uid(n + 1) for n in expected]


@pytest.mark.parametrize("cursor", ["", "x", "é", "!!!!", "e30", "W10", "WzEsMl0", "bnVsbA", "a" * 5000])
@pytest.mark.parametrize("order", [None, OrderBy("width")])
def test_what_is_no_cursor_is_refused(filled: Pair, cursor: str, order: OrderBy | None) -> None:
    with pytest.raises(BadRequest):
        filled.store.scroll(filled.name, cursor=cursor, order_by=order)


def test_a_cursor_belongs_to_its_order(filled: Pair) -> None:
    orders = [None, OrderBy("width"), OrderBy("width", descending=True), OrderBy("quality")]
    cursors = [filled.store.scroll(filled.name, order_by=order, limit=3).cursor for order in orders]
    for order in orders:
        for other, cursor in zip(orders, cursors, strict=True):
            if order != other:
                with pytest.raises(BadRequest):
                    filled.store.scroll(filled.name, order_by=order, cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 1])
def test_pages_and_facets_have_limits(filled: Pair, limit: int) -> None:
    for call in (
        lambda: filled.store.scroll(filled.name, limit=limit),
        lambda: filled.store.facet(filled.name, "class", limit=limit),
    ):
        with pytest.raises(BadRequest):
            call()


# Facets and counts
# -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["class", "tags", "width", "checked", "objects[].kind", "objects[].size"])
def test_facets(filled: Pair, field: str) -> None:
    expected = filled.oracle.facet(filled.name, field)
    found = filled.store.facet(filled.name, field)
    assert found == expected
    assert [type(facet.value) for facet in found] == [type(facet.value) for facet in expected]
    assert filled.store.facet(filled.name, field, limit=2) == expected[:2]


def test_equal_counts_stand_in_order_of_value(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(small(name))
    classes = ["b", "a", "ä", "c", "B", "c", "10", "9"]
    store.upsert(
        name,
        [Point(uid(n + 1), {}, {"class": value, "n": [5, -3][n % 2]}) for n, value in enumerate(classes)],
    )
    ones = [Facet(value, 1) for value in ["10", "9", "B", "a", "b", "ä"]]
    assert store.facet(name, "class") == [Facet("c", 2), *ones]
    assert store.facet(name, "class", limit=3) == [Facet("c", 2), *ones[:2]]
    assert store.facet(name, "n") == [Facet(-3, 4), Facet(5, 4)]


def test_a_value_counts_once_a_point(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    store.ensure(small(name))
    store.upsert(name, [Point(uid(1), {}, {"class": ["a", "a", "b"]}), Point(uid(2), {}, {"class": "a"})])
    assert store.facet(name, "class") == [Facet("a", 2), Facet("b", 1)]


def test_counts_follow_every_write(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    ids = put_axes(store, name)
    assert store.count(name, keyword("class", "odd")) == 2
    store.set_payload(name, {ids[1]: {"class": "odd"}})
    assert store.count(name, keyword("class", "odd")) == 3
    assert store.facet(name, "class") == [Facet("odd", 3), Facet("even", 1)]
    store.delete_payload(name, ids, ["class"])
    assert store.count(name, keyword("class", "odd")) == 0
    assert store.facet(name, "class") == []


def test_optimize_changes_no_answer(store: VectorStore, fresh: Name) -> None:
    name = fresh()
    put_axes(store, name, 300)
    query = Query(Near(axis(4, 1)), using="clip", filter=keyword("class", "odd"), limit=300)
    before = (
        sorted(ids_of(store.query(name, query))),
        scrolled(store, name),
        store.facet(name, "n", limit=400),
    )
    store.optimize(name)
    store.optimize(name, wait=False)
    assert before == (
        sorted(ids_of(store.query(name, query))),
        scrolled(store, name),
        store.facet(name, "n", limit=400),
    )
    assert store.info(name).points == 300


# Durability (a folder can be opened again; a server's is its own)
# -------------------------------------------------------


def test_what_was_acknowledged_is_there_after_opening_again(tmp_path: Path) -> None:
    def everything(store: VectorStore) -> object:
        hits = store.retrieve("c", ids, with_vectors=("clip", "late"))
        assert all(hits)
        described = [
            (hit.id, hit.payload, {n: v.tolist() for n, v in hit.vectors.items()}) for hit in hits if hit
        ]
        return (
            described,
            store.collections(),
            store.info("c").schema,
            store.facet("c", "class"),
            store.count("c"),
        )

    first = make_edge(tmp_path / "data")
    ids = put_axes(first, "c", 40)
    first.add_vector("c", VectorSpec("late", 3))
    first.add_index("c", "scores.cat", "float")
    first.update_vectors("c", ids[:3], "late", np.stack([axis(3, 0)] * 3))
    first.set_payload("c", {ids[0]: {"cat": 0.5}}, key="scores")
    first.delete_payload("c", ids[1:2], ["class"])
    first.delete("c", ids[30:])
    ids = ids[:30]
    before = everything(first)
    first.close()
    first.close()
    second = make_edge(tmp_path / "data")
    try:
        assert everything(second) == before
        second.upsert("c", [Point(uid(1000), {"clip": axis(4, 0)}, {})])
        assert second.count("c") == 31
    finally:
        second.close()


def test_changes_name_the_points_whose_payloads_were_written(
    store: VectorStore, fresh: Callable[[str], str]
) -> None:
    name = fresh("changes")
    store.ensure(random_data.schema(name))
    begin = store.changes(name)
    assert begin.ids is None
    points = random_data.points(6, seed=1)
    ids = [point.id for point in points]

    def written(since: Version) -> tuple[Version, set[str]]:
        found = store.changes(name, since)
        assert found.ids is not None
        return found.version, set(found.ids)

    assert written(begin.version) == (begin.version, set())
    store.upsert(name, points)
    filled, changed = written(begin.version)
    assert changed == set(ids)
    store.set_payload(name, {ids[0]: {"width": 7}, ids[1]: {"class": "elk"}})
    assert written(filled)[1] == {ids[0], ids[1]}
    store.set_payload(name, {ids[2]: {"cat": 0.5}}, key="scores", durable=False)
    store.delete_payload(name, [ids[3]], ["tags"])
    store.delete(name, [ids[4]])
    latest, changed = written(filled)
    assert changed == set(ids[:5])
    assert written(latest) == (latest, set())
    assert written(begin.version)[1] == set(ids)


def test_changes_of_a_collection_that_was_made_again_are_unknown(
    store: VectorStore, fresh: Callable[[str], str]
) -> None:
    name = fresh("again")
    store.ensure(random_data.schema(name))
    store.upsert(name, random_data.points(3))
    before = store.changes(name).version
    store.drop(name)
    with pytest.raises(NotFound):
        store.changes(name, before)
    store.ensure(random_data.schema(name))
    after = store.changes(name, before)
    assert after.ids is None and after.version.epoch != before.epoch


def test_a_log_of_changes_remembers_the_last_ones() -> None:
    log = ChangeLog(remembered=3)
    begin = log.since(None, complete=True).version
    log.note(["a", "b"])
    middle = log.since(begin, complete=True)
    assert set(middle.ids or ()) == {"a", "b"}
    log.note(["c", "a"])
    log.note(["d"])  # "b", whose write is the oldest, is forgotten
    assert log.since(begin, complete=True).ids is None
    assert set(log.since(middle.version, complete=True).ids or ()) == {"a", "c", "d"}
