"""The hashtags of texts that are stored already, as a metadata column of their own."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from dataclasses import field as made
from typing import Any

from vitrine.indexer.job.payload_writer import PAGE, PayloadWriter
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.stages import Watch, apart
from vitrine.indexer.sources.hashtags import FIELD, hashtags_of
from vitrine.services.category.field_names import find_member
from vitrine.services.category.payload import clean_name
from vitrine.services.domain import Hit, Payload
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime
from vitrine.services.values.field_paths import field_path, path_keys
from vitrine.services.values.kinds import HELD

_METADATA = "metadata"


@dataclass
class HashtagReport:
    """``images`` were looked at, ``with_text`` have the text, ``with_hashtags`` a hashtag in it, ``updated``
    another than before.

    ``hashtags``: the most frequent ones and how many images have each.
    """

    category: str
    sources: list[str]
    field: str
    images: int = 0
    with_text: int = 0
    with_hashtags: int = 0
    updated: int = 0
    hashtags: list[tuple[str, int]] = made(default_factory=list)
    different: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def done(self) -> int:
        return self.images

    @property
    def refused(self) -> int:
        return 0

    @property
    def exit_code(self) -> int:
        """0 complete, 130 interrupted."""
        return 130 if self.interrupted else 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object of all of it."""
        most = [{"value": word, "count": count} for word, count in self.hashtags]
        return {"status": "interrupted" if self.interrupted else "complete", **vars(self), "hashtags": most}

    def summary(self) -> str:
        """A few lines for people."""
        text = " or ".join(self.sources)
        lines = [
            f"{self.with_hashtags} of {self.images} images have hashtags in {text}; {self.updated} "
            f"updated ({self.field})."
        ]
        if self.images and not self.with_text and not self.interrupted:
            lines += [f"No image has {text}."]
        if self.hashtags:
            lines += [
                f"{self.different} different: "
                + ", ".join(f"#{word} {count}" for word, count in self.hashtags[:8])
            ]
        return "\n".join(lines + (["Interrupted. Run again to complete it."] if self.interrupted else []))


def split_hashtags(
    runtime: Runtime,
    category: str,
    sources: Sequence[str],
    to: str = f"{_METADATA}.{FIELD}",
    *,
    watch: Watch | None = None,
    stop: threading.Event | None = None,
) -> HashtagReport:
    """Write the hashtags in ``sources`` (``caption``, ``metadata.<column>``) of every image to the metadata
    column ``to``.

    An image that has one of the texts gets exactly the hashtags in them, or loses the column; one that has
    none is left alone. Ctrl-C and ``stop`` end it after the page under way; again completes it. ``NotFound``
    (category), ``BadRequest``.
    """
    known = runtime.catalog.get(category).indexes
    columns = {source: _column(source, known) for source in dict.fromkeys(sources)}
    target = _column(to, known)
    if target is None or target in columns.values():
        raise BadRequest(
            f"Hashtags go to a metadata column of their own, such as metadata.{FIELD}, not to {to!r}.",
            field=to,
        )
    report = HashtagReport(category, list(columns), field_path(_METADATA, target))
    if not columns:
        raise BadRequest("Name the text: caption or metadata.COLUMN.")
    indexes = runtime.catalog.ensure_indexes(category, {report.field: "keyword"}).indexes
    if indexes.get(report.field) != "keyword":
        held = indexes.get(report.field)
        why = f"it holds {HELD[held]}" if held else "the category has all the columns it may index"
        raise BadRequest(f"{to!r} cannot be searched for words, as {why}: name another column.", field=to)
    job = _Job(
        runtime,
        report,
        columns,
        target,
        stop or threading.Event(),
        watch(f"hashtags of {category}") if watch else None,
    )
    started = time.perf_counter()
    try:
        apart(job.run, job.stop)
    except InterruptedError:
        report.interrupted = True
    finally:
        report.seconds = round(time.perf_counter() - started, 3)
        report.hashtags, report.different = job.counts.most_common(20), len(job.counts)
        if job.progress:
            job.progress.finish(report)
    return report


@dataclass(eq=False)
class _Job:
    runtime: Runtime
    report: HashtagReport
    columns: dict[str, str | None]
    target: str
    stop: threading.Event
    progress: Progress | None
    counts: Counter[str] = made(default_factory=Counter)

    def run(self) -> None:
        writer = PayloadWriter(self.runtime, self.report.category, key=_METADATA)
        if self.progress:
            self.progress.start(self.runtime.vectors.count(self.report.category))
        cursor: str | None = None
        try:
            while True:
                cursor = self._page(writer, cursor)
                if self.progress:
                    self.progress.update(self.report)
                if cursor is None:
                    return
                if self.stop.is_set():
                    raise InterruptedError
        finally:
            writer.flush()

    def _page(self, writer: PayloadWriter, cursor: str | None) -> str | None:
        """One page, read and written back while nobody else of this process writes; where the next begins."""
        name = self.report.category
        with self.runtime.catalog.writing(name):
            page = self.runtime.vectors.scroll(
                name, limit=PAGE, cursor=cursor, with_payload=("caption", _METADATA)
            )
            updates: dict[str, Payload] = {}
            remove: dict[str, tuple[str, ...]] = {}
            for hit in page.hits:
                self._judge(hit, updates, remove)
            self.report.updated += writer.write(updates, remove)
        return page.cursor

    def _judge(self, hit: Hit, updates: dict[str, Payload], remove: dict[str, tuple[str, ...]]) -> None:
        metadata = hit.payload.get(_METADATA, {})
        texts = [
            hit.payload.get("caption") if column is None else metadata.get(column)
            for column in self.columns.values()
        ]
        self.report.images += 1
        if all(text is None for text in texts):
            return
        found, held = hashtags_of(texts), metadata.get(self.target)
        self.report.with_text += 1
        self.report.with_hashtags += bool(found)
        self.counts.update(found)
        if found and found != held:
            updates[hit.id] = {self.target: found}
        elif held is not None and not found:
            remove[hit.id] = (self.report.field,)


def _column(name: str, known: Container[str]) -> str | None:
    """The metadata column of a field; None for the caption. ``BadRequest`` for any other."""
    if name == "caption":
        return None
    first, _, column = name.partition(".")
    if first != _METADATA or not column:
        raise BadRequest(
            f"{name!r} is no text that hashtags are found in: name caption or metadata.COLUMN.", field=name
        )
    return clean_name(path_keys(find_member(_METADATA, column, known))[-1])
