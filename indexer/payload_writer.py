"""Changes of payloads on their way to the store, a page at a time, for jobs that would do their work again."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from services.domain import Payload
from services.errors import NotFound
from services.runtime import Runtime

PAGE = 500
"""Images read and written at a time. Whoever edits an image meanwhile waits for as long: a fraction of a second."""
FLUSH_EVERY = 20_000
"""Images between two flushes: what a power failure undoes, the next run does again."""


class PayloadWriter:
    """Writes to the images of one category, durable at the latest after ``flush``. The caller holds ``catalog.writing``.

    ``key``: the object of the payload that fields are set in, such as ``metadata``.
    """

    def __init__(self, runtime: Runtime, category: str, *, key: str | None = None) -> None:
        self._vectors = runtime.vectors
        self._category = category
        self._key = key
        self._waiting = 0

    def write(self, updates: Mapping[str, Payload], remove: Mapping[str, tuple[str, ...]] | None = None) -> int:
        """Set fields, and ``remove`` field paths, by image id. How many images were still there."""
        left, gone = dict(updates), dict(remove or {})
        while left or gone:
            try:
                self._apply(left, gone)
                break
            except NotFound as error:  # deleted since they were read
                ids = error.details.get("ids")
                kept = {id for id in (*left, *gone) if not isinstance(ids, list) or id not in ids}
                if len(kept) == len({*left, *gone}):
                    raise
                left = {id: update for id, update in left.items() if id in kept}
                gone = {id: fields for id, fields in gone.items() if id in kept}
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


def apart(work: Callable[[], object], stop: threading.Event) -> None:
    """Run ``work`` on another thread: Ctrl-C, which reaches this one, sets ``stop`` and waits for the page under way.

    Work that ends itself where ``stop`` is set raises ``InterruptedError``; so does this, for Ctrl-C.
    """
    with ThreadPoolExecutor(1, "payloads") as pool:
        done = pool.submit(work)
        try:
            done.result()
        except KeyboardInterrupt:
            stop.set()
            raise InterruptedError from None
