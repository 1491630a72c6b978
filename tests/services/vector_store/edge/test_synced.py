"""What is acknowledged is on the disk: shown by the calls that the engine makes of the operating system."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program import environment

PROGRAM = """
import pathlib, sys
from tests.services.vector_store.edge_points import SCHEMA, points
from vitrine.services.vector_store.edge.store import EdgeVectorStore
store = EdgeVectorStore(pathlib.Path(sys.argv[1]), min_free_mb=0, auto_optimize=False)
store.ensure(SCHEMA)
store.upsert("cats", points(0, 10))
print("acknowledged", flush=True)
import os, signal
os.kill(store.engine_pid, signal.SIGKILL)
os._exit(0)
"""
_SYNC = re.compile(r"f(?:data)?sync\(\d+<([^>]+)>\)\s*= 0")


def _can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not _can_trace(), reason="strace is missing, or may not trace: apt install strace")
def test_log_and_every_folder_above_it_are_synced_before_a_write_is_acknowledged(tmp_path: Path) -> None:
    data, trace = tmp_path / "deep" / "vectors", tmp_path / "trace"
    done = subprocess.run(
        [
            *["strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o"],
            trace,
            sys.executable,
            "-c",
            PROGRAM,
            data,
        ],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.stdout == "acknowledged\n", done.stderr
    synced = {Path(path) for path in _SYNC.findall(trace.read_text())}
    (log,) = data.glob("collections/cats/gen-*/wal/open-1")
    assert log in synced
    folders = {path for path in (data / "collections").rglob("*") if path.is_dir()}
    assert folders | {data / "collections", data, data.parent, tmp_path} <= synced
    names = {"collection.json", "current"}
    assert {path.name for path in synced if path.parent.name == "cats"} >= {f"{name}.new" for name in names}
