"""Score every image of a category by its taggers.

The matrix product is nothing, writing the payload is all. Scores and ``scored_by`` of one image change in one
operation, so that no image ever has a score that its ``scored_by`` does not explain; a job that was killed
goes on where it was.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitrine.indexer.enrich.scores.head_sets import by_vector, rounded_scores
from vitrine.indexer.enrich.scores.score_payload import FIELDS, Proposals, rescored, stored_score
from vitrine.indexer.job.job import Job, Report
from vitrine.indexer.job.payload_writer import PAGE, Change
from vitrine.indexer.job.progress import Progress
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.catalog import Category
from vitrine.services.category.fields import QUALITY
from vitrine.services.domain import Hit, IndexKind
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime
from vitrine.services.taggers.classify import encoder_of, fitting


@dataclass
class ScoreReport(Report):
    """What became of the images of a scoring run.

    ``images``: how many were looked at. ``written``: how many changed. ``skipped``: how many had these scores
    already. ``without_vector``: how many lack the named vector of a tagger, and so have no score by it.
    ``tags``: what was scored.
    """

    category: str
    tags: tuple[str, ...] = ()
    images: int = 0
    written: int = 0
    skipped: int = 0
    without_vector: int = 0

    @property
    def rate(self) -> float:
        """Return images a second."""
        return self.images / self.seconds if self.seconds else 0.0

    def count(self, images: int, written: int) -> None:
        """Count a page of images, of which so many changed."""
        self.images += images
        self.written += written
        self.skipped += images - written

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"tags": list(self.tags), "images_per_second": round(self.rate, 1)}

    def summary(self) -> str:
        lines = [
            f"{self.category}: {self.images} images x {len(self.tags)} tags: {self.written} written, "
            f"{self.skipped} as they were in {self.seconds:.1f} s ({self.rate:.0f} images/s)"
        ]
        if self.without_vector:
            lines.append(
                f"  {self.without_vector} images lack a tagger's vector: `vitrine category fill` embeds them"
            )
        return "\n".join([*lines, *self.notes, *self.ending()])


def score_images(
    runtime: Runtime,
    category: str,
    tags: Sequence[str] | None = None,
    *,
    propose: bool = False,
    threshold: float | None = None,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    batch: int = PAGE,
) -> ScoreReport:
    """Write the scores of these tags' taggers (None: of all in service) to every image that has their
    vectors.

    Images that have them already are passed over. ``propose``: the tags with a score of at least the tagger's
    threshold, or ``threshold`` in 0..1 (which implies ``propose``), become ``machine_tags``, apart from what
    people said. ``stop`` or Ctrl-C ends the run after the batch under way; the next one goes on. Once all
    images are scored, queries need not look for stale scores of these tags any more.

    Raises ``NotFound`` (category, or a tag without a tagger), ``BadRequest``, and ``TaggerMismatch`` for a
    tag that is named and whose tagger no longer fits; without names such taggers are passed over, with a
    note.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise BadRequest(f"threshold must be in 0..1, not {threshold}.")
    cat = runtime.catalog.get(category)
    report = ScoreReport(category)
    heads = _choose(runtime, cat, tags, report)
    report.tags = tuple(head.tag for head in heads)
    if not heads:
        return report
    proposals = Proposals(propose or threshold is not None, threshold)
    indexes: dict[str, IndexKind] = {head.payload_field: "float" for head in heads if head.tag != QUALITY}
    runtime.catalog.ensure_indexes(category, indexes | ({"machine_tags": "keyword"} if proposals.new else {}))
    job, scoring = (
        Job(runtime, category, report, progress, stop),
        _Scoring(runtime, cat, heads, proposals, report),
    )
    with job.running():
        job.revise("scoring", scoring.changes, fields=FIELDS, page=batch, wrote=report.count)
        runtime.taggers.settle(category, heads)  # last: what it says must be durable before
    return report


def _choose(
    runtime: Runtime, category: Category, tags: Sequence[str] | None, report: ScoreReport
) -> list[TagHead]:
    if tags is not None:
        named = [runtime.taggers.get(category.name, tag) for tag in dict.fromkeys(tags)]
        for head in named:
            encoder_of(category, head)
        return named
    heads, mismatches = fitting(category, runtime.taggers.in_service(category.name))
    report.notes += [mismatch.message for mismatch in mismatches]
    if not heads:
        report.notes.append(
            f"Category {category.name!r} has no tagger that fits: train some first (`vitrine tagger train`)."
        )
    return heads


class _Scoring:
    """Scores one page of images after the other."""

    def __init__(
        self,
        runtime: Runtime,
        category: Category,
        heads: Sequence[TagHead],
        proposals: Proposals,
        report: ScoreReport,
    ) -> None:
        self._runtime = runtime
        self._category = category
        self._proposals = proposals
        self._report = report
        self._use(heads)

    def changes(self, hits: Sequence[Hit]) -> dict[str, Change]:
        self._pass_over_replaced()
        heads = self._heads
        stored = {hit.id: [stored_score(hit.payload, head) for head in heads] for hit in hits}
        computed = self._computed([id for id, scores in stored.items() if None in scores])
        changes = {}
        for hit in hits:
            both = zip(heads, stored[hit.id], computed.get(hit.id, stored[hit.id]), strict=True)
            scores = [(head, new if old is None else old) for head, old, new in both]
            given = [(head, score) for head, score in scores if score is not None]
            lost = [head.tag for head, score in scores if score is None]
            self._report.without_vector += bool(lost)
            changes[hit.id] = rescored(hit.payload, given, lost, self._proposals)
        return changes

    def _computed(self, ids: list[str]) -> dict[str, list[float | None]]:
        """Return the scores of all heads by image id, in their order; None where an image lacks the
        vector."""
        hits = self._runtime.vectors.retrieve(
            self._category.name, ids, with_payload=False, with_vectors=tuple(self._sets)
        )
        rows: dict[str, list[float | None]] = {id: [] for id in ids}
        for using, heads in self._sets.items():
            have = [hit for hit in hits if hit is not None and using in hit.vectors]
            scores = rounded_scores(heads, np.stack([hit.vectors[using] for hit in have])) if have else []
            found = {hit.id: row for hit, row in zip(have, scores, strict=True)}
            for id, row in rows.items():
                row += found.get(id) or [None] * len(heads.heads)
        return rows

    def _pass_over_replaced(self) -> None:
        """Drop taggers that were trained again meanwhile: they score no further image, which their successor
        may have scored already."""
        current = {head.tag: head.signature for head in self._runtime.taggers.in_service(self._category.name)}
        kept = [head for head in self._heads if current.get(head.tag) == head.signature]
        if len(kept) < len(self._heads):
            replaced = sorted({head.tag for head in self._heads} - {head.tag for head in kept})
            self._report.notes.append(
                f"Replaced while they scored: the taggers of {', '.join(replaced)}. Score again."
            )
            self._use(kept)

    def _use(self, heads: Sequence[TagHead]) -> None:
        self._sets = by_vector(self._category, heads)
        self._heads = [head for group in self._sets.values() for head in group.heads]
