"""What was acknowledged survives kills of the engine process and of its owner; damage is told, and never told
falsely."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.program import start_python
from tests.services.vector_store.edge_points import SCHEMA, point_id, points, unit_vectors, wait_until
from vitrine.services.domain import CollectionSchema, Near, Point, Query, VectorSpec
from vitrine.services.errors import StorageFull, StoreDamaged, Unavailable
from vitrine.services.filters.conditions import Filter, Range
from vitrine.services.vector_store.edge.files import CollectionFiles
from vitrine.services.vector_store.edge.store import EdgeVectorStore

OWNER = """
import sys
from pathlib import Path
from vitrine.services.vector_store.edge.store import EdgeVectorStore
from tests.services.vector_store.edge_points import SCHEMA, point_id, points

store = EdgeVectorStore(Path(sys.argv[1]))
store.ensure(SCHEMA)
for start in range(int(sys.argv[2]), 1_000_000, 40):
    store.upsert("cats", points(start, start + 40))
    print("+", start, flush=True)
    store.delete("cats", [point_id(n) for n in range(start, start + 10)])
    print("-", start, flush=True)
    store.set_payload("cats", {point_id(n): {"set": True} for n in range(start + 10, start + 20)})
    print("p", start, flush=True)
    if start % 400 == 0:
        store.optimize("cats", wait=False)
"""


def owner(folder: Path, start: int) -> subprocess.Popen[str]:
    return start_python("-c", OWNER, folder, start)


def test_kills_of_the_owner_lose_nothing_acknowledged(tmp_path: Path) -> None:
    choose = random.Random(7)
    acknowledged: list[tuple[str, int]] = []
    for start in range(0, 40_000, 10_000):
        process = owner(tmp_path, start)
        assert process.stdout is not None
        for _ in range(choose.randrange(1, 50)):
            sign, number = process.stdout.readline().split()
            acknowledged.append((sign, int(number)))
        process.kill()
        acknowledged += [
            (line.split()[0], int(line.split()[1]))
            for line in process.stdout.read().splitlines()
            if " " in line
        ]
        process.wait()
        process.stdout.close()
        store = EdgeVectorStore(tmp_path)
        check_kept(store, acknowledged)
        store.close()


def check_kept(store: EdgeVectorStore, acknowledged: list[tuple[str, int]]) -> None:
    deleted = [point_id(n) for sign, start in acknowledged if sign == "-" for n in range(start, start + 10)]
    changed = [
        point_id(n) for sign, start in acknowledged if sign == "p" for n in range(start + 10, start + 20)
    ]
    there = [
        point_id(n) for sign, start in acknowledged if sign == "+" for n in range(start + 10, start + 40)
    ]
    assert all(hit is None for hit in store.retrieve("cats", deleted, with_payload=False))
    assert all(hit is not None for hit in store.retrieve("cats", there, with_payload=False))
    assert all(hit is not None and hit.payload["set"] for hit in store.retrieve("cats", changed))


def kill_engine(store: EdgeVectorStore) -> None:
    pid = store.engine_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: store.engine_pid != pid)


def test_killed_engine_is_started_again_by_the_next_call(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    for start in range(0, 200, 50):
        store.upsert("cats", points(start, start + 50))
        kill_engine(store)
        assert store.count("cats") == start + 50
    kill_engine(store)
    store.upsert("cats", points(200, 210))
    hit = store.query("cats", Query(Near(points(205, 206)[0].vectors["clip"]), "clip", limit=1))[0]
    assert hit.id == point_id(205)
    store.close()


def under_a_dying_engine(store: EdgeVectorStore, call: Callable[[], object]) -> list[object]:
    """Kill the engine while it has a call to answer; return what the call returned or raised."""
    pid = store.engine_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    ended: list[object] = []

    def run() -> None:
        try:
            ended.append(call())
        except Unavailable as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while store._client._idle:  # until the call has taken its connection
        pass
    os.kill(pid, signal.SIGKILL)
    thread.join()
    return ended


def test_call_under_which_the_engine_dies_is_made_again(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 10))
    assert under_a_dying_engine(store, lambda: store.count("cats")) == [10]
    assert under_a_dying_engine(store, lambda: store.upsert("cats", points(10, 20))) == [None]
    assert under_a_dying_engine(store, lambda: store.set_payload("cats", {point_id(3): {"n": 77}})) == [None]
    assert under_a_dying_engine(store, lambda: store.delete("cats", [point_id(4)])) == [None]
    assert store.count("cats") == 19
    store.close()


def test_call_that_cannot_be_made_twice_says_that_the_engine_died(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 10))
    (error,) = under_a_dying_engine(store, lambda: store.drop("cats"))
    assert "the engine process ended (signal 9" in str(error).lower()
    assert store.collections() in ([], ["cats"])
    store.close()


def test_reopening_keeps_schema_and_points(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 100))
    store.add_vector("cats", VectorSpec("vit", 4))
    store.add_index("cats", "scores.cat", "float")
    store.update_vectors("cats", [point_id(3)], "vit", np.eye(4, dtype=np.float32)[:1])
    before = store.info("cats")
    store.close()
    store = EdgeVectorStore(tmp_path)
    assert store.info("cats") == before
    assert store.info("cats").schema.indexes == {"tags": "keyword", "n": "integer", "scores.cat": "float"}
    assert store.query("cats", Query(Near(np.eye(4, dtype=np.float32)[0]), "vit"))[0].id == point_id(3)
    store.close()


def test_short_collection_is_damage(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 300))
    store.close()
    files = CollectionFiles(tmp_path, "cats")
    files.write_points(301, durable=True)
    store = EdgeVectorStore(tmp_path)
    with pytest.raises(StoreDamaged, match=r"301 were acknowledged.*category rebuild"):
        store.count("cats")
    store.drop("cats")
    assert store.collections() == []
    store.close()


def test_shard_that_does_not_open_is_damage(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 30))
    store.ensure(CollectionSchema("dogs", SCHEMA.vectors))
    store.close()
    for path in CollectionFiles(tmp_path, "cats").shard.rglob("segment.json"):
        path.write_text("{")
    store = EdgeVectorStore(tmp_path)
    with pytest.raises(StoreDamaged, match="category rebuild"):
        store.count("cats")
    assert store.count("dogs") == 0
    store.close()


SCHEMA_DAMAGE = {
    "empty": b"",
    "cut off": b'{"name": "cats", "vec',
    "another shape": b"[]",
    "fields missing": b"{}",
    "another collection's": b'{"name": "dogs", "vectors": [], "indexes": {}}',
}


@pytest.mark.parametrize("damage", [*SCHEMA_DAMAGE.values(), None], ids=[*SCHEMA_DAMAGE, "gone"])
def test_a_collection_without_a_schema_is_damage_and_harms_no_other(
    tmp_path: Path, damage: bytes | None
) -> None:
    store = EdgeVectorStore(tmp_path)
    for name in ("cats", "dogs"):
        store.ensure(replace(SCHEMA, name=name))
        store.upsert(name, points(0, 3))
    store.close()
    file = CollectionFiles(tmp_path, "cats").folder / "collection.json"
    file.unlink() if damage is None else file.write_bytes(damage)
    store = EdgeVectorStore(tmp_path)
    assert store.collections() == ["cats", "dogs"] and store.count("dogs") == 3
    id = point_id(1)
    calls = (
        lambda: store.count("cats"),
        lambda: store.info("cats"),
        lambda: store.ensure(SCHEMA),
        lambda: store.add_index("cats", "n", "integer"),
        lambda: store.upsert("cats", points(0, 1)),
        lambda: store.delete("cats", [id]),
        lambda: store.optimize("cats"),
    )
    for call in calls:
        with pytest.raises(StoreDamaged, match=r"'cats'.*category rebuild cats"):
            call()
    store.drop("cats")
    store.ensure(SCHEMA)
    assert store.count("cats") == 0 and store.count("dogs") == 3
    store.close()


def test_lost_pointer_is_damage(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.close()
    (CollectionFiles(tmp_path, "cats").folder / "current").unlink()
    store = EdgeVectorStore(tmp_path)
    with pytest.raises(StoreDamaged, match=r"'cats'.*current"):
        store.count("cats")
    store.drop("cats")
    assert store.collections() == []
    store.close()


def test_an_index_that_was_changed_stays_so_and_one_that_was_half_changed_is_as_before(
    tmp_path: Path,
) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(CollectionSchema("cats", SCHEMA.vectors, {"price": "integer"}))
    store.upsert("cats", points(0, 2))
    store.set_payload("cats", {point_id(0): {"price": 12.5}, point_id(1): {"price": 9}})
    store.change_index("cats", "price", "float")
    store.close()
    expensive = Filter(must=(Range("price", gte=9.5),))
    store = EdgeVectorStore(tmp_path)
    assert store.count("cats", expensive) == 1
    store.close()
    # killed before the schema was written: the shard has an index that the schema does not know
    CollectionFiles(tmp_path, "cats").write_schema(
        CollectionSchema("cats", SCHEMA.vectors, {"price": "integer"})
    )
    store = EdgeVectorStore(tmp_path)
    assert store.info("cats").schema.indexes == {"price": "integer"} and store.count("cats", expensive) == 0
    store.change_index("cats", "price", "float")
    assert store.count("cats", expensive) == 1
    store.close()


def test_writes_are_refused_before_the_disk_is_full(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 30))
    store.close()
    store = EdgeVectorStore(tmp_path, min_free_mb=1 << 30)
    for refused in (
        lambda: store.upsert("cats", points(30, 40)),
        lambda: store.set_payload("cats", {point_id(0): {"a": 1}}),
        lambda: store.add_index("cats", "a", "integer"),
        lambda: store.ensure(CollectionSchema("dogs", SCHEMA.vectors)),
        lambda: store.optimize("cats"),
    ):
        with pytest.raises(StorageFull, match="VITRINE_MIN_FREE_MB"):
            refused()
    assert store.count("cats") == 30
    store.delete("cats", [point_id(0)])
    assert store.count("cats") == 29
    store.drop("cats")
    assert store.collections() == []
    store.close()


def test_leftovers_of_kills_are_wiped_when_the_collection_opens(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 30))
    store.close()
    files = CollectionFiles(tmp_path, "cats")
    (files.folder / "gen-feedfeedfeed" / "segments").mkdir(parents=True)
    (files.shard / "temp_segments" / "x").mkdir(parents=True)
    (tmp_path / "trash" / "x").mkdir(parents=True)
    (tmp_path / "collections" / "half").mkdir()
    store = EdgeVectorStore(tmp_path)
    assert store.count("cats") == 30
    assert store.collections() == ["cats"]
    assert [path.name for path in files.folder.glob("gen-*")] == [files.shard.name]
    assert not (files.shard / "temp_segments").exists()
    assert not (tmp_path / "trash").exists()
    assert not (tmp_path / "collections" / "half").exists()
    store.close()


def test_more_collections_than_are_kept_open(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    names = [f"c{number}" for number in range(24)]
    for number, name in enumerate(names):
        store.ensure(CollectionSchema(name, (VectorSpec("clip", 4),)))
        store.upsert(name, [Point(point_id(number), {"clip": unit_vectors(1, dim=4)[0]}, {})])
    for _ in range(2):
        for number, name in enumerate(names):
            assert [hit.id for hit in store.scroll(name).hits] == [point_id(number)]
    open_shards = {
        line.split("/collections/")[1].split("/")[0] for line in _maps(store) if "/collections/" in line
    }
    assert 1 <= len(open_shards) <= 20
    store.close()


def _maps(store: EdgeVectorStore) -> list[str]:
    return Path(f"/proc/{store.engine_pid}/maps").read_text().splitlines()
