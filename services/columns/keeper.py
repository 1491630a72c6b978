"""The columns of one category, read in the background and kept as the collection is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from vitrine.services.columns.reading import Snapshot, caught_up, read_again
from vitrine.services.domain import IndexKind
from vitrine.services.errors import Unavailable, VitrineError
from vitrine.services.vector_store.base import VectorStore
from vitrine.services.vector_store.changes import Version

Kinds = Mapping[str, IndexKind]
PATIENCE_SECONDS: Final = 0.25
"""How long a query waits for columns before the engine counts in their place."""
BELIEVED_SECONDS: Final = 10.0
"""How long columns are believed where other processes may write; or ten times as long as reading takes."""
_TRIES: Final = 4
_EXTRA: Final = 16
"""Fields beyond the usual ones that are read on, since somebody asked for them."""
_log = logging.getLogger("vitrine.columns")


@dataclass(eq=False)
class _Reading:
    """A reading under way. ``error``: why it has failed, once it is ``done``."""

    done: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


class Keeper:
    """Thread-safe. One thread reads at a time, and lives as long as it reads."""

    def __init__(self, vectors: VectorStore, collection: str) -> None:
        self._vectors, self._collection = vectors, collection
        self._lock = threading.Lock()
        self._held: Snapshot | None = None
        self._extra: dict[str, IndexKind] = {}
        self._reading: _Reading | None = None
        self._read_at = self._seconds = self._not_before = 0.0

    @property
    def held(self) -> Snapshot | None:
        """The latest snapshot, whatever has changed since."""
        return self._held

    def snapshot(self, wanted: Kinds, usual: Kinds, patience: float | None) -> Snapshot | None:
        """Return the columns of the fields ``wanted`` as the collection is now; None if they cannot be had
        within ``patience`` seconds (None: however long it takes), or change faster than they are read.

        A reading takes the ``usual`` fields as well. Raises what the reading has raised.
        """
        deadline = None if patience is None else time.monotonic() + patience
        target: Version | None = None
        for _ in range(_TRIES):
            held = self._held
            changes = self._vectors.changes(self._collection, None if held is None else held.version)
            if target is None or target.epoch != changes.version.epoch:
                target = changes.version
            if held is not None and held.table.has(wanted) and (changes.ids == () or held.is_at(target)):
                if not changes.complete and self._is_old():
                    self._begin(wanted, usual, again=True)  # for the next one who asks
                return held
            reading = self._begin(wanted, usual)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if reading is None or not reading.done.wait(left):
                return None
            if reading.error is not None:
                raise reading.error
        return None

    def begin(self, usual: Kinds) -> None:
        """Begin to read, unless the columns are there."""
        if self._held is None:
            self._begin({}, usual)

    def _is_old(self) -> bool:
        return time.monotonic() - self._read_at > max(BELIEVED_SECONDS, 10 * self._seconds)

    def _begin(self, wanted: Kinds, usual: Kinds, *, again: bool = False) -> _Reading | None:
        """Return the reading that is under way, or begins now; None where the last one was overtaken by
        changes just now."""
        with self._lock:
            asked = {**self._extra, **{name: kind for name, kind in wanted.items() if name not in usual}}
            self._extra = dict(list(asked.items())[-_EXTRA:])
            if self._reading is None:
                if time.monotonic() < self._not_before:
                    return None
                self._reading = _Reading()
                kinds = {**self._extra, **usual, **wanted}
                threading.Thread(
                    target=self._run,
                    args=(self._reading, kinds, wanted, again),
                    name="vitrine-columns",
                    daemon=True,
                ).start()
            return self._reading

    def _run(self, reading: _Reading, kinds: Kinds, wanted: Kinds, again: bool) -> None:
        try:
            self._read(kinds, wanted, again)
        except VitrineError as error:
            reading.error = error
        except Exception as error:
            _log.exception("the columns of %s cannot be read", self._collection)
            reading.error = Unavailable(
                f"The columns of category {self._collection!r} cannot be read: see the server's log."
            )
            reading.error.__cause__ = error
        finally:
            with self._lock:
                self._reading = None
            reading.done.set()

    def _read(self, kinds: Kinds, wanted: Kinds, again: bool) -> None:
        held = self._held
        if held is not None and held.table.has(wanted) and not again:
            changes = self._vectors.changes(self._collection, held.version)
            revised = caught_up(self._vectors, self._collection, held, changes)
            if revised is not None:
                self._held = revised
                return
        started = time.monotonic()
        found = read_again(self._vectors, self._collection, kinds, held)
        self._seconds = time.monotonic() - started
        self._read_at = time.monotonic()
        if self._vectors.changes(self._collection, found.version).ids is None:
            self._not_before = self._read_at + self._seconds  # a job writes faster than this reads
        self._held = found
        _log.debug(
            "%d columns of %d images of %s read in %.2f s",
            len(kinds), len(found.table), self._collection, self._seconds,
        )  # fmt: skip
