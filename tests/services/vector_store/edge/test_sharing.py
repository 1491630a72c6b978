"""One data folder, many programs: each connects to the engine that runs, or starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.program import start_python
from tests.services.vector_store.edge_points import SCHEMA, point_id, points, wait_until
from vitrine.services.domain import CollectionSchema, VectorSpec
from vitrine.services.errors import NotFound, UnknownVector
from vitrine.services.vector_store.edge.link.lock import DataLock, read_holder
from vitrine.services.vector_store.edge.store import EdgeVectorStore

PROGRAM = """
import sys, pathlib
from tests.services.vector_store.edge_points import SCHEMA, point_id, points
from vitrine.services.domain import VectorSpec
from vitrine.services.vector_store.edge.store import EdgeVectorStore
store = EdgeVectorStore(pathlib.Path(sys.argv[1]), min_free_mb=0)
for line in sys.stdin:
    print(repr(eval(line)), flush=True)
store.close()
"""


class Program:
    """Another program with the store open; ``do`` has it evaluate an expression."""

    def __init__(self, folder: Path) -> None:
        self.process = start_python("-c", PROGRAM, folder, stdin=subprocess.PIPE)

    def do(self, expression: str) -> Any:
        self.ask(expression)
        return self.answer()

    def ask(self, expression: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return eval(self.process.stdout.readline())

    def end(self) -> None:
        self.process.communicate()


@contextmanager
def program(folder: Path) -> Iterator[Program]:
    other = Program(folder)
    try:
        yield other
    finally:
        if (
            other.process.poll() is None
            and other.process.stdin is not None
            and not other.process.stdin.closed
        ):
            other.process.kill()
        other.process.communicate()


def test_programs_see_each_others_writes_at_once(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    store.ensure(SCHEMA)
    with program(tmp_path) as other:
        assert other.do("store.upsert('cats', points(0, 20))") is None
        assert store.count("cats") == 20
        store.set_payload("cats", {point_id(3): {"n": 99}})
        assert other.do("store.retrieve('cats', [point_id(3)])[0].payload['n']") == 99
        assert other.do("store.engine_pid") == store.engine_pid
    store.close()


def test_collection_of_another_program_is_there_at_once_and_gone_at_once(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    assert store.collections() == []
    with program(tmp_path) as other:
        other.do("store.ensure(SCHEMA)")
        assert store.count("cats") == 0
        store.add_vector("cats", VectorSpec("vit", 4))
        wait_until(lambda: other.do("len(store.info('cats').schema.vectors)") == 2)
        other.do("store.drop('cats')")
        with pytest.raises(NotFound):
            store.count("cats")
        wait_until(lambda: store.collections() == [])
        other.do("store.ensure(SCHEMA)")
        assert store.count("cats") == 0
    store.close()


def test_what_another_program_adds_can_be_used_at_once(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 4))
    ids = [point_id(n) for n in range(4)]
    with program(tmp_path) as other:
        assert store.count("cats") == 4  # what it remembers is as fresh as can be
        other.do("store.add_vector('cats', VectorSpec('vit', 4))")
        store.update_vectors("cats", ids, "vit", np.eye(4, dtype=np.float32))
        other.do("store.add_vector('cats', VectorSpec('more', 4))")
        assert [hit and set(hit.vectors) for hit in store.retrieve("cats", ids, with_vectors=("more",))] == [
            set()
        ] * 4
        other.do("store.add_index('cats', 'colour', 'keyword')")
        assert store.facet("cats", "colour") == []
        with pytest.raises(UnknownVector):
            store.scroll("cats", with_vectors=("none",))
    store.close()


def test_engine_outlives_the_program_that_started_it_and_ends_with_the_last(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    with program(tmp_path) as first:
        engine = first.do("store.ensure(SCHEMA) or store.engine_pid")
        assert store.collections() == ["cats"]
        first.end()
    store.upsert("cats", points(0, 10))
    assert store.engine_pid == engine
    store.close()
    DataLock(tmp_path).release()  # it has ended
    assert not (tmp_path / "engine.sock").exists()


def test_killed_program_takes_nobody_along(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    with program(tmp_path) as first:
        engine = first.do("store.ensure(SCHEMA) or store.engine_pid")
        assert store.collections() == ["cats"]
        first.ask("[store.upsert('cats', points(0, 50)) for _ in range(1000)]")
        wait_until(lambda: store.count("cats") == 50)
        first.process.kill()
        first.process.wait()
    store.upsert("cats", points(50, 60))
    assert (store.count("cats"), store.engine_pid) == (60, engine)
    store.close()


def test_killed_engine_is_started_by_whoever_asks_next(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    store.ensure(SCHEMA)
    with program(tmp_path) as other:
        for start in range(0, 60, 20):
            assert other.do(f"store.upsert('cats', points({start}, {start + 20}))") is None
            engine = store.engine_pid
            assert engine is not None
            os.kill(engine, signal.SIGKILL)
            ask = other.do if start % 40 else lambda text: eval(text, {"store": store})
            assert ask("store.count('cats')") == start + 20
            assert other.do("store.count('cats')") == store.count("cats") == start + 20
            assert other.do("store.engine_pid") == store.engine_pid
    store.close()


def test_many_programs_that_start_at_once_have_one_engine(tmp_path: Path) -> None:
    programs = [Program(tmp_path) for _ in range(4)]
    for other in programs:
        other.ask("store.ensure(SCHEMA) or store.engine_pid")
    assert len({other.answer() for other in programs}) == 1
    for other in programs:
        other.end()


@pytest.mark.parametrize("expression", ["store.scroll('cats', limit=1000).hits", "store.count('cats')"])
def test_stopped_program_holds_up_nobody(tmp_path: Path, expression: str) -> None:
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    store.ensure(SCHEMA)
    store.upsert("cats", points(0, 1000))
    store.set_payload("cats", {point_id(n): {"tags": ["long " * 200]} for n in range(1000)})
    with program(tmp_path) as other:
        assert other.do("store.count('cats')") == 1000
        other.ask(f"len([{expression} for _ in range(100_000)])")
        os.kill(other.process.pid, signal.SIGSTOP)
        for _ in range(20):
            assert store.count("cats") == 1000
        other.process.kill()
    store.close()


def test_other_programs_half_message_holds_up_nobody(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    store.ensure(SCHEMA)
    silent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    silent.connect(read_holder(tmp_path)["socket"])
    silent.sendall(b"\x00\x01\x00\x00{")
    assert store.count("cats") == 0
    silent.close()
    assert store.count("cats") == 0
    store.close()


def test_folder_with_a_long_path_is_served_from_a_short_one(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    store = EdgeVectorStore(folder, min_free_mb=0)
    store.ensure(SCHEMA)
    address = Path(read_holder(folder)["socket"])
    assert folder not in address.parents
    assert address.parent.stat().st_mode & 0o777 == 0o700
    assert address.stat().st_mode & 0o777 == 0o600
    with program(folder) as other:
        assert other.do("store.collections()") == ["cats"]
    store.close()
    assert not address.exists()


def test_writes_of_many_callers_share_a_sync(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    store.ensure(SCHEMA)

    def write(number: int) -> Callable[[], None]:
        return lambda: [store.upsert("cats", points(n, n + 1)) for n in range(number * 20, number * 20 + 20)][
            -1
        ]

    threads = [threading.Thread(target=write(number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count("cats") == 160
    store.close()
    again = EdgeVectorStore(tmp_path, min_free_mb=0)
    assert again.count("cats") == 160
    again.close()


def test_two_programs_make_one_collection(tmp_path: Path) -> None:
    stores = [EdgeVectorStore(tmp_path, min_free_mb=0) for _ in range(2)]
    schemas = [CollectionSchema("cats", SCHEMA.vectors, {f"field_{n}": "keyword"}) for n in range(2)]
    threads = [
        threading.Thread(target=store.ensure, args=(schema,))
        for store, schema in zip(stores, schemas, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        wait_until(lambda store=store: set(store.info("cats").schema.indexes) == {"field_0", "field_1"})
        store.close()


def test_what_is_no_message_harms_nobody(tmp_path: Path) -> None:
    store = EdgeVectorStore(tmp_path, min_free_mb=0)
    store.ensure(SCHEMA)
    engine = store.engine_pid
    for text in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x02\x00\x00\x00{]",
        b"\x02\x00\x00\x00{}",
        b"\x02\x00\x00\x00[]",
    ):
        stranger = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stranger.connect(read_holder(tmp_path)["socket"])
        stranger.sendall(text)
        assert store.count("cats") == 0
        stranger.close()
    assert store.engine_pid == engine
    store.close()
