"""Gives images that were indexed before there were previews their dominant colour and blur, and makes
thumbnails before anyone asks for them."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from dataclasses import field as made
from functools import partial
from itertools import islice
from typing import Any

from vitrine.indexer.enrich.previews.options import PreviewOptions
from vitrine.indexer.job.job import Advance, Job, Report, first_few
from vitrine.indexer.job.payload_writer import Change, PayloadWriter
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.workers import in_order, open_pool
from vitrine.services.category.read_all import pages
from vitrine.services.category.thumbnails import next_width, thumbnail_key
from vitrine.services.domain import Hit
from vitrine.services.errors import BadRequest, ImageRefused, NotFound
from vitrine.services.images.open import picture_of
from vitrine.services.images.previews import SIDE, Preview, preview_of
from vitrine.services.images.thumbnails import thumbnail_of
from vitrine.services.runtime import Runtime
from vitrine.services.values.words import counted

_FIELDS = ("object_key", "colour", "blur")
_PAGE, _WRITTEN_AT_ONCE = 500, 256


@dataclass
class PreviewReport(Report):
    """What became of the images of a category: ``filled`` got a colour and a blur, ``thumbnails`` counts the
    files that were made.

    ``failed``: (id, reason of ``REFUSALS``) of the images whose pictures are missing or damaged.
    """

    category: str
    images: int = 0
    filled: int = 0
    thumbnails: int = 0
    failed: list[tuple[str, str]] = made(default_factory=list)

    @property
    def refused(self) -> int:
        return len(self.failed)

    def to_json(self) -> dict[str, Any]:
        failed = [{"id": id, "reason": reason} for id, reason in self.failed]
        return super().to_json() | {"failed": failed, "interrupted": self.interrupted}

    def summary(self) -> str:
        thumbnails = f", {counted(self.thumbnails, 'thumbnail')} made" * bool(self.thumbnails)
        lines = [f"{self.filled} of {counted(self.images, 'image')} got a colour and a blur{thumbnails}."]
        if self.failed:
            reasons = ", ".join(
                f"{count} {reason}" for reason, count in Counter(why for _, why in self.failed).most_common()
            )
            lines.append(f"  {counted(len(self.failed), 'picture')} cannot be read: {reasons}")
            lines += first_few([id for id, _ in self.failed], len(self.failed), "--json lists all")
        return "\n".join([*lines, *self.notes, *self.ending()])


def fill_previews(
    runtime: Runtime,
    category: str,
    options: PreviewOptions | None = None,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> PreviewReport:
    """Give each image that lacks them its ``colour`` and ``blur``, and make the thumbnails that are asked for
    and not kept yet, from the pictures in the object store.

    What is there is passed over, so the same call again goes on after a kill. Ctrl-C and ``stop`` end it
    after the images under way. ``NotFound`` (category).
    """
    runtime.catalog.get(category)
    options = options or PreviewOptions()
    report = PreviewReport(category)
    job = Job(runtime, category, report, progress, stop)
    with job.running():
        total = runtime.vectors.count(category)
        with job.stage(f"previews of {category}", total) as advance:
            job.apart(partial(_fill, job, report, options, total, advance))
    return report


@dataclass(frozen=True)
class _Done:
    """What was made of one image: its ``preview`` where it lacked one, how many ``thumbnails``; or the
    ``reason`` why nothing was."""

    id: str
    preview: Preview | None = None
    thumbnails: int = 0
    reason: str = ""


def _fill(job: Job, report: PreviewReport, options: PreviewOptions, total: int, advance: Advance) -> None:
    runtime, category = job.runtime, report.category
    threads = runtime.settings.threads or os.cpu_count() or 1
    writer = PayloadWriter(runtime, category)
    widths = sorted({next_width(width) for width in options.widths})
    with ExitStack() as stack:
        stack.callback(writer.flush)
        pool = open_pool(stack, "previews", threads)
        work = partial(_work, runtime, category, widths, options.again)
        done = in_order(pool, work, _hits(job), 4 * threads)
        while batch := list(islice(done, _WRITTEN_AT_ONCE)):
            changes = {
                one.id: Change({"colour": one.preview.colour, "blur": one.preview.blur})
                for one in batch
                if one.preview is not None
            }
            with writer.page():
                report.filled += writer.write(changes)
            report.images += len(batch)
            report.thumbnails += sum(one.thumbnails for one in batch)
            report.failed += [(one.id, one.reason) for one in batch if one.reason]
            advance(report.images, total)


def _hits(job: Job) -> Iterator[Hit]:
    for page in pages(job.runtime.vectors, job.category, fields=_FIELDS, size=_PAGE):
        for hit in page:
            if job.stop.is_set():
                return
            yield hit


def _work(runtime: Runtime, category: str, widths: list[int], again: bool, hit: Hit) -> _Done:
    """Make what an image lacks."""
    objects, file = runtime.objects, str(hit.payload.get("object_key", ""))
    lacking = [
        width for width in widths if again or objects.stat(thumbnail_key(category, hit.id, width)) is None
    ]
    with_preview = again or not {"colour", "blur"} <= hit.payload.keys()
    if not lacking and not with_preview:
        return _Done(hit.id)
    try:
        image, _ = picture_of(
            objects.get(file), max([SIDE, *lacking]), limits=runtime.limits, budget=runtime.budget
        )
        kept = [
            runtime.thumbnails.keep(category, hit.id, width, thumbnail_of(image, width), file)
            for width in lacking
        ]
        return _Done(hit.id, preview_of(image) if with_preview else None, sum(kept))
    except ImageRefused as error:
        return _Done(hit.id, reason=error.reason)
    except (NotFound, BadRequest):
        return _Done(hit.id, reason="image_missing")
