"""Which points of a collection were changed since a moment: for those who keep a copy of the payloads."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

REMEMBERED: Final = 20_000
"""Points that a log remembers: whoever has missed more reads the collection again."""


class Version(NamedTuple):
    """A state of a collection's payloads. ``number`` counts writes within an ``epoch``; numbers of two epochs
    say nothing about each other."""

    epoch: str
    number: int


@dataclass(frozen=True)
class Changes:
    """What has happened to the payloads of a collection up to ``version``.

    ``ids``: the points that were written or deleted since; None: too many, or nobody knows.
    ``complete``: no write can be missing. On a server, other processes may have written as well.
    """

    version: Version
    ids: tuple[str, ...] | None
    complete: bool


class ChangeLog:
    """Counts the writes to the payloads of one collection, and remembers the points that were written last.
    Thread-safe."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._epoch = secrets.token_hex(8)
        self._number = 0
        self._forgotten = 0
        self._last: dict[str, int] = {}
        self._remembered = remembered
        self._lock = threading.Lock()

    def note(self, ids: Iterable[str]) -> None:
        """Count a write to these points, which readers see by now."""
        with self._lock:
            self._number += 1
            for id in ids:
                self._last.pop(id, None)  # in order of the last write
                self._last[id] = self._number
            while len(self._last) > self._remembered:
                self._forgotten = self._last.pop(next(iter(self._last)))

    def since(self, version: Version | None, *, complete: bool) -> Changes:
        """Return what has changed since ``version``."""
        with self._lock:
            now = Version(self._epoch, self._number)
            if version is None or version.epoch != self._epoch or version.number < self._forgotten:
                return Changes(now, None, complete)
            ids = []
            for id, number in reversed(self._last.items()):
                if number <= version.number:
                    break
                ids.append(id)
            return Changes(now, tuple(ids), complete)
