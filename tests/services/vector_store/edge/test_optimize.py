"""Indexing runs beside queries and writes, changes no answer, and may be killed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.services.vector_store.edge_points import point_id, points, unit_vectors, wait_until
from vitrine.services.domain import CollectionSchema, Near, Query, VectorSpec
from vitrine.services.errors import NotFound, Unavailable
from vitrine.services.vector_store.edge.files import CollectionFiles
from vitrine.services.vector_store.edge.store import EdgeVectorStore

DIM = 1024
COUNT = 8_200  # 16 MB of vectors: more than stays unindexed
SCHEMA = CollectionSchema("cats", (VectorSpec("clip", DIM),), {"tags": "keyword", "n": "integer"})


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store with enough points for an index."""
    folder = tmp_path_factory.mktemp("filled")
    store = EdgeVectorStore(folder, auto_optimize=False)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, COUNT, dim=DIM))
    store.close()
    return folder


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Iterator[EdgeVectorStore]:
    from vitrine.services.vector_store.edge.files import copy_sparse

    copy_sparse(filled, tmp_path / "data")
    opened = EdgeVectorStore(tmp_path / "data", auto_optimize=False)
    yield opened
    opened.close()


def in_background(call: Callable[[], None]) -> tuple[threading.Thread, list[BaseException | None]]:
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
            ended.append(None)
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ended


def test_answers_and_writes_go_on_while_it_indexes(store: EdgeVectorStore, tmp_path: Path) -> None:
    asked = unit_vectors(5, dim=DIM, seed=9)
    exact = [
        store.query("cats", Query(Near(vector), "clip", exact=True, with_payload=False)) for vector in asked
    ]
    old = CollectionFiles(tmp_path / "data", "cats").shard
    thread, ended = in_background(lambda: store.optimize("cats"))
    written = 0
    answered = 0
    while not ended:
        first = COUNT + written * 4
        store.upsert("cats", points(first, first + 4, dim=DIM))
        store.delete("cats", [point_id(first), point_id(written)])
        store.set_payload("cats", {point_id(first + 1): {"set": written}}, key="metadata")
        written += 1
        hits = store.query("cats", Query(Near(asked[written % 5]), "clip", with_payload=False))
        answered += len(hits)
        assert len(hits) == 10
    thread.join()
    assert ended == [None]
    assert written > 1
    assert store.info("cats").indexed > 0.9 * COUNT
    assert store.info("cats").status == "green"
    assert store.count("cats") == COUNT + 2 * written
    kept = [point_id(COUNT + n * 4 + offset) for n in range(written) for offset in (1, 2, 3)]
    gone = [point_id(COUNT + n * 4) for n in range(written)] + [point_id(n) for n in range(written)]
    assert all(hit is not None for hit in store.retrieve("cats", kept, with_payload=False))
    assert all(hit is None for hit in store.retrieve("cats", gone, with_payload=False))
    changed = store.retrieve("cats", [point_id(COUNT + n * 4 + 1) for n in range(written)])
    assert [hit.payload["metadata"] for hit in changed if hit] == [{"set": n} for n in range(written)]
    removed = set(gone)
    for vector, before in zip(asked, exact, strict=True):
        now = store.query("cats", Query(Near(vector), "clip", exact=True, limit=50, with_payload=False))
        expected = [hit.id for hit in before if hit.id not in removed]
        old_points = [hit.id for hit in now if hit.id not in set(kept)]
        assert old_points[: len(expected)] == expected
    new = CollectionFiles(tmp_path / "data", "cats").shard
    assert new != old
    wait_until(lambda: not old.exists())


def test_indexes_and_vectors_added_meanwhile_are_there_afterwards(store: EdgeVectorStore) -> None:
    thread, ended = in_background(lambda: store.optimize("cats"))
    wait_until(lambda: store.info("cats").status == "indexing")
    store.add_index("cats", "quality", "float")
    store.add_vector("cats", VectorSpec("vit", 4))
    store.update_vectors("cats", [point_id(5)], "vit", np.eye(4, dtype=np.float32)[:1])
    store.set_payload("cats", {point_id(5): {"quality": 0.5}})
    thread.join()
    assert ended == [None]
    hit = store.query("cats", Query(Near(np.eye(4, dtype=np.float32)[0]), "vit"))[0]
    assert (hit.id, hit.payload["quality"]) == (point_id(5), 0.5)
    assert store.info("cats").schema.dim("vit") == 4


def test_kill_of_the_indexing_process_leaves_everything_as_it_was(
    store: EdgeVectorStore, tmp_path: Path
) -> None:
    thread, ended = in_background(lambda: store.optimize("cats"))
    wait_until(lambda: bool(indexing_processes(store)) or bool(ended))
    for process in indexing_processes(store):
        process.kill()
    thread.join()
    assert isinstance(ended[0], Unavailable)
    assert "Nothing is lost" in str(ended[0])
    assert store.count("cats") == COUNT
    store.optimize("cats")
    assert store.info("cats").indexed == COUNT


def test_kill_of_the_engine_while_it_indexes(store: EdgeVectorStore, tmp_path: Path) -> None:
    thread, ended = in_background(lambda: store.optimize("cats"))
    wait_until(lambda: bool(indexing_processes(store)) or bool(ended))
    orphans = indexing_processes(store)
    pid = store.engine_pid
    assert pid is not None
    store.upsert("cats", points(COUNT, COUNT + 50, dim=DIM))
    os.kill(pid, signal.SIGKILL)
    thread.join()
    assert isinstance(ended[0], Unavailable)
    assert store.count("cats") == COUNT + 50
    psutil.wait_procs(orphans, timeout=10)
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in orphans)
    folder = CollectionFiles(tmp_path / "data", "cats").folder
    assert len(list(folder.glob("gen-*"))) == 1


def indexing_processes(store: EdgeVectorStore) -> list[psutil.Process]:
    return psutil.Process(store.engine_pid).children() if store.engine_pid else []


def test_dropping_while_it_indexes(store: EdgeVectorStore) -> None:
    thread, ended = in_background(lambda: store.optimize("cats"))
    wait_until(lambda: store.info("cats").status == "indexing")
    store.drop("cats")
    thread.join()
    assert isinstance(ended[0], NotFound)
    assert store.collections() == []


def test_it_starts_by_itself_once_it_pays(filled: Path, tmp_path: Path) -> None:
    from vitrine.services.vector_store.edge.files import copy_sparse

    copy_sparse(filled, tmp_path / "data")
    store = EdgeVectorStore(tmp_path / "data")
    assert store.info("cats").status == "green"
    store.upsert("cats", points(COUNT, COUNT + 1, dim=DIM))
    wait_until(lambda: store.info("cats").indexed >= COUNT and store.info("cats").status == "green")
    assert store.count("cats") == COUNT + 1
    store.close()


def test_nothing_to_index_swaps_nothing(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path)
    store.ensure(SCHEMA)
    store.optimize("cats")
    store.upsert("cats", points(0, 10, dim=DIM))
    store.optimize("cats")
    store.optimize("cats", wait=False)
    assert store.count("cats") == 10
    assert store.info("cats").indexed == 0
    store.close()
