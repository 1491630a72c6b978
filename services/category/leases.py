"""Turns among programs of several machines, by leases that lie in the object store."""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from vitrine.services.errors import Conflict, NotFound, VitrineError
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.keys import TURNS

RENEWED_SECONDS: Final = 3.0
"""Who holds a lease writes it anew so often."""
DEAD_SECONDS: Final = 15.0
"""A lease that nobody has written anew for so long is taken over: its holder has died."""
_FREE: Final = b"free"
_LONGEST_WAIT_SECONDS: Final = 0.1
_log = logging.getLogger("vitrine.turns")


class Leases:
    """A lease for each category, an object that programs change by conditional writes: of those that ask at
    the same moment one gets it.

    No clocks are compared: a holder is taken for dead when the object stays the same for ``dead_seconds`` by
    the clock of the one that waits. A holder that was stopped for longer and goes on then has lost its lease
    without knowing it; that is logged. Taking and giving back cost a request each.
    """

    def __init__(
        self,
        objects: ObjectStore,
        *,
        renewed_seconds: float = RENEWED_SECONDS,
        dead_seconds: float = DEAD_SECONDS,
    ) -> None:
        self._objects = objects
        self._renewed_seconds = renewed_seconds
        self._dead_seconds = dead_seconds
        self._free: dict[str, str] = {}

    @contextmanager
    def take(self, category: str) -> Iterator[None]:
        """Wait for the lease of a category, and hold it inside the block. ``Unavailable`` if the object store
        cannot be reached."""
        key = TURNS + category
        held = _Held(self._objects, key, self._acquired(key), self._renewed_seconds)
        try:
            yield
        finally:
            held.give_back()

    def _acquired(self, key: str) -> str:
        """Return the version of the lease once it is ours. Most often it is as free as it was the last time:
        then one write is all."""
        version, waited = self._free.get(key), 0
        while True:
            try:
                return _replaced(self._objects, key, _mine(), version)
            except Conflict:
                # those that have just met wait for different times, so that they do not meet again
                waited += 1
                time.sleep(random.uniform(0, min(_LONGEST_WAIT_SECONDS, 0.005 * waited)))
            version = self._next_free(key)

    def _next_free(self, key: str) -> str | None:
        """Return the version by which a lease can be taken, once nobody holds it; None: there is none yet."""
        seen, since = "", 0.0
        while True:
            try:
                data, version = self._objects.read(key)
            except NotFound:
                return None
            if data == _FREE:
                self._free[key] = version
                return version
            if version != seen:
                seen, since = version, time.monotonic()
            elif time.monotonic() - since > self._dead_seconds:
                _log.warning("%s: its holder has not been heard of for %s s", key, self._dead_seconds)
                return version
            time.sleep(random.uniform(0.2, 1.0) * _LONGEST_WAIT_SECONDS)


class _Held:
    """A lease that is held, and written anew now and then until it is given back."""

    def __init__(self, objects: ObjectStore, key: str, version: str, renewed_seconds: float) -> None:
        self._objects, self._key, self._version = objects, key, version
        self._seconds = renewed_seconds
        self._mutex = threading.Lock()
        self._ended = False
        self._wait()

    def _wait(self) -> None:
        self._timer = threading.Timer(self._seconds, self._renew)
        self._timer.daemon = True
        self._timer.start()

    def _renew(self) -> None:
        with self._mutex:
            self._write(_mine())
            if not self._ended:
                self._wait()

    def give_back(self) -> None:
        with self._mutex:
            self._timer.cancel()
            self._write(_FREE)
            self._ended = True

    def _write(self, data: bytes) -> None:
        if self._ended:
            return
        try:
            self._version = _replaced(self._objects, self._key, data, self._version)
        except Conflict:
            self._ended = True
            _log.error(
                "%s was taken over while it was held: this program was stopped for too long. What both "
                "changed at that moment may be lost.",
                self._key,
            )
        except VitrineError as error:  # tried again, or taken over once it has not been written for long
            _log.warning("%s could not be written: %s", self._key, error)


def _replaced(objects: ObjectStore, key: str, data: bytes, version: str | None) -> str:
    """Replace an object and return its version. A client that had no answer writes again by itself, and is
    told then that another was faster: it was itself, where the object is what it wrote."""
    try:
        return objects.replace(key, data, version)
    except Conflict:
        with suppress(NotFound):
            present, now = objects.read(key)
            if present == data:
                return now
        raise


def _mine() -> bytes:
    return secrets.token_hex(16).encode()
