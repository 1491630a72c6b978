"""One attempt at a job, seen from inside its process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from vitrine.services.jobs.job import VARIABLE, Job
from vitrine.services.jobs.places import JobFolder
from vitrine.services.jobs.table import JobTable

INTERRUPTED: Final = 130
GRACE_SECONDS: Final = 10.0
"""What an attempt that was asked to end has for what it has under way; then its group is killed."""
_LOCK_SECONDS: Final = 15.0
_DONE: Final = (0, 3)
"""Exit codes of work that is done; 3: some images were refused, which the report names."""


@dataclass(frozen=True)
class Outcome:
    """How the work of a job ended. ``answer``: the JSON that it printed; ``file``: name and bytes of the file
    that it made, in the folder of the job."""

    exit_code: int
    answer: Any = None
    file: tuple[str, int] | None = None


def run_attempt(data: Path, id: str, attempt: int, work: Callable[[Job, JobFolder], Outcome]) -> None:
    """Do the ``work`` of a job and write into the table how it ended.

    SIGTERM, and the end of the program that started it, which holds the other end of standard input, are to
    the work what Ctrl-C is. Nothing is done where another process is at the job, or another attempt was
    begun.
    """
    _end_like_ctrl_c()
    _end_with_parent()
    table, folder = JobTable(data / "jobs.sqlite"), JobFolder(data / "jobs", id)
    os.environ[VARIABLE] = f"{id}/{attempt}/{data}"
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        with folder.running() as ours:
            job = table.get(id)
            if ours:
                if job.state == "running" and job.attempts == attempt:
                    _work(table, job, folder, work)
                return
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)


def _work(table: JobTable, job: Job, folder: JobFolder, work: Callable[[Job, JobFolder], Outcome]) -> None:
    try:
        outcome = work(job, folder)
    except KeyboardInterrupt:
        outcome = Outcome(INTERRUPTED)
    if outcome.exit_code == INTERRUPTED:
        table.interrupted(job.id, job.attempts, report=outcome.answer)
    elif outcome.exit_code in _DONE:
        done = {"exit_code": outcome.exit_code, "report": outcome.answer, "file": outcome.file}
        table.finish(job.id, job.attempts, "done", **done)
    else:
        error = _error_of(outcome, folder)
        report = None if _only_error(outcome.answer) else outcome.answer
        table.finish(job.id, job.attempts, "failed", exit_code=outcome.exit_code, error=error, report=report)


def _error_of(outcome: Outcome, folder: JobFolder) -> dict[str, Any]:
    """Return the code and the sentence of what went wrong."""
    answer = outcome.answer if isinstance(outcome.answer, dict) else {}
    error = answer.get("error")
    if isinstance(error, dict) and "code" in error:
        return {name: error[name] for name in ("code", "message", "details") if name in error}
    if outcome.exit_code == 4:
        return {"code": "out_of_time", "message": "The time was up: starting it again goes on from there."}
    said = [line for line in folder.tail(4_096).splitlines() if line.strip(" │╭╮╰╯─")]
    last = said[-1].strip(" │") if said else "It said nothing."
    return {"code": "failed", "message": f"It left with the exit code {outcome.exit_code}: {last}"}


def _only_error(answer: Any) -> bool:
    return isinstance(answer, dict) and set(answer) == {"error"}


def _end_like_ctrl_c() -> None:
    """Have SIGTERM raise ``KeyboardInterrupt`` in the main thread, once: what winds up is not interrupted."""
    told = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if not told.is_set():
            told.set()
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, handle)


def _end_with_parent() -> None:
    """End this process like SIGTERM does once nobody holds the other end of standard input, which is then
    free for commands; after some seconds with its whole group."""
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        with suppress(OSError):
            while os.read(lifeline, 1):
                pass
        print("The program that ran this job is gone.", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
