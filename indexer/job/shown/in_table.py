"""How far a job is, written into the table of jobs by its own process."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from vitrine.indexer.job.progress import Counts, StageState
from vitrine.services.errors import VitrineError
from vitrine.services.jobs.job import VARIABLE
from vitrine.services.jobs.table import JobTable

SECONDS: Final = 0.25
"""No sooner than this after the last time is anything written, but for the beginning and the end of a
stage."""


class TableProgress:
    """Hands on what changes to ``write``, at most four times a second."""

    def __init__(
        self, write: Callable[[dict[str, Any]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._mutex = threading.Lock()
        self._state, self._said = StageState(), ""
        self._written = -SECONDS

    def start(self, stage: str, total: int | None) -> None:
        with self._mutex:
            self._state, self._said = StageState(stage, total), ""
            self._tell()

    def update(self, report: Counts) -> None:
        with self._mutex:
            self._state.see(report, self._clock())
            self._said = ""
            if self._clock() - self._written >= SECONDS:
                self._tell()

    def say(self, text: str) -> None:
        with self._mutex:
            self._said = text
            self._tell()

    def finish(self, report: Counts) -> None:
        with self._mutex:
            self._state.see(report, self._clock())
            self._tell()

    def _tell(self) -> None:
        self._written = self._clock()
        self._write({**self._state.to_json(), "said": self._said})


def progress_of_this_job() -> TableProgress:
    """Return the progress of the job that this process is an attempt at. What cannot be written does not end
    the work."""
    id, attempt, data = os.environ[VARIABLE].split("/", 2)
    table: JobTable | None = None

    def write(progress: dict[str, Any]) -> None:
        nonlocal table
        try:
            table = table or JobTable(Path(data) / "jobs.sqlite")
            table.progress(id, int(attempt), progress)
        except VitrineError as error:
            print(f"Its progress cannot be shown: {error.message}", file=sys.stderr, flush=True)

    return TableProgress(write)
