"""Writes are acknowledged once the engine's write-ahead log is on the disk.

The library replays its log when a shard is opened, so a synced log is all that a power cut must leave: that
is one sync, where a flush of the shard syncs every file of every index, 150 to 900 of them. Syncs run on a
thread beside the engine, and all writes that wait meanwhile share the next one (group commit).
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from vitrine.services.errors import Unavailable, VitrineError
from vitrine.services.files import sync

Done = Callable[[VitrineError | None], None]


class Log:
    """The files of a shard's write-ahead log, kept open. Used by one thread at a time."""

    def __init__(self, shard: Path) -> None:
        self._folder = shard / "wal"
        self._files: dict[int, FileIO] = {}

    def sync(self) -> None:
        """Make all that was applied durable. OSError; a log whose shard was replaced or dropped needs no
        sync."""
        there: set[int] = set()
        with suppress(FileNotFoundError):
            there = self._look()
        for file in self._files.values():
            os.fdatasync(file.fileno())
        for inode in (
            self._files.keys() - there
        ):  # only now: one may have been renamed while it was looked for
            self._files.pop(inode).close()

    def _look(self) -> set[int]:
        """Open the files that are new, and return the inodes of all. The engine renames and removes them
        meanwhile, so that a listing may lack one: it counts when nothing has changed since."""
        known, there = set(self._files), set[int]()
        before, names = [""], sorted(os.listdir(self._folder))
        while names != before:
            there = set()
            for name in names:
                with suppress(FileNotFoundError):
                    inode = os.stat(self._folder / name).st_ino
                    if inode not in self._files:
                        self._files[inode] = FileIO(self._folder / name)
                    there.add(inode)
            before, names = names, sorted(os.listdir(self._folder))
        if there - known:
            sync(self._folder)
        return there


class Commits:
    """Syncs logs on a thread, and says when. ``step`` is called by the engine's loop, which ``wake``
    wakes."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: list[tuple[Log, Done]] = []
        self._under_way = False
        self._finished: deque[tuple[list[tuple[Log, Done]], dict[int, OSError]]] = deque()
        self._batches: queue.SimpleQueue[list[tuple[Log, Done]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def add(self, log: Log, done: Done) -> None:
        """Call ``done`` once all that was applied up to now is durable, or with what went wrong."""
        self._waiting.append((log, done))

    def has_work(self) -> bool:
        """Return whether ``step`` has something to do."""
        return bool(self._finished or (self._waiting and not self._under_way))

    def step(self) -> None:
        """Tell those whose writes are durable, and begin the next sync."""
        while self._finished:
            batch, errors = self._finished.popleft()
            self._under_way = False
            for log, done in batch:
                error = errors.get(id(log))
                done(None if error is None else _failed(error))
        if self._waiting and not self._under_way:
            self._under_way = True
            self._batches.put(self._waiting)
            self._waiting = []
            if self._thread is None:
                self._thread = threading.Thread(target=self._sync_all, name="vitrine-commits", daemon=True)
                self._thread.start()

    def _sync_all(self) -> None:
        while True:
            batch = self._batches.get()
            errors: dict[int, OSError] = {}
            for log in {id(log): log for log, _ in batch}.values():
                try:
                    log.sync()
                except OSError as error:
                    errors[id(log)] = error
            self._finished.append((batch, errors))
            self._wake()


def _failed(error: OSError) -> Unavailable:
    return Unavailable(
        f"The disk refuses to make a write durable ({error.strerror}): it may be lost. Check the disk, then "
        "repeat the call."
    )
