"""Load what queries need before the first one asks: encoders, whose weights take seconds to read, what the
object store says of the categories, which is then known if the store goes away, and columns, by which whole
categories are counted. Then empty the bin of what is older than 24 hours."""

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
_MOST_COUNTED = 3
"""Categories whose columns are read ahead: those that were changed last."""
_MOST_ROWS = 300_000
"""Of a larger category the columns are read once somebody looks at it: that keeps its engine busy for longer
than a start should."""
_log = logging.getLogger("vitrine.api")


@contextmanager
def warming_up(runtime: Runtime) -> Iterator[None]:
    """Load the categories' first encoders on a thread meanwhile, and empty the bin. One that fails is logged;
    its first query says why."""
    ended = threading.Event()
    thread = threading.Thread(target=warm_up, args=(runtime, ended), name="warm-up")
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


def warm_up(runtime: Runtime, ended: threading.Event) -> None:
    """Do all of it, as far as it comes before ``ended`` is set."""
    _load(runtime, ended)
    if runtime.read_only:
        return
    try:
        runtime.editor.sweep(ended)
    except VitrineError as error:
        _log.warning("the bin is not emptied: %s", error.message)


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
    small = [category for category in categories if 0 < category.images <= _MOST_ROWS]
    for category in sorted(small, key=lambda one: one.updated_at)[-_MOST_COUNTED:]:
        if ended.is_set():
            return
        try:
            runtime.columns.warm(category.name)
        except VitrineError as error:
            _log.warning("the columns of %s are not read ahead: %s", category.name, error.message)
