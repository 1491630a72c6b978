"""Which image is in which node, on the images' payload: written, completed and taken away under one key."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from services.clusters import ROOT, ClusterRun, membership, path_field
from services.domain import Payload
from services.errors import NotFound
from services.payload import field_path
from services.runtime import Runtime

if TYPE_CHECKING:
    from qdrant_client.models import Condition, Filter

PAGE = 500
"""Images written at a time. Whoever edits an image meanwhile waits for as long: a fraction of a second."""
FLUSH_EVERY = 20_000
"""Images between two flushes: what a power failure undoes, the next run does again."""


class MemberWriter:
    """Writes the nodes of images under the key of a run, durable at the latest after ``flush``. One thread at a time."""

    def __init__(self, runtime: Runtime, category: str, run: ClusterRun) -> None:
        self._runtime = runtime
        self._category = category
        self._run = run
        self._waiting = 0

    def write(self, paths: Mapping[str, Sequence[str]]) -> int:
        """One page: paths by image id. How many images were still there."""
        with self._runtime.catalog.writing(self._category):
            return self._write(paths)

    def complete(self) -> int:
        """One page of the images that have the vector but no node: those that came in meanwhile. How many there were."""
        vectors = self._runtime.vectors
        with self._runtime.catalog.writing(self._category):
            page = vectors.scroll(
                self._category, filter=lacking(self._run), limit=PAGE, with_payload=False, with_vectors=(self._run.using,)
            )
            if not page.hits:
                return 0
            rows = np.stack([hit.vectors[self._run.using] for hit in page.hits])
            paths = self._runtime.clusters.assign(self._run, rows)
            return self._write({hit.id: path for hit, path in zip(page.hits, paths, strict=True)})

    def flush(self) -> None:
        """Make all of it durable."""
        if self._waiting:
            self._runtime.vectors.flush(self._category)
            self._waiting = 0

    def _write(self, paths: Mapping[str, Sequence[str]]) -> int:
        updates: dict[str, Payload] = {id: {self._run.key: membership(path)} for id, path in paths.items()}
        while updates:
            try:
                self._runtime.vectors.set_payload(self._category, updates, key="clusters", durable=False)
                break
            except NotFound as error:  # deleted since they were read
                gone = error.details.get("ids")
                left = {id: update for id, update in updates.items() if not isinstance(gone, list) or id not in gone}
                if len(left) == len(updates):
                    raise
                updates = left
        self._waiting += len(updates)
        if self._waiting >= FLUSH_EVERY:
            self.flush()
        return len(updates)


def lacking(run: ClusterRun) -> Filter:
    """The images that have the vector of a run but no node in it."""
    from qdrant_client import models

    has: Condition = models.HasVectorCondition(has_vector=run.using)
    return models.Filter(must=[has], must_not=[_within(run.key)])


def erase(runtime: Runtime, category: str, key: str, *, stop: threading.Event | None = None) -> bool:
    """Take what the images say under a key away, then its files. False if ``stop`` came before the end; again goes on."""
    from qdrant_client import models

    inside = models.Filter(must=[_within(key)])
    # the index is made before the first image gets a node: without it there is none
    indexed = path_field(key) in runtime.catalog.get(category).indexes
    while indexed and not (stop and stop.is_set()):
        with runtime.catalog.writing(category):
            page = runtime.vectors.scroll(category, filter=inside, limit=PAGE, with_payload=False)
            _forget(runtime, category, key, [hit.id for hit in page.hits])
        if not page.hits:
            break
    if stop and stop.is_set():
        return False
    runtime.clusters.remove(category, key)
    return True


def _forget(runtime: Runtime, category: str, key: str, ids: list[str]) -> None:
    if not ids:
        return
    try:
        runtime.vectors.delete_payload(category, ids, [field_path("clusters", key)])
    except NotFound:  # deleted meanwhile by another process: the next page holds those that are left
        kept = [hit.id for hit in runtime.vectors.retrieve(category, ids, with_payload=False) if hit is not None]
        runtime.vectors.delete_payload(category, kept, [field_path("clusters", key)])


def _within(key: str) -> Condition:
    from qdrant_client import models

    return models.FieldCondition(key=path_field(key), match=models.MatchValue(value=ROOT))
