"""Pages in order of integers that a float64 cannot tell apart."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.services.vector_store.edge_points import SCHEMA, point_id
from vitrine.services.domain import OrderBy, Point
from vitrine.services.vector_store.edge.store import EdgeVectorStore


@pytest.mark.parametrize("descending", [False, True])
def test_large_integers_are_each_seen_once_and_in_order(tmp_path: Path, descending: bool) -> None:
    choose = random.Random(3)
    offsets = [0, 2**53, -(2**53), 2**60, -(2**60), 2**63 - 2000, -(2**63) + 1000]
    values = {point_id(n): choose.choice(offsets) + choose.randrange(-1000, 1000) for n in range(300)}
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.upsert("cats", [Point(id, {}, {"n": value}) for id, value in values.items()])
    seen: list[str] = []
    cursor = None
    for _ in range(300):
        page = store.scroll("cats", order_by=OrderBy("n", descending), limit=7, cursor=cursor)
        seen += [hit.id for hit in page.hits]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == sorted(values, key=lambda id: (-values[id] if descending else values[id], id))
    store.close()
