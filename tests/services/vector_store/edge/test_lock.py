"""A data folder has one owner, and the second one is told who that is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.services.vector_store.edge_points import SCHEMA, points, wait_until
from vitrine.services.errors import StoreLocked
from vitrine.services.vector_store.edge.lock import DataLock
from vitrine.services.vector_store.edge.store import EdgeVectorStore

HOLD = (
    "import sys, pathlib; from vitrine.services.vector_store.edge.lock import DataLock\n"
    "DataLock(pathlib.Path(sys.argv[1])); print(1, flush=True); input()"
)


def test_second_owner_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with pytest.raises(StoreLocked) as refused:
        first = EdgeVectorStore(tmp_path, holder={"command": "vitrine serve"})
        first.ensure(SCHEMA)
        first.upsert("cats", points(0, 10))
        first.serving_at("http://127.0.0.1:8123")
        EdgeVectorStore(tmp_path)
    assert str(os.getpid()) in refused.value.message
    assert "vitrine serve" in refused.value.message
    assert "use its API at http://127.0.0.1:8123" in refused.value.message
    assert refused.value.details["pid"] == os.getpid()
    first.upsert("cats", points(10, 20))
    assert first.count("cats") == 20
    first.close()


def test_close_lets_the_next_owner_in(tmp_path: Path) -> None:
    for _ in range(2):
        store = EdgeVectorStore(tmp_path)
        store.collections()
        store.close()
        store.close()


def test_lock_file_says_who_without_a_url_before_serving(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    holder = orjson.loads(lock.path.read_bytes())
    assert holder["pid"] == os.getpid()
    assert holder["url"] is None
    with pytest.raises(StoreLocked, match="wait until it has ended"):
        DataLock(tmp_path)
    lock.release()


def test_lock_outlives_a_killed_owner_only_until_its_engine_has_gone(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from vitrine.services.vector_store.edge.store import EdgeVectorStore\n"
        "store = EdgeVectorStore(pathlib.Path(sys.argv[1])); store.collections(); "
        "print(store.engine_pid, flush=True); input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE
    )
    assert owner.stdout is not None and owner.stdin is not None
    engine = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    store = EdgeVectorStore(tmp_path)
    assert store.collections() == []
    store.close()
    wait_until(
        lambda: (
            not Path(f"/proc/{engine}/cmdline").exists() or not Path(f"/proc/{engine}/cmdline").read_bytes()
        )
    )
    owner.stdout.close()
    owner.stdin.close()


def test_half_written_lock_file_is_no_crash(tmp_path: Path) -> None:
    lock = DataLock(tmp_path)
    lock.path.write_bytes(b'{"pid": 1')
    with pytest.raises(StoreLocked, match="unknown"):
        DataLock(tmp_path)
    lock.release()


@pytest.mark.parametrize("release", [True, False])
def test_lock_of_an_ended_process_is_free(tmp_path: Path, release: bool) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdin is not None
    process.stdout.readline()
    with pytest.raises(StoreLocked, match=str(process.pid)):
        DataLock(tmp_path)
    if release:
        process.communicate(b"\n")
    else:
        process.kill()
        process.communicate()
    DataLock(tmp_path).release()
