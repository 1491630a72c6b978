"""A source whose images all get the same tags, besides their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from vitrine.indexer.sources.records import ImageRecord, Source
from vitrine.services.category.payload import clean_tags, unite_tags


class TaggedSource(Source):
    """``source`` with ``tags`` on every image."""

    def __init__(self, source: Source, tags: Sequence[str]) -> None:
        self._source = source
        self._tags = clean_tags(tags)
        self.name, self.indexes = source.name, source.indexes

    def __iter__(self) -> Iterator[ImageRecord]:
        for record in self._source:
            yield (
                record if record.refusal else replace(record, tags=tuple(unite_tags(record.tags, self._tags)))
            )

    @property
    def total(self) -> int | None:
        return self._source.total

    def notes(self) -> list[str]:
        return self._source.notes()
