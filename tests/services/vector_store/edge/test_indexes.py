"""A small collection gets an index when a question first needs it, a large one all of them; answers do not
depend on it."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from tests.services.vector_store.edge_points import SCHEMA, point_id, points, unit_vectors, wait_until
from vitrine.services.domain import CollectionSchema, Near, OrderBy, Point, Query, VectorSpec
from vitrine.services.filters.conditions import Condition, Filter, IsEmpty, IsNull, MatchValue, Nested, Range
from vitrine.services.vector_store.edge import shard as edge_shard
from vitrine.services.vector_store.edge.files import CollectionFiles
from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.edge.store import EdgeVectorStore
from vitrine.services.vector_store.engine_names import own_path

FIELDS = {
    "tags": "keyword",
    "n": "integer",
    "scores.cat": "float",
    'scores."red mug"': "float",
    "objects[].name": "keyword",
}
WIDE = CollectionSchema("cats", (VectorSpec("clip", 16),), FIELDS)  # type: ignore[arg-type]


def indexed(folder: Path, name: str = "cats") -> set[str]:
    """The fields that have an index in the shard of a collection, whose store is closed."""
    shard = edge.EdgeShard.load(str(CollectionFiles(folder, name).shard), None)
    found = {own_path(path) for path in shard.info().payload_schema}
    shard.close()
    return found


def filled(folder: Path, count: int = 20, schema: CollectionSchema = WIDE) -> EdgeVectorStore:
    store = EdgeVectorStore(folder, auto_optimize=False)
    fill(store, schema, count)
    return store


def fill(store: EdgeVectorStore, schema: CollectionSchema, count: int) -> None:
    store.ensure(schema)
    for start in range(0, count, 1_000):
        store.upsert(schema.name, points(start, min(start + 1_000, count)))


CONDITIONS: list[tuple[Condition, str]] = [
    (MatchValue("tags", "t3"), "tags"),
    (Range("scores.cat", gte=0.5), "scores.cat"),
    (Range('scores."red mug"', gte=0.5), 'scores."red mug"'),
    (IsEmpty("n"), "n"),
    (IsEmpty("n", False), "n"),
    (IsNull("n"), "n"),
    (Filter(should=(MatchValue("tags", "t3"),)), "tags"),
    (Nested("objects", Filter(must=(MatchValue("name", "cup"),))), "objects[].name"),
]
CLAUSES = ("must", "should", "must_not")


@pytest.fixture(scope="module")
def made_by(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], set[str]]:
    """The indexes that a filter leaves, by its clause and the number of its condition: a collection for each,
    in one engine, since an engine for each would take most of the time."""
    folder = tmp_path_factory.mktemp("filters")
    asked = {f"cats-{clause}-{n}": (clause, n) for clause in CLAUSES for n in range(len(CONDITIONS))}
    store = EdgeVectorStore(folder, auto_optimize=False)
    for name in asked:
        fill(store, replace(WIDE, name=name), 20)
        store.retrieve(name, [point_id(1)])
        store.query(name, Query(Near(unit_vectors(1)[0]), "clip"))
    store.close()
    assert [name for name in asked if indexed(folder, name)] == []
    store = EdgeVectorStore(folder)
    for name, (clause, n) in asked.items():
        store.count(name, Filter(**{clause: (CONDITIONS[n][0],)}))
    store.close()
    return {key: indexed(folder, name) for name, key in asked.items()}


@pytest.mark.parametrize(
    "number", range(len(CONDITIONS)), ids=[str(condition) for condition, _ in CONDITIONS]
)
@pytest.mark.parametrize("clause", CLAUSES)
def test_a_filter_makes_the_index_that_it_needs(
    made_by: dict[tuple[str, int], set[str]], number: int, clause: str
) -> None:
    assert made_by[clause, number] == {CONDITIONS[number][1]}


def test_each_kind_of_question_makes_it(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert store.facet("cats", "tags")[0].count == 20
    order = OrderBy("n", descending=True)
    assert store.scroll("cats", order_by=order, limit=1).hits[0].id == point_id(19)
    store.close()
    assert indexed(tmp_path) == {"tags", "n"}
    store = filled(tmp_path / "other")
    first = store.query("cats", Query(order, limit=1))[0]
    half = Query(Near(unit_vectors(1)[0]), "clip", filter=Filter(must=(MatchValue("tags", "t2"),)), limit=100)
    answers = store.query_batch("cats", [half] * 9)  # more than are answered at a time
    assert (first.id, [len(hits) for hits in answers]) == (point_id(19), [4] * 9)
    store.close()
    assert indexed(tmp_path / "other") == {"tags", "n"}


def test_a_collection_that_grows_gets_all_of_them(tmp_path: Path) -> None:
    count = edge_shard.FEW_POINTS
    store = filled(tmp_path, count - 1)
    store.add_index("cats", "added", "integer")
    asked = Filter(must=(MatchValue("tags", "t3"),), must_not=(Range("n", gte=100),))
    before = [hit.id for hit in store.scroll("cats", filter=asked, limit=50).hits]
    store.close()
    assert indexed(tmp_path) == {"tags", "n"}
    store = EdgeVectorStore(tmp_path, auto_optimize=False)
    store.upsert("cats", points(count - 1, count))
    store.add_index("cats", "late", "keyword")
    assert [hit.id for hit in store.scroll("cats", filter=asked, limit=50).hits] == before
    assert len(before) == 20
    store.close()
    assert indexed(tmp_path) == {*FIELDS, "added", "late"}


def test_one_that_was_killed_as_it_grew_has_them_when_it_opens(tmp_path: Path) -> None:
    store = filled(tmp_path, 3, SCHEMA)
    store.close()
    shard = edge_shard.load_shard(CollectionFiles(tmp_path, "cats").shard, SCHEMA)
    for start in range(3, edge_shard.FEW_POINTS + 3, 1_000):
        new = [edge.Point(point.id, {"clip": point.vectors["clip"].data}, point.payload)
               for point in points(start, start + 1_000)]  # fmt: skip
        shard.update(edge.UpdateOperation.upsert_points(new))
    shard.flush()
    shard.close()
    store = EdgeVectorStore(tmp_path, auto_optimize=False)
    assert store.count("cats", Filter(must=(MatchValue("tags", "t3"),))) == 1_000
    store.close()
    assert indexed(tmp_path) == {"tags", "n"}


def test_a_kind_can_change_before_and_after_the_index_is_made(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.upsert("cats", [Point(point_id(90), {"clip": unit_vectors(1)[0]}, {"tags": 7, "n": "seven"})])
    store.count("cats", Filter(must=(MatchValue("n", 3),)))
    for field, kind in (("n", "keyword"), ("tags", "integer")):
        store.change_index("cats", field, kind)  # type: ignore[arg-type]
    assert store.count("cats", Filter(must=(MatchValue("n", "seven"),))) == 1
    assert store.count("cats", Filter(must=(MatchValue("tags", 7),))) == 1
    store.close()
    assert indexed(tmp_path) == {"tags", "n"}


def test_a_question_is_answered_while_the_collection_is_copied(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.optimize("cats", wait=False)
    found: list[int] = []
    asked = [Filter(must=(MatchValue("tags", f"t{n}"),)) for n in range(5)]
    threads = [
        threading.Thread(target=lambda one=one: found.append(store.count("cats", one))) for one in asked
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [4] * 5
    wait_until(lambda: store.info("cats").status == "green")
    assert store.count("cats", asked[0]) == 4
    store.close()
    assert indexed(tmp_path) == {"tags"}


def test_a_kill_after_the_first_question_loses_nothing(tmp_path: Path) -> None:
    store = filled(tmp_path)
    asked = Filter(must=(Range("n", lt=5),))
    assert store.count("cats", asked) == 5
    assert store.engine_pid is not None
    os.kill(store.engine_pid, signal.SIGKILL)
    assert store.count("cats", asked) == 5
    assert store.count("cats") == 20
    store.close()
    assert indexed(tmp_path) == {"n"}
