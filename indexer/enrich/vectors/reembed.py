"""Embedding what is indexed already: the pictures come from the object store, one named vector is filled."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from vitrine.indexer.enrich.clusters.arrivals import NewImageAssigner
from vitrine.indexer.enrich.scores.arrivals import NewImageScorer
from vitrine.indexer.enrich.scores.score_payload import FIELDS as SCORE_FIELDS
from vitrine.indexer.job.plan import BatchPlan
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.stored_images import FIELDS, MAX_BATCH_BYTES, StoredImage, embed_stored, open_pool
from vitrine.indexer.job.workers import WRITE_SECONDS, in_batches, in_order
from vitrine.services.category.payload import index_kinds
from vitrine.services.domain import Embedding, Hit
from vitrine.services.errors import NotFound, VitrineError
from vitrine.services.files import any_error
from vitrine.services.runtime import Runtime

if TYPE_CHECKING:
    from qdrant_client.models import Filter

BATCH_SIZE = 128
"""Vectors written at a time: one flush serves them all."""
WORTH_INDEXING = 20_000
"""After so many new vectors the search index is brought up to date."""
MAX_PASSES = 10
"""Images that come in while a vector is filled are taken by another pass over what is still lacking; so many
at most."""
_PAGE = 256
_SHOWN = 10


@dataclass
class FillReport:
    """The end of a fill, complete or not: ``filled`` counts what is durable.

    ``failed``: (id, reason of ``REFUSALS``) of the images whose pictures are missing or damaged; they go
    without the vector. ``deleted``: images that were deleted meanwhile. ``error``: what ended the fill.
    """

    category: str
    using: str
    filled: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    deleted: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    error: VitrineError | None = None

    @property
    def done(self) -> int:
        """Images whose outcome is known."""
        return self.filled + len(self.failed) + self.deleted

    @property
    def refused(self) -> int:
        return len(self.failed)

    @property
    def complete(self) -> bool:
        """Whether every image whose picture can be read has the vector."""
        return self.error is None and not self.interrupted

    @property
    def exit_code(self) -> int:
        """0 all filled, 3 some pictures cannot be read, 1 failed, 130 interrupted."""
        if self.complete:
            return 3 if self.failed else 0
        return 1 if self.error else 130

    def to_json(self) -> dict[str, Any]:
        """A JSON object of all of it."""
        return {
            "category": self.category,
            "using": self.using,
            "filled": self.filled,
            "failed": [{"id": id, "reason": reason} for id, reason in self.failed],
            "deleted": self.deleted,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.done / self.seconds, 1) if self.seconds else 0.0,
            "interrupted": self.interrupted,
            "error": {"code": self.error.code, "message": self.error.message} if self.error else None,
        }

    def summary(self) -> str:
        """A few lines for people."""
        rate = f" ({self.done / self.seconds:.1f} images/s)" if self.filled and self.seconds else ""
        lines = [f"{self.using}: {self.filled} images embedded in {self.seconds:.1f} s{rate}"]
        if self.failed:
            reasons = ", ".join(
                f"{count} {reason}" for reason, count in Counter(why for _, why in self.failed).most_common()
            )
            lines.append(f"  {len(self.failed)} pictures cannot be read and go without the vector: {reasons}")
            lines += [f"    {id}" for id, _ in self.failed[:_SHOWN]]
            lines += (
                [f"    ... and {len(self.failed) - _SHOWN} more (--json lists all)"]
                if len(self.failed) > _SHOWN
                else []
            )
        if self.error:
            lines.append(
                f"Ended early ({self.error.code}): {self.error.message} What is counted is stored; run "
                "again to go on."
            )
        elif self.interrupted:
            lines.append("Interrupted. What is counted is stored; run again to go on.")
        return "\n".join(lines)


def fill_vector(
    runtime: Runtime,
    category: str,
    using: str,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> FillReport:
    """Embed every image that lacks the named vector ``using``, from its picture in the object store.

    Durable batch by batch, so that after a kill the next run does the rest and nothing twice. Pictures that
    are missing or damaged are named in the report and never replaced by anything. ``stop`` or Ctrl-C ends the
    run after the batch under way.

    Raises before anything is read: ``NotFound`` (category), ``UnknownVector``, ``EncoderMismatch``,
    ``ModelUnavailable``, ``UnsupportedQuery`` (an adopted vector). Errors after that are the report's.
    """
    return VectorFiller(runtime, category, using, progress=progress, stop=stop).run()


def lacks(using: str) -> Filter:
    """The images without a named vector."""
    from qdrant_client import models

    return models.Filter(must_not=[models.HasVectorCondition(has_vector=using)])


class VectorFiller:
    """Fills one named vector; ``run`` may be called again for what came in since, and adds to the same
    ``report``."""

    def __init__(
        self,
        runtime: Runtime,
        category: str,
        using: str,
        *,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        cat = runtime.catalog.get(category)
        spec = cat.encoder(using)
        self.report = FillReport(category, spec.name)
        self._runtime = runtime
        self._encoder = runtime.encoders.for_category(spec)
        self._progress = progress
        self._stop = stop or threading.Event()
        self._unreadable: set[str] = set()
        # a vector that is filled to be rolled back to is not in service yet, but its taggers and clusters
        # take it all the same
        every = replace(cat, promoted={})
        self._scorer = NewImageScorer(runtime.taggers, every)
        self._assigner = NewImageAssigner(runtime.clusters, every)

    def run(self) -> FillReport:
        """Passes over what is lacking, until one finds nothing to do."""
        report, started = self.report, time.perf_counter() - self.report.seconds
        try:
            if self._progress:
                self._progress.start(self._runtime.vectors.count(report.category, lacks(report.using)))
            for _ in range(MAX_PASSES):
                before = report.done
                self._pass(started)
                if report.interrupted or report.done == before:
                    break
            report.interrupted |= self._stop.is_set()
            if report.filled >= WORTH_INDEXING:
                self._runtime.vectors.optimize(report.category, wait=False)
        except KeyboardInterrupt:
            report.interrupted = True
        except Exception as error:
            report.error = any_error(error)
        if self._progress:
            self._progress.finish(report)
            self._progress = None  # what another run finds is few
        return report

    def lacking(self) -> Iterator[Hit]:
        """The images without the vector whose pictures were not found unreadable."""
        cursor: str | None = None
        using = lacks(self.report.using)
        while True:
            page = self._runtime.vectors.scroll(
                self.report.category, filter=using, limit=_PAGE, cursor=cursor, with_payload=FIELDS
            )
            yield from (hit for hit in page.hits if hit.id not in self._unreadable)
            cursor = page.cursor
            if cursor is None:
                return

    def _pass(self, started: float) -> None:
        halted = threading.Event()
        with ExitStack() as stack:
            writer = open_pool(stack, "writer", 1)
            hits = self._until_stopped(self.lacking())
            embedded = stack.enter_context(
                closing(embed_stored(self._runtime, self._encoder, hits, self._stop, halted))
            )
            batches = in_batches(embedded, BATCH_SIZE, MAX_BATCH_BYTES, WRITE_SECONDS)
            try:
                for _ in in_order(writer, partial(self._write, halted), batches, 2):
                    self.report.seconds = time.perf_counter() - started
            finally:
                halted.set()
        self.report.seconds = time.perf_counter() - started

    def _until_stopped(self, hits: Iterable[Hit]) -> Iterator[Hit]:
        for hit in hits:
            if self._stop.is_set():
                self.report.interrupted = True
                return
            yield hit

    def _write(self, halted: threading.Event, batch: list[StoredImage]) -> None:
        if halted.is_set():
            return
        going = {item.id: item.row for item in batch if item.row is not None}
        with self._runtime.catalog.writing(self.report.category):
            self._describe(going)  # before the vector: an image that has the vector is not looked at again
            written = self._update(going)
        self.report.filled += written
        self.report.deleted += len(going) - written
        failed = [(item.id, item.reason) for item in batch if item.reason]
        self.report.failed += failed
        self._unreadable |= {id for id, _ in failed}
        if self._progress:
            self._progress.update(self.report)

    def _describe(self, rows: dict[str, Embedding]) -> None:
        """The taggers on this vector score it, and the cluster runs on it give it its nodes, as they do those
        of new images."""
        category, using, runtime = self.report.category, self.report.using, self._runtime
        taggers, runs = runtime.taggers.in_service(category), runtime.clusters.in_service(category)
        if not rows or using not in {head.using for head in taggers} | {run.using for run in runs}:
            return
        hits = runtime.vectors.retrieve(category, list(rows), with_payload=(*SCORE_FIELDS, "clusters"))
        plan = BatchPlan(category, {hit.id: hit.payload for hit in hits if hit is not None}, False)
        plan.vectors = {id: {using: rows[id]} for id in plan.payloads}
        self._scorer.refresh()
        self._scorer.score(plan)
        self._assigner.refresh()
        self._assigner.assign(plan)
        kinds = {
            field: kind for change in plan.changes.values() for field, kind in index_kinds(change).items()
        }
        runtime.catalog.ensure_indexes(category, kinds)
        if plan.changes:
            runtime.vectors.set_payload(category, plan.changes)

    def _update(self, rows: dict[str, Embedding]) -> int:
        """Write what is still there; how many that were."""
        while rows:
            try:
                self._runtime.vectors.update_vectors(
                    self.report.category, list(rows), self.report.using, np.stack(list(rows.values()))
                )
                return len(rows)
            except NotFound as error:  # deleted since they were listed; nothing was written
                gone = error.details.get("ids")
                left = {id: row for id, row in rows.items() if not isinstance(gone, list) or id not in gone}
                if len(left) == len(rows):
                    raise
                rows = left
        return 0
