"""Searches of an index of several graphs: pages are slices of one answer, with quantised copies too."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.services.vector_store.edge_points import point_id, unit_vectors
from vitrine.services.domain import CollectionSchema, VectorSpec
from vitrine.services.vector_store.edge import read as edge_read
from vitrine.services.vector_store.edge import shard as edge_shard
from vitrine.services.vector_store.edge.indexing.parts import build_index
from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.edge.reach import Reach
from vitrine.services.vector_store.ranked import BREADTH

DIM, POINTS, PART = 64, 3_000, 50
SCHEMA = CollectionSchema("cats", (VectorSpec("clip", DIM),), {"n": "integer"}, "int8")
SMALL_N = {"must": [{"key": "n", "range": {"lt": 1_000}}]}


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Eight graphs with quantised copies."""
    folder = tmp_path_factory.mktemp("reach") / "gen-1"
    opened = edge_shard.create_shard(folder, SCHEMA)
    vectors = unit_vectors(POINTS, dim=DIM)
    for start in range(0, POINTS, 500):
        numbers = range(start, start + 500)
        points = [edge.Point(point_id(n), {"clip": vectors[n].data}, {"n": n}) for n in numbers]
        opened.update(edge.UpdateOperation.upsert_points(points))
    opened.flush()
    opened.close()
    build_index(folder, SCHEMA, POINTS, part_kb=PART)
    opened = edge_shard.load_shard(folder, SCHEMA)
    yield opened
    opened.close()


def page(shard: Any, vector: Any, offset: int, limit: int, filter: Any = None, **more: Any) -> list[str]:
    plain = {
        "ask": "near",
        "using": ["clip"],
        "filter": filter,
        "exclude": [],
        "offset": offset,
        "limit": limit,
        "min_similarity": None,
        "exact": False,
        "with_payload": False,
        "with_vectors": [],
        **more,
    }
    reach = Reach.into(shard)
    (found,) = edge_read.answers(shard, SCHEMA, [(plain, [vector])], reach)
    return [hit.id for hit in found]


@pytest.mark.parametrize("filter", [None, SMALL_N], ids=["plain", "filtered"])
def test_pages_are_slices_of_one_answer(shard: Any, filter: Any) -> None:
    chance = random.Random(3)
    for vector in unit_vectors(6, dim=DIM, seed=9):
        whole = page(shard, vector, 0, 700, filter)
        assert len(set(whole)) == 700
        for _ in range(12):
            offset, limit = chance.choice([0, chance.randrange(300)]), chance.randrange(1, 200)
            assert page(shard, vector, offset, limit, filter) == whole[offset : offset + limit]


@pytest.mark.parametrize("filter", [None, SMALL_N], ids=["plain", "filtered"])
def test_what_it_finds_is_nearly_all(shard: Any, filter: Any) -> None:
    vectors = unit_vectors(POINTS, dim=DIM)
    last = 1_000 if filter else POINTS
    asked = unit_vectors(40, dim=DIM, seed=9)
    nearest = np.argsort(-(asked @ vectors[:last].T), axis=1)[:, :10]
    found = [set(page(shard, vector, 0, 10, filter)) for vector in asked]
    hits = sum(len(ids & {point_id(n) for n in row}) for ids, row in zip(found, nearest, strict=True))
    assert hits >= 0.95 * 400


def test_many_graphs_are_asked_for_fewer_candidates_each(shard: Any) -> None:
    reach = Reach.into(shard)
    assert int(shard.info().segments_count) == 9
    assert 10 < reach.plain < BREADTH
    assert reach.plain < reach.filtered < BREADTH
    assert not reach.acorn
