"""A cache of the small objects that queries need: read again after a second, and answered from memory while
the store is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from vitrine.services.errors import NotFound, Unavailable, VitrineError
from vitrine.services.object_store.base import ObjectStore

FRESH_SECONDS = 1.0
"""What was read is used for this long before it is read again, since another process may have changed it: a
query should not pay for a read each time."""
PATIENCE_SECONDS = 0.25
"""A reader waits for this long before it is answered from memory: a store that hangs does not hold up the
queries."""
CLOSE_SECONDS = 1.0
_log = logging.getLogger("vitrine.objects")
T = TypeVar("T")


@dataclass
class _Entry:
    """What was read of an object: ``data`` is None where the store has no such object. ``value`` is what the
    reader made of it."""

    data: bytes | None
    read: float
    value: Any = None


@dataclass(frozen=True)
class _Reading:
    started: float
    done: threading.Event


class Known:
    """A cache of small objects of an object store. Thread-safe.

    What was read once is answered from memory from then on. What is older than a second is read again by one
    thread, which lives as long as there is something to read; readers wait for it a moment and no longer. So
    a store that hangs or is gone holds up nobody, costs one thread, and is noticed when it is back.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._readings: dict[str, _Reading] = {}
        self._thread: threading.Thread | None = None
        self._failed = 0.0
        self._away_since: datetime | None = None
        self._closed = False

    @property
    def away_since(self) -> datetime | None:
        """Since when the store does not answer; None while it does. What is known is as of then."""
        return self._away_since

    def read(self, key: str, parse: Callable[[bytes], T]) -> T | None:
        """Return what ``parse`` makes of an object; None if there is none. The first read of an object needs
        an answer from the store."""
        entry = self._entry(key)
        if entry.data is None:
            return None
        if entry.value is None:
            entry.value = parse(entry.data)
        value: T = entry.value
        return value

    def keys(self, prefix: str) -> list[str]:
        """Return the keys below a ``prefix`` that ends in ``/``."""
        return self.read(prefix, lambda data: data.decode().splitlines()) or []

    def put(self, key: str, data: bytes) -> None:
        """Remember an object that was just written."""
        with self._lock:
            self._entries[key] = _Entry(data, time.monotonic())

    def forget(self, key: str) -> None:
        """Ask the store for this object the next time."""
        with self._lock:
            self._entries.pop(key, None)

    def forget_all(self, prefix: str) -> None:
        """Ask the store the next time for everything below ``prefix``."""
        with self._lock:
            for key in [key for key in self._entries if key.startswith(prefix)]:
                del self._entries[key]

    def close(self) -> None:
        """Stop reading; a read that hangs is not waited for."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    def _entry(self, key: str) -> _Entry:
        entry = self._entries.get(key)
        if entry is None:
            return self._fetch(key)
        if time.monotonic() - entry.read < FRESH_SECONDS:
            return entry
        reading = self._start_reading(key)
        if reading is not None:
            reading.done.wait(max(0.0, reading.started + PATIENCE_SECONDS - time.monotonic()))
        return self._entries.get(key, entry)

    def _start_reading(self, key: str) -> _Reading | None:
        """Return the read of a key that is under way, or begins now; None if it is not worth waiting for
        one."""
        now = time.monotonic()
        with self._lock:
            if self._closed or (self._away_since and now - self._failed < FRESH_SECONDS):
                return None
            reading = self._readings.setdefault(key, _Reading(now, threading.Event()))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._read_all, name="object-store-reader", daemon=True
                )
                self._thread.start()
            return None if self._away_since else reading

    def _read_all(self) -> None:
        """Read all that has to be read, until nothing is left."""
        while True:
            with self._lock:
                key = next(iter(self._readings), None)
                if key is None or self._closed:
                    self._end_all()
                    self._thread = None
                    return
            try:
                self._fetch(key)
            except VitrineError as error:
                _log.debug("%s is not read again: %s", key, error.message)
                with self._lock:
                    self._end_all()  # the others would wait for the same silence
            else:
                with self._lock:
                    self._readings.pop(key).done.set()

    def _end_all(self) -> None:
        for reading in self._readings.values():
            reading.done.set()
        self._readings.clear()

    def _fetch(self, key: str) -> _Entry:
        before, started = self._entries.get(key), time.monotonic()
        try:
            data = self._load(key)
        except Unavailable as error:
            self._missed(error)
            raise
        entry = _Entry(data, started)
        with self._lock:
            if self._away_since:
                _log.warning("the object store answers again")
            self._away_since = None
            if before is not None and before.data == data:
                entry.value = before.value
            if self._entries.get(key) is before:  # else this process has written it meanwhile
                self._entries[key] = entry
            return self._entries.get(key, entry)

    def _load(self, key: str) -> bytes | None:
        if key.endswith("/"):
            return "\n".join(stat.key for stat in self._objects.list(key)).encode()
        try:
            return self._objects.get(key)
        except NotFound:
            return None

    def _missed(self, error: VitrineError) -> None:
        with self._lock:
            self._failed = time.monotonic()
            if self._away_since is None:
                self._away_since = datetime.now(UTC)
                _log.warning("searches go on with what is known of the object store: %s", error.message)
