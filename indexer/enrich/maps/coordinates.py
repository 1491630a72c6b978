"""Where each image is on a map, on the images' payload: written and taken away under one key."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.job.payload_writer import PayloadWriter, erase_field
from vitrine.services.artifacts.maps import axis_field, on_map
from vitrine.services.domain import Payload
from vitrine.services.runtime import Runtime
from vitrine.services.values.field_paths import field_path

if TYPE_CHECKING:
    from qdrant_client.models import Filter

Places = NDArray[np.float32]
"""(n, 2): x and y of each image, in 0..1."""


class CoordinateWriter:
    """Writes coordinates under a key, durable at the latest after ``flush``. One thread at a time."""

    def __init__(self, runtime: Runtime, category: str, key: str) -> None:
        self._runtime = runtime
        self._category = category
        self._key = key
        self._writer = PayloadWriter(runtime, category, key="maps")

    def write(self, ids: Sequence[str], places: Places) -> int:
        """One page. How many of the images were still there."""
        updates: dict[str, Payload] = {
            id: {self._key: {"x": x, "y": y}}
            for id, (x, y) in zip(ids, places.astype(float).round(6).tolist(), strict=True)
        }
        with self._runtime.catalog.writing(self._category):
            return self._writer.write(updates)

    def flush(self) -> None:
        """Make all of it durable."""
        self._writer.flush()


def lacking(key: str, using: str) -> Filter:
    """The images that have the vector of a map but no place on it."""
    from qdrant_client import models

    return models.Filter(must=[models.HasVectorCondition(has_vector=using)], must_not=[on_map(key)])


def placed(key: str) -> Filter:
    """The images that have a place on a map."""
    from qdrant_client import models

    return models.Filter(must=[on_map(key)])


def erase(runtime: Runtime, category: str, key: str, *, stop: threading.Event | None = None) -> bool:
    """Take what the images say under a key away, then its file. False if ``stop`` came before the end; again
    goes on."""
    # the index is made before the first image gets a place: without it there is none
    indexed = axis_field(key, "x") in runtime.catalog.get(category).indexes
    if indexed and not erase_field(runtime, category, field_path("maps", key), placed(key), stop=stop):
        return False
    runtime.maps.remove(category, key)
    return True
