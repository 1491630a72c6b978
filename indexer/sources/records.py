"""The protocol of sources, and what a source knows about an image before its file is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vitrine.services.domain import Embedding, IndexKind

ADOPTED = "adopted"
"""Revision of an encoder that exists only by its vectors, taken over from another system: it cannot encode
anything."""
FILES_AT_ONCE = 4
"""Files of a disk that are read at once."""


@dataclass(frozen=True)
class Refusal:
    """Why an image is not indexed: ``reason`` is one of ``vitrine.services.errors.REFUSALS``."""

    reason: str
    message: str


def no_bytes() -> bytes:
    """Return no bytes: the ``read`` of a record that is refused already."""
    return b""


@dataclass(frozen=True)
class ImageRecord:
    """One image that a source offers.

    ``source`` names where it came from (a folder's or file's own name, never a path on the server);
    ``filename`` is its relative POSIX path or member name, shown and never opened. ``read`` gives the bytes;
    it may raise ``OSError`` or ``ImageRefused`` and may run on another thread. ``fields``: class, caption,
    quality and what else is in ``vitrine.services.category.fields.SAID``, by name. ``scores`` are in 0..1,
    ``created_at`` is RFC 3339 in UTC. ``vectors`` are adopted as they are (unit length), by named vector.
    ``folders``: those that tags and class may come from, where they are not simply the folders of
    ``filename``. ``url``: where it is downloaded from, in normal form. ``refusal``: the source knows
    already that the image cannot be indexed.
    """

    source: str
    filename: str
    read: Callable[[], bytes] = no_bytes
    tags: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: str | None = None
    vectors: Mapping[str, Embedding] = field(default_factory=dict)
    folders: tuple[str, ...] | None = None
    url: str | None = None
    refusal: Refusal | None = None

    def refused(self, reason: str, message: str) -> ImageRecord:
        """Return the same image, refused."""
        return ImageRecord(self.source, self.filename, refusal=Refusal(reason, message))


class Source(ABC):
    """Images to be indexed, in a stable order. Read lazily: nothing is opened before it is asked for.

    ``indexes`` are the payload indexes that its columns ask for, known for the whole source before its first
    record.
    """

    name: str
    indexes: Mapping[str, IndexKind]

    @abstractmethod
    def __iter__(self) -> Iterator[ImageRecord]: ...

    @property
    def total(self) -> int | None:
        """Return how many records there will be, where that is cheaply known. Files without an image
        extension are not counted."""
        return None

    @property
    def readers(self) -> int:
        """Return how many of its files are well read at once."""
        return FILES_AT_ONCE

    def notes(self) -> list[str]:
        """Return what a user should know after the last record, such as how many files were no pictures."""
        return []

    @property
    def skipped(self) -> Mapping[str, int]:
        """Return how many files were not offered so far, by reason: see ``skipped.py``."""
        return {}


class DescribedSource(Source):
    """The base of sources that say more about the images of another source. Refused images pass unchanged."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name, self.indexes = source.name, source.indexes

    def __iter__(self) -> Iterator[ImageRecord]:
        for record in self._source:
            yield record if record.refusal else self._described(record)

    @property
    def total(self) -> int | None:
        return self._source.total

    @property
    def readers(self) -> int:
        return self._source.readers

    def notes(self) -> list[str]:
        return self._source.notes()

    @property
    def skipped(self) -> Mapping[str, int]:
        return self._source.skipped

    @abstractmethod
    def _described(self, record: ImageRecord) -> ImageRecord:
        """Return the record with what is said in addition."""
