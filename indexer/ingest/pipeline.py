"""Index images of any source into a category, as one visible loop.

Identity is content: the point id derives from the SHA-256 of the bytes. The order of writing is object,
point, acknowledgement: a kill at any moment leaves at most objects without points, and the next run of the
same source completes the work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

import numpy as np

from vitrine.indexer.enrich.arrivals import on_arrival
from vitrine.indexer.enrich.metadata.recast import recast
from vitrine.indexer.ingest.known_urls import without_known
from vitrine.indexer.job.encoding import encoded
from vitrine.indexer.job.items import Item
from vitrine.indexer.job.job import Job
from vitrine.indexer.job.on_arrival import OnArrival
from vitrine.indexer.job.payloads import FileFacts, check_record
from vitrine.indexer.job.plan import BatchPlan
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.report import IndexReport, ItemOutcome, NearDuplicates, Outcome, StageClock
from vitrine.indexer.job.workers import (
    ENCODING,
    MAX_BATCH_BYTES,
    SLICE_SECONDS,
    WRITE_SECONDS,
    Pace,
    gathered,
    in_batches,
    in_order,
    open_pool,
)
from vitrine.indexer.sources.columns import ColumnKinds, kinds_of
from vitrine.indexer.sources.patience import Patience
from vitrine.indexer.sources.records import ADOPTED, FILES_AT_ONCE, ImageRecord, Source
from vitrine.services.category.catalog import Category
from vitrine.services.category.journal import changed_line
from vitrine.services.category.known_urls import known_urls
from vitrine.services.category.payload import joined_kinds
from vitrine.services.category.thumbnails import SHOWN_WIDTH
from vitrine.services.domain import IndexKind, Payload, Point
from vitrine.services.encoders.batching import BatchedEncoder
from vitrine.services.encoders.compiled.choose import core_count
from vitrine.services.errors import BadRequest, BadSource, ImageRefused, NotFound, VitrineError, because
from vitrine.services.images.open import content_hash, open_image, point_id
from vitrine.services.images.previews import preview_of
from vitrine.services.images.thumbnails import made_along
from vitrine.services.runtime import Runtime

STAGES = ("read", "look up", "decode", "encode", "compare", "put", "upsert")
FIRST_SLICE, SLICE = 4, 32
"""Images looked up and encoded at a time: what a model takes at once."""
BATCH_SIZE = 128
"""Images written at a time, so that one flush serves many."""
_PUTTERS = 8
_READ_AHEAD = 16


def index_images(
    records: Iterable[ImageRecord],
    runtime: Runtime,
    category: str,
    *,
    batch_size: int = BATCH_SIZE,
    overwrite: bool = False,
    near_duplicates: NearDuplicates = "ignore",
    progress: Progress | None = None,
    stop: threading.Event | None = None,
    on_outcome: Callable[[ItemOutcome], None] | None = None,
    kinds: Mapping[str, IndexKind] | None = None,
    patience: Patience | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> IndexReport:
    """Index images into a category. Outcomes come in the order of the records, each once what it says is
    durable.

    The same bytes again cost a read and a look-up: tags are united, what users set is kept (unless
    ``overwrite``), a named vector or an object that is missing is made again. One image's errors are its
    outcome. ``stop`` or Ctrl-C ends the run once the batch under way is written.

    ``near_duplicates``: "tell" compares each new image with its nearest and says in its outcome what it is a
    copy of; "skip" does not index such copies, nor take over what is said of them. Identical bytes are one
    image in any case.

    ``kinds``: of metadata columns, by name. Images that are there get their values cast to that kind first.

    ``batch_size``: images written at a time, fewer where that would take more than some seconds. A flush of
    the embedded engine takes some 30 ms (on a busy disk 300) whatever it holds; the next images are encoded
    meanwhile.

    ``patience``: for how long a store that does not answer is waited for, if not as the settings say.

    Raises before anything is read: ``NotFound`` (category), ``BadRequest`` (``kinds``), ``EncoderMismatch``,
    ``ModelUnavailable``. Errors after that, of any kind, end the run with a ``failed`` report, which still
    counts what was done; where the source fails, what it gave before is indexed. ``on_outcome`` and
    ``progress`` are called on another thread.
    """
    cat, report = runtime.catalog.get(category), IndexReport(category)
    job = Job(runtime, category, report, progress, stop)
    columns = ColumnKinds.of(cat, records.indexes if isinstance(records, Source) else kinds_of(kinds), kinds)
    encoders, slice_size = _encoders(runtime, cat), min(SLICE, batch_size)
    arrivals = on_arrival(runtime, cat, near_duplicates)
    # whoever watches sees the first images soon; an upload is answered as a whole
    pace = Pace(slice_size, SLICE_SECONDS, first=FIRST_SLICE if progress else slice_size)
    patience = patience or Patience(runtime.settings.outage_seconds)
    threads = ExitStack()
    # those that wait (disk, network, engine) are apart from those that compute; they close in the reverse
    # order, the writer first
    at_once = records.readers if isinstance(records, Source) else FILES_AT_ONCE
    readers, putters = open_pool(threads, "readers", at_once), open_pool(threads, "putters", _PUTTERS)
    decoders = open_pool(threads, "decoders", core_count(runtime.settings.threads))
    finder, writer = open_pool(threads, "finder", 1), open_pool(threads, "writer", 1)
    encoder = open_pool(threads, "encoder", ENCODING)
    run = _Run(
        job, cat, records, columns, report, overwrite, on_outcome, encoders, arrivals, putters, patience,
        pace, clock,
    )  # fmt: skip
    patience.begin(run.ending, progress.say if progress else None)
    with job.running(keep_errors=True), threads:
        try:
            run.recast()
            if progress:
                progress.start("indexing", records.total if isinstance(records, Source) else None)
            read = in_order(readers, run.read, run.taken(), max(_READ_AHEAD, at_once))
            found = in_batches(read, slice_size, MAX_BATCH_BYTES, WRITE_SECONDS, clock)
            looked_up = in_order(finder, run.look_up, found, 2)
            decoded = in_order(decoders, run.decode, chain.from_iterable(looked_up), slice_size)
            slices = in_batches(decoded, pace, MAX_BATCH_BYTES, SLICE_SECONDS, clock)
            embedded = in_order(encoder, run.encode, slices, ENCODING)
            batches = gathered(embedded, batch_size, MAX_BATCH_BYTES, WRITE_SECONDS, clock)
            for _ in in_order(writer, run.write, batches, 2):
                pass
        finally:
            run.halted.set()
    run.finish()
    if progress:
        progress.finish(report)
    return report


@dataclass(eq=False)
class _Run:
    """The five calls that every image passes through, and what they share."""

    job: Job
    category: Category
    records: Iterable[ImageRecord]
    columns: ColumnKinds
    report: IndexReport
    overwrite: bool
    on_outcome: Callable[[ItemOutcome], None] | None
    encoders: dict[str, BatchedEncoder]
    arrivals: list[OnArrival]
    putters: Executor
    patience: Patience
    pace: Pace
    now: Callable[[], float]
    halted: threading.Event = field(default_factory=threading.Event)
    clock: StageClock = field(default_factory=lambda: StageClock(STAGES, shared=("encode",)))
    under_way: dict[str, Item] = field(default_factory=dict)

    @property
    def runtime(self) -> Runtime:
        return self.job.runtime

    @property
    def target(self) -> int:
        """Return the longest side in pixels that any of the encoders looks at."""
        return max((encoder.spec.preprocessing.target for encoder in self.encoders.values()), default=1)

    def taken(self) -> Iterator[ImageRecord]:
        """Yield the records of the source, to its end, to ``stop``, or to an error of the source, which then
        ends the run in order."""
        try:
            for record in without_known(self.records, self.known_urls, self.runtime.objects):
                if self.job.stop.is_set():
                    self.report.interrupted = True
                    return
                yield record
        except VitrineError as error:
            self.report.error = error
        except Exception as error:
            name = self.records.name if isinstance(self.records, Source) else "The source"
            self.report.error = BadSource(f"{name} cannot be read any further: {because(error)}.")
            self.report.error.__cause__ = error

    def known_urls(self, urls: Sequence[str]) -> Mapping[str, Payload]:
        """Return what the category knows, by now, of the images that came from these URLs."""
        runtime, name = self.runtime, self.category.name
        with self.clock.measure("look up"):
            return self.patience.call(lambda: known_urls(runtime.vectors, runtime.catalog.get(name), urls))

    def recast(self) -> None:
        """Give columns that are there already the kind that was asked for."""
        kinds = self.columns.to_recast(self.category)
        if kinds:
            self.report.notes += recast(self.job, kinds).notes()

    # The five calls
    # ------------------------------------------------------------------------------------------------------

    def read(self, record: ImageRecord) -> Item:
        """Read the bytes of a file and compute its identity."""
        item = Item(record, refusal=record.refusal)
        if item.refusal:
            return item
        with self.clock.measure("read"):
            try:
                item.said, item.kinds = check_record(record, self.category, self.columns)
                item.data = self.patience.call(record.read)
                item.sha256 = content_hash(item.data)
                item.id = point_id(item.sha256)
            except ImageRefused as error:
                item.refuse(error)
            except NotFound as error:
                item.refuse(ImageRefused("image_missing", error.message))
            except BadRequest as error:  # the key of an object that no store could hold
                item.refuse(ImageRefused("unreadable_file", error.message))
            except VitrineError:
                raise
            except Exception as error:  # whatever keeps one file from being read is that file's
                item.refuse(ImageRefused("unreadable_file", f"The file cannot be read: {because(error)}."))
        return item

    def look_up(self, batch: list[Item]) -> list[Item]:
        """Find out which images are stored already, and which named vectors each of them lacks."""
        going = [item for item in batch if item.going]
        names = tuple(spec.name for spec in self.category.encoders)
        with self.clock.measure("look up"):
            ids = [item.id for item in going]
            hits = self.patience.call(
                lambda: self.runtime.vectors.retrieve(
                    self.category.name, ids, with_payload=False, with_vectors=names
                )
            )
        for item, hit in zip(going, hits, strict=True):
            item.twin = self.under_way.setdefault(item.id, item)
            item.twin = None if item.twin is item else item.twin
            item.known = hit is not None
            has = hit.vectors if hit else {}
            item.vectors = {name: vector for name, vector in item.record.vectors.items() if name not in has}
            item.needs = tuple(name for name in self.encoders if name not in has and name not in item.vectors)
            if not (item.known or item.needs or item.vectors):
                item.refuse(
                    ImageRefused(
                        "bad_vector", "No encoder of the category can be loaded, and it brings no vector."
                    )
                )
        return batch

    def decode(self, item: Item) -> Item:
        """Decode the pixels for each encoder that is to see them, and note the facts of the file; do nothing
        for an image that is complete."""
        if item.going and item.twin is None and (item.needs or not item.known) and not self.ending():
            with self.clock.measure("decode"):
                self._decode(item)
        return item

    def encode(self, batch: list[Item]) -> list[Item]:
        """Compute the vectors that are lacking."""
        with self.pace.turn():
            if self.ending():
                if self.job.stop.is_set():
                    self.report.interrupted = True
                for item in batch:
                    item.skipped = True
                return batch
            count, started = sum(bool(item.prepared) for item in batch), self.now()
            with self.clock.measure("encode"):
                for name, encoder in self.encoders.items():
                    self._encode(name, encoder, [item for item in batch if name in item.prepared])
            self.pace.note(count, self.now() - started)
        return batch

    def write(self, batch: list[Item]) -> None:
        """Write the objects, then the points, then count the outcomes."""
        if self.halted.is_set():
            return
        with self.runtime.catalog.writing(
            self.category.name
        ):  # what is read here must still be so when it is written back
            self._index_columns([item for item in batch if item.going])
            outcomes = self._write([item for item in batch if item.going and not self._follows_twin(item)])
        for item in batch:
            if self.under_way.get(item.id) is item:
                del self.under_way[item.id]
            if not item.skipped:
                self._count(item, outcomes.get(id(item), "known"))
        if self.job.progress:
            self.job.progress.update(self.report)

    # How
    # --------------------------------------------------------------------------------------------------------

    def _decode(self, item: Item) -> None:
        try:
            opened = open_image(
                item.data,
                target=self.target,
                limits=self.runtime.limits,
                budget=self.runtime.budget,
                sha256=item.sha256,
            )
            item.prepared = {name: self.encoders[name].prepare(opened.image) for name in item.needs}
        except ImageRefused as error:
            item.refuse(error)
            return
        except Exception as error:  # of a decoder or of an encoder's fitting, for this picture
            item.refuse(ImageRefused("damaged_image", f"The picture cannot be decoded: {because(error)}."))
            return
        item.facts = FileFacts(
            opened.sha256,
            opened.phash,
            opened.media_type,
            opened.extension,
            opened.width,
            opened.height,
            opened.size,
            preview_of(opened.image),
        )
        item.thumbnail = made_along(opened, SHOWN_WIDTH)
        item.several = opened.several

    def _encode(self, name: str, encoder: BatchedEncoder, items: list[Item]) -> None:
        rows = encoded(encoder, [item.prepared.pop(name) for item in items])
        for item, row in zip(items, rows, strict=True):
            if isinstance(row, str):
                item.refuse(ImageRefused("bad_vector", row))
            else:
                item.vectors[name] = row

    def _write(self, items: list[Item]) -> dict[int, Outcome]:
        """Write a batch and return the outcome of each item, by its ``id()``."""
        stored = self._stored(items)
        made = {item.id for item in items if item.facts and not item.known}
        self._complete([item for item in items if item.id not in stored and item.id not in made])
        for item in items:
            item.known = item.id in stored
        with self.clock.measure("compare"):
            for arrival in self.arrivals:
                going = [item for item in items if item.going]
                self.patience.call(partial(arrival.prepare, going))
        plan = BatchPlan(self.category.name, stored, self.overwrite)
        outcomes: dict[int, Outcome] = {id(item): plan.add(item) for item in items if item.going}
        for arrival in self.arrivals:
            arrival.apply(plan)
        with self.clock.measure("put"):
            restored = self.putters.map(
                lambda item: self._put(item, plan.payloads[item.id], item.id in stored), plan.firsts()
            )
            outcomes |= {
                id(item): "updated" for item, again in zip(plan.firsts(), restored, strict=True) if again
            }
        with self.clock.measure("upsert"):
            self.patience.call(lambda: self._apply(plan))
        return outcomes

    def _index_columns(self, items: list[Item]) -> None:
        """Index the metadata columns before there are values in them. If another writer has indexed one
        meanwhile, that one's kind counts."""
        found = joined_kinds(item.kinds for item in items)
        asked = dict(
            sorted(found.items(), key=lambda item: item[0] not in self.columns.fixed)
        )  # the number of indexes is limited
        with self.clock.measure("upsert"):
            kinds = self.patience.call(
                lambda: self.runtime.catalog.ensure_indexes(self.category.name, asked)
            ).indexes
        self.report.unindexed.update(field for field in asked if field not in kinds)
        for item in items:
            if any(kinds.get(field, kind) != kind for field, kind in item.kinds.items()):
                item.fit(kinds)

    def _stored(self, items: list[Item]) -> dict[str, Payload]:
        with self.clock.measure("look up"):
            ids = list(dict.fromkeys(item.id for item in items))
            hits = self.patience.call(lambda: self.runtime.vectors.retrieve(self.category.name, ids))
        return {hit.id: hit.payload for hit in hits if hit is not None}

    def _complete(self, items: list[Item]) -> None:
        """Decode and encode images that were stored when they were looked up and have been deleted since,
        like any new one."""
        for item in items:
            item.needs = tuple(name for name in self.encoders if name not in item.record.vectors)
            item.vectors = dict(item.record.vectors)
            self._decode(item)
        for name, encoder in self.encoders.items():
            self._encode(name, encoder, [item for item in items if name in item.prepared])

    def _put(self, item: Item, payload: Payload, there: bool) -> bool:
        """Store the file. Of an image that is stored already do so only if its file was lost or cut short,
        and return True then."""
        objects, key = self.runtime.objects, payload["object_key"]
        if there:
            stored = self.patience.call(lambda: objects.stat(key))
            if stored is not None and stored.size == len(item.data):
                return False
        self.patience.call(lambda: objects.put(key, item.data, media_type=payload["media_type"]))
        if small := item.thumbnail:
            thumbnails, name = self.runtime.thumbnails, self.category.name
            self.patience.call(lambda: thumbnails.keep(name, item.id, SHOWN_WIDTH, small, key))
        return there

    def _apply(self, plan: BatchPlan) -> None:
        vectors, name = self.runtime.vectors, self.category.name
        self.runtime.catalog.ensure_indexes(name, plan.kinds)
        if plan.points:
            vectors.upsert(name, [Point(id, plan.vectors[id], plan.payloads[id]) for id in plan.points])
        for using, rows in plan.missing().items():
            vectors.update_vectors(name, list(rows), using, np.stack(list(rows.values())))
        if plan.changes:
            vectors.set_payload(name, plan.changes)
        # not as whole: of an image that is indexed again the journal has what its picture does not tell
        said = [*((id, plan.payloads[id]) for id in plan.points), *plan.changes.items()]
        self.runtime.journal.write(name, [changed_line(id, its, plan.unsaid.get(id, ())) for id, its in said])

    def _follows_twin(self, item: Item) -> bool:
        """Return whether an image is refused or skipped because the one with the same bytes before it was."""
        if item.twin and not item.twin.going:
            item.refusal, item.skipped = item.twin.refusal, item.twin.skipped
            item.near, item.dropped = item.twin.near, item.twin.dropped
        return not item.going

    def _count(self, item: Item, outcome: Outcome) -> None:
        name = item.record.filename
        if item.refusal:
            found = ItemOutcome(name, "refused", reason=item.refusal.reason, message=item.refusal.message)
        elif item.dropped:
            found = ItemOutcome(name, "duplicate", near=item.near)
        else:
            near = item.near if outcome == "added" else None
            found = ItemOutcome(name, outcome, item.id, near=near, conflicts=item.conflicts)
        self.report.count(found)
        self.report.first_frames += item.several and found.outcome == "added"
        if self.on_outcome:
            self.on_outcome(found)

    def ending(self) -> bool:
        """Return whether nothing more is to be begun."""
        return self.job.stop.is_set() or self.halted.is_set()

    def finish(self) -> None:
        """Count the images of the category, and gather what the report says besides outcomes."""
        self.report.stages = self.clock.seconds
        said = self.records.notes() if isinstance(self.records, Source) else []
        found = (note for arrival in self.arrivals for note in arrival.notes)
        self.report.skipped = dict(self.records.skipped) if isinstance(self.records, Source) else {}
        self.report.notes = [*said, *self.report.notes, *found, *self.patience.notes()]
        try:
            self.report.images = self.runtime.vectors.count(self.category.name)
            self.runtime.catalog.set_images(self.category.name, self.report.images)
        except VitrineError as error:
            self.report.error = self.report.error or error


def _encoders(runtime: Runtime, category: Category) -> dict[str, BatchedEncoder]:
    """Return the encoders that can be loaded, by named vector, checked against the manifest."""
    return {
        spec.name: runtime.encoders.for_category(spec)
        for spec in category.active_encoders
        if spec.revision != ADOPTED
    }
