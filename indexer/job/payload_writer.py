"""Changes of payloads on their way to the store, a page at a time, for jobs that would do their work
again."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vitrine.services.domain import Payload
from vitrine.services.errors import NotFound
from vitrine.services.runtime import Runtime

if TYPE_CHECKING:
    from qdrant_client.models import Filter

PAGE = 500
"""Images read and written at a time. Whoever edits an image meanwhile waits for as long: a fraction of a
second."""
FLUSH_EVERY = 20_000
"""Images between two flushes: what a power failure undoes, the next run does again."""


class PayloadWriter:
    """Writes to the images of one category, durable at the latest after ``flush``. The caller holds
    ``catalog.writing``.

    ``key``: the object of the payload that fields are set in, such as ``metadata``.
    """

    def __init__(self, runtime: Runtime, category: str, *, key: str | None = None) -> None:
        self._vectors = runtime.vectors
        self._category = category
        self._key = key
        self._waiting = 0

    def write(
        self, updates: Mapping[str, Payload], remove: Mapping[str, tuple[str, ...]] | None = None
    ) -> int:
        """Set fields, and ``remove`` field paths, by image id. How many images were still there."""
        left, gone = dict(updates), dict(remove or {})
        while left or gone:
            try:
                self._apply(left, gone)
                break
            except NotFound:  # some were deleted since they were read
                ids = list(dict.fromkeys((*left, *gone)))
                hits = self._vectors.retrieve(self._category, ids, with_payload=False)
                there = {hit.id for hit in hits if hit is not None}
                if len(there) == len(ids):
                    raise
                left = {id: update for id, update in left.items() if id in there}
                gone = {id: fields for id, fields in gone.items() if id in there}
        written = len({*left, *gone})
        self._waiting += written
        if self._waiting >= FLUSH_EVERY:
            self.flush()
        return written

    def flush(self) -> None:
        """Make all of it durable."""
        if self._waiting:
            self._vectors.flush(self._category)
            self._waiting = 0

    def _apply(self, updates: Mapping[str, Payload], remove: Mapping[str, tuple[str, ...]]) -> None:
        alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for id, fields in remove.items():
            alike[fields].append(id)
        for fields, ids in alike.items():
            self._vectors.delete_payload(self._category, ids, fields)
        if updates:
            self._vectors.set_payload(self._category, updates, key=self._key, durable=False)


def erase_field(
    runtime: Runtime, category: str, field: str, inside: Filter, *, stop: threading.Event | None = None
) -> bool:
    """Take a field path away from all images, which ``inside`` finds as long as they have it, a page at a
    time.

    False if ``stop`` came before the end: again goes on.
    """
    writer = PayloadWriter(runtime, category)
    while not (stop and stop.is_set()):
        with runtime.catalog.writing(category):
            page = runtime.vectors.scroll(category, filter=inside, limit=PAGE, with_payload=False)
            writer.write({}, {hit.id: (field,) for hit in page.hits})
        if not page.hits:
            return True
    return False
