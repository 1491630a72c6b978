"""A real server in a process of its own: a data folder, 127.0.0.1, any free port."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVE = (
    "from vitrine.api.serve import serve; from vitrine.services.settings import Settings; "
    "serve(Settings(_env_file=None))"
)


@contextmanager
def served(folder: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve the data in a folder; gives the process and the server's address. ``settings``: its environment,
    such as VITRINE_API_KEYS."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        cwd=ROOT,
        env=environment(folder, settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"Vitrine serves (http://127\.0\.0\.1:\d+) ", line)
        assert found, line
        # a line for each request: once a pipe that nobody reads is full, the server would wait
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield process, found[1]
    finally:
        process.kill()
        process.wait()


def environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server of its own: embedded engine, folder of objects, no keys, nothing of the
    machine's settings."""
    kept = {name: value for name, value in os.environ.items() if name not in ("QDRANT_URL", "MINIO_ENDPOINT")}
    kept.pop("VITRINE_API_KEYS", None)
    return {
        **kept,
        "VITRINE_DATA": str(folder),
        "VITRINE_ENCODER": "colour",
        "VITRINE_HOST": "127.0.0.1",
        "VITRINE_PORT": "0",
        "VITRINE_MIN_FREE_MB": "0",
        "VITRINE_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        **settings,
    }
