"""Write to an image's payload which node of a run it is in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vitrine.indexer.job.job import Job
from vitrine.indexer.job.payload_writer import Change, PayloadWriter, revise
from vitrine.indexer.job.versions import Kind
from vitrine.services.artifacts.clusters import ROOT, ClusterRun, membership, path_field
from vitrine.services.domain import Hit

if TYPE_CHECKING:
    from qdrant_client.models import Condition, Filter


def assign_lacking(job: Job, run: ClusterRun) -> Iterator[int]:
    """Give the images that have the vector of a run but no node in it their nodes, until there are none;
    yields how many a page gave."""
    from qdrant_client import models

    has: Condition = models.HasVectorCondition(has_vector=run.using)
    lacking = models.Filter(must=[has], must_not=[_within(run.key)])

    def assigned(hits: Sequence[Hit]) -> dict[str, Change]:
        if not hits:
            return {}
        rows = np.stack([hit.vectors[run.using] for hit in hits])
        paths = run.assign(rows)
        return {hit.id: Change({run.key: membership(path)}) for hit, path in zip(hits, paths, strict=True)}

    while True:
        found = 0
        writer = PayloadWriter(job.runtime, job.category, key=CLUSTERS.group)
        for _, written in revise(writer, assigned, vectors=(run.using,), filter=lacking, stop=job.stop):
            found += written
            yield written
        if not found:
            return


def _having(key: str) -> Filter:
    from qdrant_client import models

    return models.Filter(must=[_within(key)])


def _within(key: str) -> Condition:
    from qdrant_client import models

    return models.FieldCondition(key=path_field(key), match=models.MatchValue(value=ROOT))


CLUSTERS = Kind("clusters", lambda runtime: runtime.clusters, path_field, _having)
