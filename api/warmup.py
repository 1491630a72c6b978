"""Load what queries need before the first one asks: encoders, whose weights take seconds to read, and what
the object store says of the categories, which is then known if the store goes away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vitrine.services.errors import VitrineError
from vitrine.services.runtime import Runtime

_MOST = 3
"""Encoders loaded ahead. Of a server with many the rest wait for their first query, so that memory goes to
those in use."""
_MOST_KNOWN = 50
"""Categories of which the taggers, cluster runs and maps are read ahead."""
_log = logging.getLogger("vitrine.api")


@contextmanager
def warming_up(runtime: Runtime) -> Iterator[None]:
    """Load the categories' first encoders on a thread meanwhile. One that fails is logged; its first query
    says why."""
    ended = threading.Event()
    thread = threading.Thread(target=_load, args=(runtime, ended), name="warm-up")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def know(runtime: Runtime, category: str) -> None:
    """Read what queries of a category ask of the object store."""
    runtime.catalog.get(category)
    runtime.taggers.in_service(category)
    runtime.clusters.in_service(category)
    runtime.maps.in_service(category)
    runtime.duplicates.current_key(category)


def _load(runtime: Runtime, ended: threading.Event) -> None:
    try:
        categories = runtime.catalog.list()
    except VitrineError as error:
        _log.warning("the encoders are not loaded ahead: %s", error.message)
        return
    specs = dict.fromkeys(category.encoder() for category in categories)
    for category in categories[:_MOST_KNOWN]:
        if ended.is_set():
            return
        try:
            know(runtime, category.name)
        except VitrineError as error:
            _log.warning("category %s is not read ahead: %s", category.name, error.message)
    for spec in list(specs)[:_MOST]:
        if ended.is_set():
            return
        try:
            runtime.encoders.for_category(spec)
        except VitrineError as error:
            _log.warning("encoder %s is not loaded ahead: %s", spec.name, error.message)
