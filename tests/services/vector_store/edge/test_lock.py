"""A data folder has one engine; what finds another owner there is told who that is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.vector_store.edge_points import SCHEMA, wait_until
from vitrine.services.errors import StoreLocked
from vitrine.services.vector_store.edge.link.lock import DataLock, read_holder
from vitrine.services.vector_store.edge.store import EdgeVectorStore

HOLD = (
    "import sys, pathlib; from vitrine.services.vector_store.edge.link.lock import DataLock\n"
    "DataLock(pathlib.Path(sys.argv[1])); print(1, flush=True); input()"
)


def test_folder_of_another_owner_is_refused_by_name(tmp_path: Path) -> None:
    owner = DataLock(tmp_path, {"command": "an older vitrine serve"})
    owner.describe(url="http://127.0.0.1:8123")
    store = EdgeVectorStore(tmp_path)
    with pytest.raises(StoreLocked) as refused:
        store.ensure(SCHEMA)
    assert str(os.getpid()) in refused.value.message
    assert "an older vitrine serve" in refused.value.message
    assert "use its API at http://127.0.0.1:8123" in refused.value.message
    assert refused.value.details["pid"] == os.getpid()
    owner.release()
    store.ensure(SCHEMA)
    store.close()


def test_close_lets_the_next_owner_in(tmp_path: Path) -> None:
    for _ in range(2):
        store = EdgeVectorStore(tmp_path)
        store.ensure(SCHEMA)
        store.close()
        store.close()
        DataLock(tmp_path).release()


def test_lock_file_says_who_serves_for_as_long_as_that_lasts(tmp_path: Path) -> None:
    server, other = EdgeVectorStore(tmp_path, command="vitrine serve"), EdgeVectorStore(tmp_path)
    server.serving_at("http://127.0.0.1:8123")
    other.collections()
    assert read_holder(tmp_path)["url"] == "http://127.0.0.1:8123"
    assert read_holder(tmp_path)["command"] == "vitrine serve"
    server.close()
    wait_until(lambda: read_holder(tmp_path)["url"] is None)
    other.close()


def test_lock_outlives_a_killed_owner_only_until_its_engine_has_gone(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from vitrine.services.vector_store.edge.store import EdgeVectorStore\n"
        "from vitrine.services.domain import CollectionSchema, VectorSpec\n"
        "store = EdgeVectorStore(pathlib.Path(sys.argv[1]), min_free_mb=0)\n"
        "store.ensure(CollectionSchema('cats', (VectorSpec('clip', 4),), {}))  # starts the engine\n"
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
    assert store.collections() == ["cats"]
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
