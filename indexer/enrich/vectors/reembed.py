"""Fill one named vector of images that are indexed already, from their pictures in the object store."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from typing import Any

import numpy as np

from vitrine.indexer.enrich.arrivals import on_arrival
from vitrine.indexer.enrich.scores.score_payload import FIELDS as SCORE_FIELDS
from vitrine.indexer.job.job import Advance, Job, Report, first_few
from vitrine.indexer.job.payload_writer import write_to_those_left
from vitrine.indexer.job.plan import BatchPlan
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.search_index import build_search_index
from vitrine.indexer.job.stored_images import FIELDS, StoredImage, embed_stored
from vitrine.indexer.job.workers import MAX_BATCH_BYTES, WRITE_SECONDS, in_batches, in_order, open_pool
from vitrine.indexer.sources.records import ADOPTED
from vitrine.services.category.journal import changed_line
from vitrine.services.category.read_all import pages
from vitrine.services.domain import Embedding, Hit
from vitrine.services.filters.conditions import Filter, HasVector
from vitrine.services.runtime import Runtime

BATCH_SIZE = 128
"""Vectors written at a time: one flush serves them all."""
WORTH_INDEXING = 20_000
"""After so many new vectors the search index is brought up to date."""
MAX_PASSES = 10
"""Images that come in while a vector is filled are taken by another pass over what is still lacking; so many
at most."""
_PAGE = 256


@dataclass
class FillReport(Report):
    """What became of the images that lacked a vector: ``filled`` counts what is durable.

    ``failed``: (id, reason of ``REFUSALS``) of the images whose pictures are missing or damaged; they go
    without the vector. ``deleted``: images that were deleted meanwhile.
    """

    category: str
    using: str
    filled: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    deleted: int = 0

    @property
    def done(self) -> int:
        """Return how many images have an outcome."""
        return self.filled + len(self.failed) + self.deleted

    @property
    def refused(self) -> int:
        return len(self.failed)

    @property
    def complete(self) -> bool:
        """Return whether every image whose picture can be read has the vector."""
        return self.error is None and not self.interrupted

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {
            "failed": [{"id": id, "reason": reason} for id, reason in self.failed],
            "images_per_second": round(self.done / self.seconds, 1) if self.seconds else 0.0,
            "interrupted": self.interrupted,
            "error": self.error_json(),
        }

    def summary(self) -> str:
        rate = f" ({self.done / self.seconds:.1f} images/s)" if self.filled and self.seconds else ""
        lines = [f"{self.using}: {self.filled} images embedded in {self.seconds:.1f} s{rate}"]
        if self.failed:
            reasons = ", ".join(
                f"{count} {reason}" for reason, count in Counter(why for _, why in self.failed).most_common()
            )
            lines.append(f"  {len(self.failed)} pictures cannot be read and go without the vector: {reasons}")
            lines += first_few([id for id, _ in self.failed], len(self.failed), "--json lists all")
        return "\n".join([*lines, *self.ending()])


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


def fill_category(
    runtime: Runtime,
    category: str,
    using: Sequence[str] | None = None,
    *,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> list[FillReport]:
    """Fill one vector after the other, until one is not completed, then build the search index.

    ``using``: only these vectors (None: the vectors of all encoders in service that can embed).
    """
    found = runtime.catalog.get(category)
    wanted = using or [spec.name for spec in found.active_encoders if spec.revision != ADOPTED]
    reports: list[FillReport] = []
    for vector in dict.fromkeys(found.encoder(name).name for name in wanted):
        reports.append(fill_vector(runtime, category, vector, progress=progress))
        if not reports[-1].complete:
            return reports
    if reports:
        build_search_index(runtime, category, note)
    return reports


def lacks(using: str) -> Filter:
    """Return the filter of the images without a named vector."""
    return Filter(must_not=(HasVector(using),))


class VectorFiller:
    """Fills one named vector. ``run`` may be called again for images that came in since, and adds to the same
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
        self._job = Job(runtime, category, self.report, progress, stop)
        self._encoder = runtime.encoders.for_category(spec)
        self._unreadable: set[str] = set()
        # a vector that is filled to be rolled back to is not in service yet, but its taggers and clusters
        # take it all the same
        self._arrivals = on_arrival(runtime, replace(cat, promoted={}))

    def run(self) -> FillReport:
        """Fill what is lacking, pass after pass, until one finds nothing to do."""
        report, job = self.report, self._job
        vectors = job.runtime.vectors
        with job.running(keep_errors=True):
            with job.stage("embedding", vectors.count(report.category, lacks(report.using))) as advance:
                for _ in range(MAX_PASSES):
                    before = report.done
                    self._pass(advance)
                    if job.stop.is_set() or report.done == before:
                        break
            if report.filled >= WORTH_INDEXING:
                vectors.optimize(report.category, wait=False)
            job.check()
        job.progress = None  # what another run finds is few
        return report

    def lacking(self) -> Iterator[Hit]:
        """Yield the images without the vector, except those whose pictures were found unreadable."""
        report, vectors = self.report, self._job.runtime.vectors
        for page in pages(vectors, report.category, filter=lacks(report.using), fields=FIELDS, size=_PAGE):
            yield from (hit for hit in page if hit.id not in self._unreadable)

    def _pass(self, advance: Advance) -> None:
        halted, stop = threading.Event(), self._job.stop
        with ExitStack() as stack:
            writer = open_pool(stack, "writer", 1)
            hits = takewhile(lambda hit: not stop.is_set(), self.lacking())
            embedded = stack.enter_context(
                closing(embed_stored(self._job.runtime, self._encoder, hits, stop, halted))
            )
            batches = in_batches(embedded, BATCH_SIZE, MAX_BATCH_BYTES, WRITE_SECONDS)
            try:
                for _ in in_order(writer, partial(self._write, halted, advance), batches, 2):
                    pass
            finally:
                halted.set()

    def _write(self, halted: threading.Event, advance: Advance, batch: list[StoredImage]) -> None:
        if halted.is_set():
            return
        report, runtime = self.report, self._job.runtime
        going = {item.id: item.row for item in batch if item.row is not None}
        with runtime.catalog.writing(report.category):
            self._describe(going)  # before the vector: an image that has the vector is not looked at again
            written = write_to_those_left(runtime.vectors, report.category, going, self._update)
        report.filled += len(written)
        report.deleted += len(going) - len(written)
        failed = [(item.id, item.reason) for item in batch if item.reason]
        report.failed += failed
        self._unreadable |= {id for id, _ in failed}
        advance(report.done, report.done)

    def _describe(self, rows: dict[str, Embedding]) -> None:
        """Have the enrichments that read this vector describe the images, as they do new ones."""
        category, using, runtime = self.report.category, self.report.using, self._job.runtime
        for arrival in self._arrivals:
            arrival.prepare(())
        if not rows or not any(using in arrival.using for arrival in self._arrivals):
            return
        hits = runtime.vectors.retrieve(category, list(rows), with_payload=(*SCORE_FIELDS, "clusters"))
        plan = BatchPlan(category, {hit.id: hit.payload for hit in hits if hit is not None})
        plan.vectors = {id: {using: rows[id]} for id in plan.payloads}
        for arrival in self._arrivals:
            arrival.apply(plan)
        runtime.catalog.ensure_indexes(category, plan.kinds)
        if plan.changes:
            runtime.vectors.set_payload(category, plan.changes)
        runtime.journal.write(category, [changed_line(id, {}, paths) for id, paths in plan.unsaid.items()])

    def _update(self, rows: dict[str, Embedding]) -> None:
        self._job.runtime.vectors.update_vectors(
            self.report.category, list(rows), self.report.using, np.stack(list(rows.values()))
        )
