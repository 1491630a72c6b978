"""Images that lie in the object store already, under a prefix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from indexer.records import ImageRecord, Source
from indexer.sources.base import (
    HEAD,
    Passed,
    SourceOptions,
    has_image_extension,
    is_hidden,
    looks_like_image,
    shown_name,
    too_large,
)
from indexer.sources.joining import refused
from services.object_store.base import ObjectStat, ObjectStore

SCHEME = "objects:"


class ObjectsSource(Source):
    """Every picture under a prefix of the object store, in order of key; the rule of ``FolderSource`` says which are pictures."""

    def __init__(self, prefix: str, options: SourceOptions, objects: ObjectStore) -> None:
        self._prefix = prefix
        self._objects = objects
        self._max_bytes = options.max_bytes
        self._passed = Passed()
        self.name = SCHEME + prefix
        self.indexes = {}

    def __iter__(self) -> Iterator[ImageRecord]:
        for stat in self._objects.list(self._prefix):
            if is_hidden(stat.key):
                continue
            record = self._record(stat)
            if record.refusal or has_image_extension(stat.key) or self._begins_as_image(stat):
                yield record
            else:
                self._passed.add(stat.key)

    def notes(self) -> list[str]:
        return self._passed.notes()

    def _record(self, stat: ObjectStat) -> ImageRecord:
        created = stat.modified.isoformat(timespec="seconds")
        record = ImageRecord(self.name, shown_name(stat.key), lambda: self._objects.get(stat.key), created_at=created)
        if stat.size > self._max_bytes and has_image_extension(stat.key):
            error = too_large(stat.key, self._max_bytes)
            return refused(record, error.reason, error.message)
        return record

    def _begins_as_image(self, stat: ObjectStat) -> bool:
        """Objects have no cheap beginning: only those without any extension are read for it."""
        unnamed = not PurePosixPath(stat.key).suffix and stat.size <= self._max_bytes
        return unnamed and looks_like_image(self._objects.get(stat.key)[:HEAD])
