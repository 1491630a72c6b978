"""Changes of scores on their way to the store, and all images of a category on the way from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from vitrine.indexer.enrich.scores.score_payload import FIELDS, Change
from vitrine.services.domain import Hit
from vitrine.services.errors import NotFound
from vitrine.services.runtime import Runtime

BATCH = 500
"""Images read and written at a time. Whoever edits an image meanwhile waits for as long: under a second."""
FLUSH_EVERY = 20_000
"""Images between two flushes. With fifty indexes a flush takes a second or more whatever it holds, and nobody
is answered meanwhile; what a power failure undoes, the next run does again."""


class ScoreWriter:
    """Writes changes to the images of one category, durable at the latest after ``flush``. One thread at a
    time."""

    def __init__(self, runtime: Runtime, category: str) -> None:
        self._vectors = runtime.vectors
        self._catalog = runtime.catalog
        self._category = category
        self._waiting = 0

    def revise(
        self,
        cursor: str | None,
        changes: Callable[[tuple[Hit, ...]], Mapping[str, Change]],
        batch: int = BATCH,
    ) -> tuple[int, int, str | None]:
        """One page of images: read, told to ``changes``, written back, while nobody else of this process
        writes.

        How many were read, how many changed, and where the next page begins (None: there is none).
        """
        with self._catalog.writing(self._category):
            page = self._vectors.scroll(self._category, limit=batch, cursor=cursor, with_payload=FIELDS)
            wanted = {id: change for id, change in changes(page.hits).items() if change}
            written = self._write(wanted)
        if self._waiting >= FLUSH_EVERY:
            self.flush()
        return len(page.hits), written, page.cursor

    def flush(self) -> None:
        """Make all of it durable."""
        if self._waiting:
            self._vectors.flush(self._category)
            self._waiting = 0

    def _write(self, changes: Mapping[str, Change]) -> int:
        """Write to the images that are still there; how many that were."""
        left = dict(changes)
        while left:
            try:
                self._apply(left)
                break
            except NotFound as error:  # another process deleted some since they were read
                gone = error.details.get("ids")
                kept = {
                    id: change for id, change in left.items() if not isinstance(gone, list) or id not in gone
                }
                if len(kept) == len(left):
                    raise
                left = kept
        self._waiting += len(left)
        return len(left)

    def _apply(self, changes: Mapping[str, Change]) -> None:
        alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
        for id, change in changes.items():
            alike[change.delete].append(id)
        for fields, ids in alike.items():
            if fields:  # before the rest: a score may go before the word on who gave it, not after
                self._vectors.delete_payload(self._category, ids, fields)
        self._vectors.set_payload(
            self._category, {id: change.set for id, change in changes.items() if change.set}, durable=False
        )
