"""Whose turn it is to change the images of a category, among the threads of a program and among programs."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from vitrine.services.files import locked


class Turns:
    """One writer at a time for each category. A program that is killed gives its turn up.

    ``folder`` holds a file for each category, which programs of this machine lock; None: there is no folder
    that they share, and only the threads of this program take turns.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._mutex = threading.Lock()
        self._threads: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._depth: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def take(self, category: str) -> Iterator[None]:
        """Wait for the turn, and have it inside the block. A thread that has it may take it again."""
        with self._mutex:
            turn = self._threads[category]
        with turn:
            self._depth[category] += 1
            try:
                if self._folder is None or self._depth[category] > 1:
                    yield
                else:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    with locked(self._folder / quote(category, safe=""), os.O_RDWR | os.O_CREAT):
                        yield
            finally:
                self._depth[category] -= 1
