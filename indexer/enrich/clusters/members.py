"""Write to an image's payload which node of a run it is in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vitrine.indexer.job.job import Job
from vitrine.indexer.job.payload_writer import Change, PayloadWriter, revise
from vitrine.indexer.job.versions import Kind
from vitrine.services.artifacts.clusters import ROOT, ClusterRun, membership, path_field
from vitrine.services.domain import Hit
from vitrine.services.filters.conditions import Filter, HasVector, MatchValue


def assign_lacking(job: Job, run: ClusterRun) -> Iterator[int]:
    """Give the images that have the vector of a run but no node in it their nodes, until there are none;
    yields how many a page gave."""
    lacking = Filter(must=(HasVector(run.using),), must_not=(_within(run.key),))

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
    return Filter(must=(_within(key),))


def _within(key: str) -> MatchValue:
    return MatchValue(path_field(key), ROOT)


CLUSTERS = Kind("clusters", lambda runtime: runtime.clusters, path_field, _having)
