"""Where each image is on a map, on the images' payload: written and taken away under one key."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from services.domain import Payload
from services.errors import NotFound
from services.maps import axis_field, on_map
from services.payload import field_path
from services.runtime import Runtime

if TYPE_CHECKING:
    from qdrant_client.models import Filter

PAGE = 500
"""Images written at a time. Whoever edits an image meanwhile waits for as long: a fraction of a second."""
FLUSH_EVERY = 20_000
"""Images between two flushes: what a power failure undoes, the next run does again."""
Places = NDArray[np.float32]
"""(n, 2): x and y of each image, in 0..1."""


class CoordinateWriter:
    """Writes coordinates under a key, durable at the latest after ``flush``. One thread at a time."""

    def __init__(self, runtime: Runtime, category: str, key: str) -> None:
        self._runtime = runtime
        self._category = category
        self._key = key
        self._waiting = 0

    def write(self, ids: Sequence[str], places: Places) -> int:
        """One page. How many of the images were still there."""
        updates: dict[str, Payload] = {
            id: {self._key: {"x": x, "y": y}} for id, (x, y) in zip(ids, places.astype(float).round(6).tolist(), strict=True)
        }
        with self._runtime.catalog.writing(self._category):
            written = self._write(updates)
        self._waiting += written
        if self._waiting >= FLUSH_EVERY:
            self.flush()
        return written

    def flush(self) -> None:
        """Make all of it durable."""
        if self._waiting:
            self._runtime.vectors.flush(self._category)
            self._waiting = 0

    def _write(self, updates: Mapping[str, Payload]) -> int:
        while updates:
            try:
                self._runtime.vectors.set_payload(self._category, updates, key="maps", durable=False)
                break
            except NotFound as error:  # deleted since they were read
                gone = error.details.get("ids")
                left = {id: update for id, update in updates.items() if not isinstance(gone, list) or id not in gone}
                if len(left) == len(updates):
                    raise
                updates = left
        return len(updates)


def lacking(key: str, using: str) -> Filter:
    """The images that have the vector of a map but no place on it."""
    from qdrant_client import models

    return models.Filter(must=[models.HasVectorCondition(has_vector=using)], must_not=[on_map(key)])


def placed(key: str) -> Filter:
    """The images that have a place on a map."""
    from qdrant_client import models

    return models.Filter(must=[on_map(key)])


def erase(runtime: Runtime, category: str, key: str, *, stop: threading.Event | None = None) -> bool:
    """Take what the images say under a key away, then its file. False if ``stop`` came before the end; again goes on."""
    inside = placed(key)
    # the index is made before the first image gets a place: without it there is none
    indexed = axis_field(key, "x") in runtime.catalog.get(category).indexes
    while indexed and not (stop and stop.is_set()):
        with runtime.catalog.writing(category):
            page = runtime.vectors.scroll(category, filter=inside, limit=PAGE, with_payload=False)
            _forget(runtime, category, key, [hit.id for hit in page.hits])
        if not page.hits:
            break
    if stop and stop.is_set():
        return False
    runtime.maps.remove(category, key)
    return True


def _forget(runtime: Runtime, category: str, key: str, ids: list[str]) -> None:
    if not ids:
        return
    try:
        runtime.vectors.delete_payload(category, ids, [field_path("maps", key)])
    except NotFound:  # deleted meanwhile by another process: the next page holds those that are left
        kept = [hit.id for hit in runtime.vectors.retrieve(category, ids, with_payload=False) if hit is not None]
        runtime.vectors.delete_payload(category, kept, [field_path("maps", key)])
