"""What was downloaded once is not downloaded again: images that a category has from a URL are read from the
object store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.domain import Payload
from vitrine.services.errors import NotFound
from vitrine.services.images.open import content_hash
from vitrine.services.object_store.base import ObjectStore

LOOKED_UP = 64
"""URLs looked up at a time."""
Known = Callable[[Sequence[str]], Mapping[str, Payload]]
"""Gives ``sha256`` and ``object_key`` of the images that came from these URLs, by URL."""


def without_known(
    records: Iterable[ImageRecord], known: Known, objects: ObjectStore
) -> Iterator[ImageRecord]:
    """Yield the records in their order. Those of URLs that the category has an image of read its bytes from
    the object store, so that they take the way of every image that is there already: what is said of them is
    added, and a vector that is missing is made. A file that was lost there, or is damaged, is downloaded."""
    waiting: list[ImageRecord] = []
    try:
        for record in records:
            if record.url is None and not waiting:
                yield record
                continue
            waiting.append(record)
            if len(waiting) >= LOOKED_UP:
                full, waiting = waiting, []
                yield from _looked_up(full, known, objects)
    except Exception:
        yield from _looked_up(waiting, known, objects)  # what a source gave before it failed
        raise
    yield from _looked_up(waiting, known, objects)


def _looked_up(records: list[ImageRecord], known: Known, objects: ObjectStore) -> Iterator[ImageRecord]:
    urls = [record.url for record in records if record.url is not None and record.refusal is None]
    found = known(urls) if urls else {}
    for record in records:
        payload = found.get(record.url or "")
        if payload is None:
            yield record
        else:
            yield replace(record, read=_from_store(record, payload, objects))


def _from_store(record: ImageRecord, payload: Payload, objects: ObjectStore) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            data = objects.get(payload["object_key"])
        except NotFound:
            return record.read()
        return data if content_hash(data) == payload["sha256"] else record.read()

    return read
