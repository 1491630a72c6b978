"""Loading the encoders before the first query asks for them: importing torch and reading weights takes seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services.errors import VitrineError
from services.runtime import Runtime

_MOST = 3
"""Encoders loaded ahead. Of a server with many the rest wait for their first query, so that memory goes to those in use."""
_log = logging.getLogger("vitrine.api")


@contextmanager
def warming_up(runtime: Runtime) -> Iterator[None]:
    """Load the categories' first encoders on a thread meanwhile. One that fails is logged; its first query says why."""
    ended = threading.Event()
    thread = threading.Thread(target=_load, args=(runtime, ended), name="warm-up")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _load(runtime: Runtime, ended: threading.Event) -> None:
    try:
        specs = dict.fromkeys(category.encoder() for category in runtime.catalog.list())
    except VitrineError as error:
        _log.warning("the encoders are not loaded ahead: %s", error.message)
        return
    for spec in list(specs)[:_MOST]:
        if ended.is_set():
            return
        try:
            runtime.encoders.for_category(spec)
        except VitrineError as error:
            _log.warning("encoder %s is not loaded ahead: %s", spec.name, error.message)
