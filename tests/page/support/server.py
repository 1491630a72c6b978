"""A server for a browser to look at, in a process that is forked from one which has its modules already: they
are most of what a start takes, and many tests start one. ``tests/served.py`` has one that starts as users
start it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from multiprocessing.connection import Connection, wait
from pathlib import Path

from tests.served import environment

MODULES = ["vitrine.api.serve", "vitrine.services.encoders.load", "openvino", "tokenizers", __name__]
_PATIENCE_SECONDS = 120
_processes = multiprocessing.get_context("forkserver")


@contextmanager
def forked(folder: Path, **settings: str) -> Iterator[str]:
    """Serve the data in a folder; gives the server's address. ``settings``: its environment, such as
    VITRINE_API_KEYS."""
    _processes.set_forkserver_preload(MODULES)
    heard, told = _processes.Pipe(duplex=False)
    process = _processes.Process(target=_serve, args=(environment(folder, settings), told))
    process.start()
    told.close()
    try:
        assert heard.poll(_PATIENCE_SECONDS), "the server does not start"
        yield heard.recv()
    finally:
        process.kill()
        process.join()
        heard.close()


def _serve(environment: Mapping[str, str], told: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_the_tests, daemon=True).start()
    from vitrine.api.serve import serve
    from vitrine.services.settings import Settings

    with open(os.devnull, "w") as silence, redirect_stdout(silence):  # a line for each request
        serve(Settings(_env_file=None), started=lambda line: told.send(line.split()[2]))  # type: ignore[call-arg]


def _end_with_the_tests() -> None:
    """End this process at once where the one that started it was killed, and could not do so."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
