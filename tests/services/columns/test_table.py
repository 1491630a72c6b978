"""Columns hold what the payloads hold: filters and counts over them are those of plain loops, and a table
that is brought up to date is the one that would be read now."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from tests.services.vector_store import random_data
from tests.services.vector_store.oracle import OracleVectorStore
from tests.services.vector_store.oracle_filter import matches
from vitrine.services.columns.column import mask_of
from vitrine.services.columns.counting import counted, edges_between, most_frequent
from vitrine.services.columns.filtering import apply, fields_read
from vitrine.services.columns.reading import Snapshot, caught_up, read_snapshot
from vitrine.services.columns.table import Table, to_bytes, to_texts
from vitrine.services.domain import IndexKind, Payload, Point
from vitrine.services.filters.conditions import Condition, Filter, Range

NAME = "random"
KINDS: Mapping[str, IndexKind] = {
    field: kind for field, kind in random_data.schema(NAME).indexes.items() if "[]" not in field
}


def filled(points: list[Point]) -> OracleVectorStore:
    store = OracleVectorStore()
    store.ensure(random_data.schema(NAME))
    store.upsert(NAME, points)
    return store


def asking(store: OracleVectorStore) -> Callable[[Condition], Any]:
    """What a filter asks of the engine, where no column can answer."""

    def ask(condition: Condition) -> Any:
        page = store.scroll(NAME, filter=Filter(must=(condition,)), limit=10_000)
        return to_bytes([hit.id for hit in page.hits])

    return ask


def shown(table: Table) -> dict[str, dict[str, Any]]:
    """The values of a table by id and field."""
    ids = to_texts(table.ids)
    found: dict[str, dict[str, Any]] = {id: {} for id in ids}
    for field, column in table.columns.items():
        for row, item in zip(column.owners().tolist(), column.all_items().tolist(), strict=True):
            value = column.words.values[item] if column.has_words else item
            found[ids[row]].setdefault(field, []).append(value)
        for row in np.flatnonzero(column.present).tolist():
            found[ids[row]].setdefault(field, [])
    return found


@pytest.mark.parametrize("seed", range(6))
def test_random_filters_let_the_same_images_through(seed: int) -> None:
    points = random_data.points(300, seed=seed)
    store, pick = filled(points), random.Random(seed)
    table = read_snapshot(store, NAME, KINDS).table
    some = {point.id: point for point in points}
    for _ in range(120):
        chosen = random_data.filter(pick, list(some))
        assert fields_read(chosen) <= KINDS.keys()
        found = set(to_texts(table.ids[apply(chosen, table, asking(store))]))
        assert found == {
            id for id, point in some.items() if matches(chosen, id, point.payload, point.vectors)
        }, chosen


@pytest.mark.parametrize("field", ["class", "tags", "width", "checked"])
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_values_are_counted_as_the_engine_counts_them(field: str, limit: int) -> None:
    store, pick = filled(random_data.points(300, seed=3)), random.Random(limit)
    table = read_snapshot(store, NAME, KINDS).table
    for _ in range(20):
        chosen = random_data.filter(pick, to_texts(table.ids))
        values, more = most_frequent(table.columns[field], apply(chosen, table, asking(store)), limit)
        assert values == store.facet(NAME, field, filter=chosen, limit=limit)
        assert more == (len(store.facet(NAME, field, filter=chosen, limit=1_000)) > limit)


@pytest.mark.parametrize("field", ["width", "quality", "scores.cat"])
def test_bins_are_counted_as_the_engine_counts_ranges(field: str) -> None:
    store = filled(random_data.points(300, seed=5))
    table = read_snapshot(store, NAME, KINDS).table
    everything = np.ones(len(table), np.bool_)
    for lower, upper in ((0.0, 1.0), (100, 300), (0.25, 0.25), (-10, 2**52)):
        bins = counted(table.columns[field], everything, edges_between(lower, upper, 4))
        assert sum(one.count for one in bins) == store.count(
            NAME, Filter(must=(Range(field, gte=lower, lte=upper),))
        )
        for one in bins[:-1]:
            assert one.count == store.count(NAME, Filter(must=(Range(field, gte=one.lower, lt=one.upper),)))


def test_an_image_with_two_values_in_a_bin_counts_once() -> None:
    store = filled([])
    store.upsert(NAME, [Point(str(uuid.UUID(int=n)), {}, {"width": [n, n + 1, 9]}) for n in range(3)])
    column = read_snapshot(store, NAME, KINDS).table.columns["width"]
    bins = counted(column, np.array([True, True, False]), np.array([0.0, 2.0, 9.0]))
    assert [one.count for one in bins] == [2, 2]


def change(pick: random.Random, store: OracleVectorStore, number: int) -> None:
    """Write something: new points, others in their place, payloads, deletions."""
    ids = [hit.id for hit in store.scroll(NAME, limit=10_000).hits]
    some = pick.sample(ids, min(len(ids), pick.randrange(1, 6)))
    new = random_data.points(pick.randrange(1, 5), seed=1_000 + number)
    what = pick.randrange(5)
    if what == 0:
        store.upsert(NAME, new)
    elif what == 1:
        store.upsert(NAME, [Point(id, one.vectors, one.payload) for id, one in zip(some, new, strict=False)])
    elif what == 2:
        store.set_payload(NAME, {id: {"tags": [f"new {number}", "indoor"], "width": number} for id in some})
    elif what == 3:
        store.delete_payload(NAME, some, [pick.choice(["class", "scores.cat", "tags"])])
    else:
        store.delete(NAME, some)


@pytest.mark.parametrize("seed", range(8))
def test_a_table_that_was_caught_up_is_the_one_that_would_be_read(seed: int) -> None:
    store, pick = filled(random_data.points(60, seed=seed)), random.Random(seed)
    snapshot: Snapshot | None = read_snapshot(store, NAME, KINDS)
    for number in range(60):
        for _ in range(pick.randrange(3)):
            change(pick, store, number)
        assert snapshot is not None
        snapshot = caught_up(store, NAME, snapshot, store.changes(NAME, snapshot.version))
        assert snapshot is not None and snapshot.version == store.changes(NAME).version
        now = read_snapshot(store, NAME, KINDS).table
        assert snapshot.table.ids.tolist() == now.ids.tolist()
        assert shown(snapshot.table) == shown(now)


def test_rows_that_are_taken_keep_their_values() -> None:
    table = read_snapshot(filled(random_data.points(80, seed=2)), NAME, KINDS).table
    rows = np.flatnonzero(mask_of(random.Random(2).sample(range(80), 30), 80))
    whole, part = shown(table), shown(table.take(rows))
    assert part == {id: whole[id] for id in to_texts(table.ids[rows])}


def test_ids_are_found_by_their_bytes() -> None:
    ids = sorted(str(uuid.UUID(int=number)) for number in (0, 1, 255, 256, 2**64, 2**127, 2**128 - 1))
    store = filled([Point(id, {}, {}) for id in ids])
    table = read_snapshot(store, NAME, {}).table
    assert to_texts(table.ids) == ids
    assert table.find(to_bytes(ids[::-1])).tolist() == list(range(len(ids)))[::-1]
    assert table.find(to_bytes([str(uuid.UUID(int=7))])).tolist() == [-1]


def test_values_of_another_kind_are_something_but_no_value() -> None:
    payloads: list[Payload] = [{"class": 7}, {"class": ["a", 7]}, {"class": {"x": 1}}, {"class": [None]}, {}]
    store = filled([Point(str(uuid.UUID(int=n)), {}, payload) for n, payload in enumerate(payloads)])
    column = read_snapshot(store, NAME, {"class": "keyword"}).table.columns["class"]
    assert column.present.tolist() == [True, True, True, True, False]
    assert column.owners().tolist() == [1] and column.words.values == ("a",)
