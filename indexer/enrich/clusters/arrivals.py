"""Give images their clusters as they are indexed, from the vectors that were just computed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from vitrine.indexer.job.items import Item
from vitrine.indexer.job.plan import BatchPlan
from vitrine.services.artifacts.clusters import ClusterRun, membership
from vitrine.services.category.catalog import Category
from vitrine.services.runtime import Runtime


class NewImageAssigner:
    """Assigns new images, and those that got a vector they lacked, to the cluster runs in service; an
    ``OnArrival``."""

    def __init__(self, runtime: Runtime, category: Category) -> None:
        self.notes: list[str] = []
        self._clusters = runtime.clusters
        self._category = category
        self._known: list[ClusterRun] = []
        self._runs: list[ClusterRun] = []

    @property
    def using(self) -> Collection[str]:
        return {run.using for run in self._runs}

    def prepare(self, items: Sequence[Item]) -> None:
        """Look up which runs are in service."""
        runs = self._clusters.in_service(self._category.name)
        if [(run.key, run.created_at) for run in runs] == [(run.key, run.created_at) for run in self._known]:
            return
        self._known, self._runs = runs, []
        for run in runs:
            spec = self._category.encoder_at(run.using, run.encoder_revision, run.centres.shape[1])
            if spec in self._category.active_encoders:
                self._runs.append(run)
                continue
            note = (
                f"New images have no vector {run.using!r} as the cluster run {run.run!r} was made on, "
                "so they are in none of its clusters: run the clustering again."
            )
            self.notes += [note] if note not in self.notes else []

    def apply(self, plan: BatchPlan) -> None:
        """Add the nodes of the images to what the plan writes."""
        for run in self._runs:
            ids = [id for id, vectors in plan.vectors.items() if run.using in vectors]
            if not ids:
                continue
            paths = run.assign(np.stack([plan.vectors[id][run.using] for id in ids]))
            for id, path in zip(ids, paths, strict=True):
                plan.set(
                    id, {"clusters": {**plan.payloads[id].get("clusters", {}), run.key: membership(path)}}
                )
