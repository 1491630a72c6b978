"""Every acknowledged write is there after a power cut, with the index's files in any state since their
flush."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.services.vector_store.edge.power import after_power_cut
from tests.services.vector_store.edge_points import DIM, point_id, points, wait_until
from vitrine.services.domain import CollectionSchema, VectorSpec
from vitrine.services.filters.conditions import Filter, MatchValue
from vitrine.services.vector_store.edge.store import EdgeVectorStore

SCHEMA = CollectionSchema(
    "cats",
    (VectorSpec("clip", DIM),),
    {"tags": "keyword", "n": "integer", **{f"metadata.c{n}": "keyword" for n in range(6)}},
)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store as it was flushed, and as it is some acknowledged writes later."""
    work = tmp_path_factory.mktemp("power")
    store = EdgeVectorStore(work / "data", min_free_mb=0, auto_optimize=False)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 300))
    store.close()
    shutil.copytree(work / "data", work / "flushed")
    store = EdgeVectorStore(work / "data", min_free_mb=0, auto_optimize=False)
    store.upsert("cats", points(300, 400))
    store.set_payload(
        "cats", {point_id(n): {"n": 1000 + n, "metadata": {"c1": "red"}} for n in range(0, 400, 7)}
    )
    store.delete("cats", [point_id(n) for n in range(5, 400, 20)])
    store.upsert("cats", points(400, 410))
    engine = store.engine_pid
    assert engine is not None
    os.kill(engine, signal.SIGKILL)
    wait_until(lambda: store.engine_pid != engine)
    shutil.copytree(work / "data", work / "now", ignore=shutil.ignore_patterns("engine.sock"))
    store.close()
    return work / "flushed", work / "now"


@pytest.mark.parametrize("seed", range(8))
def test_what_was_acknowledged_is_there_after_a_power_cut(
    states: tuple[Path, Path], tmp_path: Path, seed: int
) -> None:
    after_power_cut(*states, tmp_path / "data", random.Random(seed))
    store = EdgeVectorStore(tmp_path / "data", min_free_mb=0)
    gone = set(range(5, 400, 20))
    there = [n for n in range(410) if n not in gone]
    assert store.count("cats") == len(there)
    for n, hit in zip(there, store.retrieve("cats", [point_id(n) for n in there]), strict=True):
        changed = n < 400 and n % 7 == 0
        assert hit is not None and hit.payload["n"] == (1000 + n if changed else n)
        assert hit.payload.get("metadata") == ({"c1": "red"} if changed else None)
    red = Filter(must=(MatchValue("metadata.c1", "red"),))
    assert store.count("cats", red) == sum(n % 7 == 0 and n < 400 for n in there)
    store.close()
