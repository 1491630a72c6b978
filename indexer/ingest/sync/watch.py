"""Follow the files of a folder through an indexing run, from what is remembered to what is to be."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vitrine.indexer.ingest.sync.memory import FileSeen, Memory, Stamp, file_key, stamp_of
from vitrine.indexer.job.report import ItemOutcome

SETTLED_NS = 2_000_000_000
"""A file that was changed so recently may change once more without its time showing it: it is read again by
the next sync."""
_TRIED_AGAIN = ("unreadable_file",)
"""Refusals that cost nothing to try again, and may have ended without the file being changed."""


@dataclass(eq=False)
class _Open:
    """A file that is being read: how many of its records have no outcome yet, and what came of the others."""

    key: str
    stamp: Stamp | None
    old: FileSeen | None
    waiting: int = 0
    closed: bool = False
    images: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)


class FolderWatch:
    """The ``Watch`` of a ``FolderSource``, and an ``on_outcome`` of ``index_images``: files get into the
    memory once all of their images are durable.

    ``reread``: nothing counts as unchanged. ``retry``: files with refused pictures are read again.
    """

    def __init__(self, folder: Path, memory: Memory, clock: Callable[[], int] = time.time_ns) -> None:
        self.memory = memory
        self.reread = self.retry = False
        self.seen: set[str] = set()
        self.unseen_paths: list[str] = []
        self.unchanged_images = 0
        self.still_refused: list[tuple[str, str, str]] = []
        self.lock = threading.Lock()
        self._folder, self._clock = folder, clock
        self._current: _Open | None = None
        self._owners: deque[tuple[str, _Open | None]] = deque()

    def unchanged(self, path: str) -> tuple[str, ...] | None:
        old = None if self.reread else self.memory.files.get(file_key(path, self._folder))
        if old is None or old.stamp is None or old.stamp != stamp_of(path):
            return None
        if any(self.retry or reason in _TRIED_AGAIN for reason, _ in old.refused.values()):
            return None
        return (*old.images, *old.refused)

    def passed(self, path: str, pictures: tuple[str, ...]) -> None:
        key = file_key(path, self._folder)
        old = self.memory.files[key]
        self.seen.add(key)
        self.unchanged_images += len(old.images)
        self.still_refused += [(name, *why) for name, why in old.refused.items()]

    def begun(self, path: str) -> None:
        key, stamp = file_key(path, self._folder), stamp_of(path)
        twice = key in self.seen  # two names that are no text and look the same: neither is remembered
        settled = stamp is not None and stamp[1] + SETTLED_NS < self._clock() and not twice
        self.seen.add(key)
        self._current = _Open(key, stamp if settled else None, self.memory.files.get(key))

    def ended(self) -> None:
        with self.lock:
            ended, self._current = self._current, None
            if ended is not None:
                ended.closed = True
                self._keep(ended)

    def unseen(self, path: str) -> None:
        self.unseen_paths.append(file_key(path, self._folder))

    def offered(self, name: str) -> None:
        with self.lock:
            self._owners.append((name, self._current))
            if self._current is not None:
                self._current.waiting += 1

    def outcome(self, outcome: ItemOutcome) -> None:
        """A record has an outcome. They come in the order of the records, without those that were skipped."""
        with self.lock:
            while self._owners:
                name, owner = self._owners.popleft()
                if name == outcome.filename:
                    break
            else:
                return
            if owner is None:
                return
            owner.waiting -= 1
            if outcome.id is not None:
                owner.images[name] = outcome.id
            elif outcome.outcome == "refused":
                owner.refused[name] = (outcome.reason or "", outcome.message or "")
            self._keep(owner)

    def is_present(self, key: str) -> bool:
        """Return whether a file is there, or may be there: nobody could look."""
        return key in self.seen or any(
            path in (key, ".") or key.startswith(f"{path}/") for path in self.unseen_paths
        )

    def _keep(self, read: _Open) -> None:
        """Remember a file that is read to its end. An image whose picture was refused now stays as it was:
        a file may be half written."""
        if not read.closed or read.waiting:
            return
        images = dict(read.images)
        for name, id in read.old.images.items() if read.old else ():
            if _under_any(name, read.refused):
                images.setdefault(name, id)
        stays = set(images.values())
        for name, id in read.old.images.items() if read.old else ():
            if id not in stays:
                self.memory.waiting[id] = name
        self.memory.files[read.key] = FileSeen(read.stamp, images, read.refused)


def _under_any(name: str, refused: dict[str, tuple[str, str]]) -> bool:
    """Return whether a picture was refused, or the archive that it was in."""
    parts = name.split("/")
    return any("/".join(parts[:end]) in refused for end in range(1, len(parts) + 1))
