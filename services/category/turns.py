"""Whose turn it is to change the images of a category, among the threads of a program and among programs."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import quote

from vitrine.services.files import locked


class Turns:
    """One writer at a time for each category. A program that is killed gives its turn up.

    ``among_programs`` is given a category and keeps other programs out inside a block, as `lock_file` and
    ``Leases.take`` do; None: only the threads of this program take turns.
    """

    def __init__(self, among_programs: Callable[[str], AbstractContextManager[object]] | None = None) -> None:
        self._among_programs = among_programs
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
                if self._among_programs is None or self._depth[category] > 1:
                    yield
                else:
                    with self._among_programs(category):
                        yield
            finally:
                self._depth[category] -= 1


@contextmanager
def lock_file(folder: Path, category: str) -> Iterator[None]:
    """Keep other programs of this machine out, by a file of the folder for each category."""
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / quote(category, safe=""), os.O_RDWR | os.O_CREAT):
        yield
