"""Score images as they are indexed, from the vectors that were just computed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from vitrine.indexer.enrich.scores.head_sets import by_vector, rounded_scores
from vitrine.indexer.enrich.scores.score_payload import rescored
from vitrine.indexer.job.items import Item
from vitrine.indexer.job.payloads import without_scores
from vitrine.indexer.job.plan import BatchPlan
from vitrine.services.artifacts.taggers import HeadSet, TagHead
from vitrine.services.category.catalog import Category
from vitrine.services.runtime import Runtime
from vitrine.services.taggers.classify import fitting


class NewImageScorer:
    """Scores new images, and those that got a vector they lacked, by the taggers in service; an
    ``OnArrival``."""

    def __init__(self, runtime: Runtime, category: Category) -> None:
        self.notes: list[str] = []
        self._taggers = runtime.taggers
        self._category = category
        self._known: tuple[TagHead, ...] = ()
        self._tags: frozenset[str] = frozenset()
        self._sets: dict[str, HeadSet] = {}

    @property
    def using(self) -> Collection[str]:
        return self._sets.keys()

    def prepare(self, items: Sequence[Item]) -> None:
        """Look up which taggers are in service, and remove a manifest's scores of their tags: those come from
        taggers only."""
        self._refresh()
        for item in items:
            item.said = without_scores(item.said, self._tags)

    def apply(self, plan: BatchPlan) -> None:
        """Add scores to what the plan writes."""
        for using, heads in self._sets.items():
            ids = [id for id, vectors in plan.vectors.items() if using in vectors]
            if not ids:
                continue
            rows = rounded_scores(heads, np.stack([plan.vectors[id][using] for id in ids]))
            for id, row in zip(ids, rows, strict=True):
                change = rescored(plan.payloads[id], list(zip(heads.heads, row, strict=True)))
                plan.set(id, change.set, change.unsaid)

    def _refresh(self) -> None:
        heads = self._taggers.in_service(self._category.name)
        if [head.signature for head in heads] == [head.signature for head in self._known] and len(
            heads
        ) == len(self._tags):
            return
        self._known, self._tags = heads, frozenset(head.tag for head in heads)
        usable, mismatches = fitting(self._category, heads)
        notes = [mismatch.message for mismatch in mismatches]
        active = {spec.name for spec in self._category.active_encoders}
        sets = by_vector(self._category, usable)
        self._sets = {using: heads_of for using, heads_of in sets.items() if using in active}
        notes += [
            f"New images have no vector {using!r}, which a promotion has replaced, so they get no scores of: "
            f"{', '.join(heads_of.tags)}. Train these taggers again."
            for using, heads_of in sets.items()
            if using not in active
        ]
        self.notes += [note for note in notes if note not in self.notes]
