"""Splits the hashtags of stored texts off into a metadata column of their own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from dataclasses import field as made
from typing import Any

from vitrine.indexer.job.job import Job, Report
from vitrine.indexer.job.payload_writer import Change
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.sources.hashtags import FIELD, hashtags_of
from vitrine.services.category.field_names import find_member
from vitrine.services.category.payload import clean_name
from vitrine.services.domain import Hit
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime
from vitrine.services.values.field_paths import field_path, path_keys
from vitrine.services.values.kinds import HELD

_METADATA = "metadata"


@dataclass
class HashtagReport(Report):
    """The hashtags that were found: ``images`` were looked at, ``with_text`` have the text, ``with_hashtags``
    a hashtag in it, ``updated`` others than before.

    ``hashtags``: the most frequent ones and how many images have each; ``different``: how many there are.
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

    def to_json(self) -> dict[str, Any]:
        most = [{"value": word, "count": count} for word, count in self.hashtags]
        return super().to_json() | {"hashtags": most, "interrupted": self.interrupted}

    def summary(self) -> str:
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
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> HashtagReport:
    """Write the hashtags in ``sources`` (``caption``, ``metadata.<column>``) of every image to the metadata
    column ``to``.

    An image that has one of the texts gets exactly the hashtags in them, or loses the column; an image
    without the texts stays as it is. Ctrl-C and ``stop`` end it after the present page; the same call again
    completes it. ``NotFound`` (category), ``BadRequest``.
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
        why = f"it holds {HELD[held]}" if held else "the category indexes as many columns as it can"
        raise BadRequest(f"{to!r} cannot be searched for words, since {why}: name another column.", field=to)
    job, counts = Job(runtime, category, report, progress, stop), Counter[str]()

    def change(hit: Hit) -> Change:
        metadata = hit.payload.get(_METADATA, {})
        caption = hit.payload.get("caption")
        texts = [caption if column is None else metadata.get(column) for column in columns.values()]
        report.images += 1
        if all(text is None for text in texts):
            return Change()
        found, held = hashtags_of(texts), metadata.get(target)
        report.with_text += 1
        report.with_hashtags += bool(found)
        counts.update(found)
        if found and found != held:
            return Change({target: found})
        return Change(delete=(report.field,)) if held is not None and not found else Change()

    def count(read: int, written: int) -> None:
        report.updated += written

    with job.running():
        job.revise(
            f"hashtags of {category}",
            lambda hits: {hit.id: change(hit) for hit in hits},
            fields=("caption", _METADATA),
            key=_METADATA,
            wrote=count,
        )
    report.hashtags, report.different = counts.most_common(20), len(counts)
    return report


def _column(name: str, known: Container[str]) -> str | None:
    """Return the metadata column of a field; None for the caption. ``BadRequest`` for any other field."""
    if name == "caption":
        return None
    first, _, column = name.partition(".")
    if first != _METADATA or not column:
        raise BadRequest(
            f"{name!r} is not a text with hashtags: name caption or metadata.COLUMN.", field=name
        )
    return clean_name(path_keys(find_member(_METADATA, column, known))[-1])
