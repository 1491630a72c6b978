"""Which image is in which node, on the images' payload: written, completed and taken away under one key."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vitrine.indexer.job.payload_writer import PAGE, PayloadWriter, erase_field
from vitrine.services.artifacts.clusters import ROOT, ClusterRun, membership, path_field
from vitrine.services.runtime import Runtime
from vitrine.services.values.field_paths import field_path

if TYPE_CHECKING:
    from qdrant_client.models import Condition, Filter


class MemberWriter:
    """Writes the nodes of images under the key of a run, durable at the latest after ``flush``. One thread at
    a time."""

    def __init__(self, runtime: Runtime, category: str, run: ClusterRun) -> None:
        self._runtime = runtime
        self._category = category
        self._run = run
        self._writer = PayloadWriter(runtime, category, key="clusters")

    def write(self, paths: Mapping[str, Sequence[str]]) -> int:
        """One page: paths by image id. How many images were still there."""
        with self._runtime.catalog.writing(self._category):
            return self._write(paths)

    def complete(self) -> int:
        """One page of the images that have the vector but no node: those that came in meanwhile. How many
        there were."""
        vectors = self._runtime.vectors
        with self._runtime.catalog.writing(self._category):
            page = vectors.scroll(
                self._category,
                filter=lacking(self._run),
                limit=PAGE,
                with_payload=False,
                with_vectors=(self._run.using,),
            )
            if not page.hits:
                return 0
            rows = np.stack([hit.vectors[self._run.using] for hit in page.hits])
            paths = self._runtime.clusters.assign(self._run, rows)
            return self._write({hit.id: path for hit, path in zip(page.hits, paths, strict=True)})

    def flush(self) -> None:
        """Make all of it durable."""
        self._writer.flush()

    def _write(self, paths: Mapping[str, Sequence[str]]) -> int:
        return self._writer.write({id: {self._run.key: membership(path)} for id, path in paths.items()})


def lacking(run: ClusterRun) -> Filter:
    """The images that have the vector of a run but no node in it."""
    from qdrant_client import models

    has: Condition = models.HasVectorCondition(has_vector=run.using)
    return models.Filter(must=[has], must_not=[_within(run.key)])


def erase(runtime: Runtime, category: str, key: str, *, stop: threading.Event | None = None) -> bool:
    """Take what the images say under a key away, then its files. False if ``stop`` came before the end; again
    goes on."""
    from qdrant_client import models

    inside = models.Filter(must=[_within(key)])
    # the index is made before the first image gets a node: without it there is none
    indexed = path_field(key) in runtime.catalog.get(category).indexes
    if indexed and not erase_field(runtime, category, field_path("clusters", key), inside, stop=stop):
        return False
    runtime.clusters.remove(category, key)
    return True


def _within(key: str) -> Condition:
    from qdrant_client import models

    return models.FieldCondition(key=path_field(key), match=models.MatchValue(value=ROOT))
