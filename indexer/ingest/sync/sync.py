"""Keep a category like a folder: what is new is added, what moved gets its new name, what is gone leaves.

The order makes a kill harmless. A file is remembered once its images are durable; an image whose file is gone
is forgotten once it has left. So what is remembered is never ahead of the category, and the next sync goes on
from there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import orjson
import PIL

from vitrine.indexer.ingest.add import add_images
from vitrine.indexer.ingest.pipeline import BATCH_SIZE
from vitrine.indexer.ingest.sync.leaving import (
    Leaving,
    find_leaving,
    forget_missing,
    images_of_source,
    rename,
)
from vitrine.indexer.ingest.sync.memory import Memory, MemoryStore, file_key, stamp_of
from vitrine.indexer.ingest.sync.options import SyncOptions
from vitrine.indexer.ingest.sync.report import SyncReport
from vitrine.indexer.ingest.sync.watch import FolderWatch
from vitrine.indexer.job.job import Job
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.report import IndexReport, ItemOutcome
from vitrine.indexer.sources.folder import FolderSource
from vitrine.indexer.sources.open import open_source
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.records import ImageRecord, Source
from vitrine.indexer.sources.skipped import OnSkipped
from vitrine.services.errors import REFUSALS, ImageRefused, StoreDamaged, TooManyGone, because
from vitrine.services.extras import has_library
from vitrine.services.files import expanded
from vitrine.services.images.formats import sniff
from vitrine.services.images.open import content_hash, point_id
from vitrine.services.runtime import Runtime

SAVE_SECONDS, SAVE_SHARE = 30.0, 0.05
"""What was read is remembered so often while a sync goes on, and that takes at most such a share of its
time."""
_READERS = ("pillow_heif", "rawpy")
"""Libraries that decide whether a picture can be read here."""
_LOOKED_UP = 500


def sync_folder(
    runtime: Runtime,
    category: str,
    folder: Path,
    options: SyncOptions | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    refused: Path | None = None,
    on_skipped: OnSkipped | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> SyncReport:
    """Bring a category to what a folder holds. A file is unchanged if its size, time and inode are; all
    others are read.

    An image leaves, into the bin, when the folder has its content no more; it came from this folder by what
    is remembered of it and by its ``source``. Content that is found under another name keeps all that was
    said of it. ``TooManyGone``, in the report, where more leave than ``max_gone``: then nothing does.

    Raises ``BadSource`` (no such folder), ``NotFound`` (category), ``StoreDamaged`` (what is remembered), and
    as ``add_images`` does.
    """
    options, folder = options or SyncOptions(), expanded(folder)
    runtime.catalog.get(category)
    store = MemoryStore(runtime.objects, category, folder)
    sync = _Sync(runtime, category, folder, options, store, on_skipped)
    with Job(runtime, category, sync.report, progress).running():
        if options.take_over:
            sync.take_over()
        if options.dry_run:
            sync.read_dry()
        elif sync.source.total == 0:  # no model is loaded to find that out
            sync.read_nothing()
        else:
            sync.report.indexed = add_images(
                runtime,
                category,
                sync.source,
                batch_size=batch_size,
                refused=refused,
                on_outcome=sync.outcome,
                progress=progress,
                note=note,
            )
            sync.report.error, sync.report.interrupted = (
                sync.report.indexed.error,
                sync.report.indexed.interrupted,
            )
        sync.finish()
    return sync.report


class _Sync:
    """One sync of a folder, from what is remembered to what is to be remembered."""

    def __init__(
        self,
        runtime: Runtime,
        category: str,
        folder: Path,
        options: SyncOptions,
        store: MemoryStore,
        on_skipped: OnSkipped | None,
    ) -> None:
        self._runtime, self._category, self._folder, self._options = runtime, category, folder, options
        self._store = store
        former = _remembered(store, reread=options.reread)
        self._first = former is None
        self._watch = FolderWatch(folder, former or Memory(""))
        reading = SourceOptions(
            tags=options.tags,
            tags_from_folders=options.tags_from_folders,
            class_from=options.class_from,
            archives_as_folders=options.archives_as_folders,
            max_bytes=runtime.limits.max_bytes,
            without=runtime.settings.data,
            on_skipped=on_skipped,
        )
        files = FolderSource(folder, reading, self._watch)
        self.source: Source = open_source(files, options=reading)
        self.report = SyncReport(category=category, source=files.name, dry_run=options.dry_run)
        self._prepare(files)
        self._held_before = self._count()
        self._saved, self._save_seconds = time.monotonic(), 0.0

    def take_over(self) -> None:
        """Make all images of the source's name this folder's."""
        self._watch.memory.waiting |= images_of_source(self._runtime, self._category, self.report.source)
        self._held_before = max(self._held_before, self._count())

    def read_dry(self) -> None:
        """Find out what would become of the files, without writing anything. Pictures are not decoded."""
        report = self.report.indexed = IndexReport(self._category)
        met = {id for seen in self._watch.memory.files.values() for id in seen.images.values()}
        records = iter(self.source)
        while read := [_identified(record) for record in islice(records, _LOOKED_UP)]:
            ids = [each.id for each in read if each.id is not None]
            hits = self._runtime.vectors.retrieve(self._category, ids, with_payload=False)
            met |= {hit.id for hit in hits if hit is not None}
            for outcome in read:
                known = replace(outcome, outcome="known") if outcome.id in met else outcome
                met |= {outcome.id} if outcome.id else set()
                report.count(known)
                self._watch.outcome(known)
        report.skipped, report.notes = dict(self.source.skipped), self.source.notes()

    def read_nothing(self) -> None:
        """Walk a folder in which no file has to be read, for those that are gone. What comes meanwhile is for
        the next sync."""
        report = self.report.indexed = IndexReport(self._category)
        for record in self.source:
            if record.refusal:
                why = record.refusal
                report.count(ItemOutcome(record.filename, "refused", reason=why.reason, message=why.message))
        report.images = self._runtime.catalog.get(self._category).images
        report.skipped, report.notes = dict(self.source.skipped), self.source.notes()

    def outcome(self, outcome: ItemOutcome) -> None:
        """Take in what became of a file, and write down now and then what is remembered."""
        self._watch.outcome(outcome)
        if time.monotonic() - self._saved > max(SAVE_SECONDS, self._save_seconds / SAVE_SHARE):
            self._save()

    def finish(self) -> None:
        """Do about images whose file is gone, once everything was read."""
        report, watch = self.report, self._watch
        report.unchanged, report.still_refused = watch.unchanged_images, watch.still_refused
        if report.error is None and not report.interrupted:
            leaving = find_leaving(self._runtime, self._category, self._folder, watch, self._store)
            report.moved, report.stay = leaving.moved, leaving.stay
            report.settle_moved()
            self._let_go(leaving)
            self._tell_of_others()
            # not before: a sync that ends early has not read again all that it was to read again
            watch.memory.said, watch.memory.readers = self._read_with
        if not report.dry_run:
            self._save()

    def _let_go(self, leaving: Leaving) -> None:
        report = self.report
        if not report.dry_run:
            rename(self._runtime, self._category, leaving.moved)
        try:
            leaving.check(self._held_before, report.source, self._options.max_gone)
        except TooManyGone as error:
            if report.dry_run:
                report.notes.append(error.message)
                report.gone = leaving.gone
            else:
                report.error = error
            return
        report.gone = leaving.gone
        if report.dry_run:
            return
        if leaving.gone:
            done = self._runtime.editor.delete(self._category, list(leaving.gone))
            report.undo = done.undo
            report.indexed.images = self._runtime.catalog.get(self._category).images
        forget_missing(self._watch, self._folder)

    def _tell_of_others(self) -> None:
        """Say at the first sync that a folder of this name had other images, which stay."""
        if not self._first or self._options.take_over:
            return
        here = {id for seen in self._watch.memory.files.values() for id in seen.images.values()}
        others = images_of_source(self._runtime, self._category, self.report.source).keys() - here
        if others:
            self.report.notes.append(
                f"{len(others)} images came from a folder called {self.report.source} before, and are not in "
                "this one: they stay. If it is the same folder, --take-over lets them leave."
            )

    def _prepare(self, files: FolderSource) -> None:
        """Find out what has to be read again although it has not changed."""
        memory, watch = self._watch.memory, self._watch
        options, limits = self._options, self._runtime.limits
        tables = [[file_key(str(table), self._folder), stamp_of(str(table))] for table in files.tables]
        labels = (options.tags, options.tags_from_folders, options.class_from, options.archives_as_folders)
        said = _digest([*labels, tables])
        libraries = [name for name in _READERS if has_library(name)]
        readers = _digest(
            [libraries, PIL.__version__, limits.max_bytes, limits.max_pixels, limits.max_jpeg_pixels]
        )
        watch.retry = memory.readers != readers
        watch.reread = options.reread or (memory.said != said and bool(memory.files))
        if watch.reread and not options.reread:
            self.report.notes.append(
                "What is said of all pictures has changed, by options or a table: every file is read again."
            )
        memory.source, self._read_with = files.name, (said, readers)
        if not memory.files:
            memory.said, memory.readers = said, readers

    def _count(self) -> int:
        memory = self._watch.memory
        ids = {id for seen in memory.files.values() for id in seen.images.values()}
        return len(ids | memory.waiting.keys())

    def _save(self) -> None:
        started = time.monotonic()
        with self._watch.lock:
            data = self._watch.memory.to_bytes()
        self._store.save(data)
        self._saved = time.monotonic()
        self._save_seconds = self._saved - started


def _remembered(store: MemoryStore, *, reread: bool) -> Memory | None:
    try:
        return store.load()
    except StoreDamaged:
        if reread:
            return None
        raise


def _identified(record: ImageRecord) -> ItemOutcome:
    """Return the outcome of a record as that of a new image with its id, or its refusal as far as that can be
    seen without decoding."""
    name, why = record.filename, record.refusal
    if why:
        return ItemOutcome(name, "refused", reason=why.reason, message=why.message)
    try:
        data = record.read()
        if sniff(data):
            return ItemOutcome(name, "added", point_id(content_hash(data)))
        reason = "unsupported_format" if data else "empty_file"
        return ItemOutcome(name, "refused", reason=reason, message=f"It is refused: {REFUSALS[reason]}.")
    except ImageRefused as error:
        return ItemOutcome(name, "refused", reason=error.reason, message=error.message)
    except Exception as error:  # whatever keeps one file from being read is that file's
        text = f"The file cannot be read: {because(error)}."
        return ItemOutcome(name, "refused", reason="unreadable_file", message=text)


def _digest(value: object) -> str:
    return hashlib.sha256(orjson.dumps(value)).hexdigest()
