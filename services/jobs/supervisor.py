"""The one that starts jobs, ends them, and sees what becomes of them: one for each data folder."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from vitrine.services.errors import Conflict, NotFound, VitrineError
from vitrine.services.files import hold_lock, try_lock, unwritable
from vitrine.services.jobs.attempt import GRACE_SECONDS
from vitrine.services.jobs.executor import ChildProcesses, Executor, Running
from vitrine.services.jobs.job import LANES, Job, Lane
from vitrine.services.jobs.jobs import Jobs
from vitrine.services.read_only import is_read_only

TICK_SECONDS: Final = 0.1
"""How long a job that waits, one that is to be cancelled and one that has ended go unseen at most."""
RETRY_SECONDS: Final = 1.0
ASKING_SECONDS: Final = 0.3
PRUNE_SECONDS: Final = 3_600.0
_log = logging.getLogger("vitrine.jobs")


@dataclass
class _Attempt:
    job: Job
    running: Running
    told_at: float | None = None


class Supervisor:
    """Runs the jobs of a data folder by an executor, one of each lane at a time, until ``stop`` is called.

    ``run`` does it in the thread that calls it. Only who holds `supervising` may.
    """

    def __init__(self, jobs: Jobs, executor: Executor | None = None, *, grace: float = GRACE_SECONDS) -> None:
        self._jobs = jobs
        self._executor = executor or ChildProcesses(jobs)
        self._grace = grace
        self._attempts: dict[Lane, _Attempt] = {}
        self._ending = threading.Event()
        self._pruned = -PRUNE_SECONDS

    def stop(self) -> None:
        """Have ``run`` return once the attempts that run have ended: they wait for the next supervisor."""
        self._ending.set()

    def run(self) -> None:
        """Start what waits and look after what runs, until ``stop``. An error is logged and tried again."""
        self._try(self._recover)
        while not self._ending.wait(TICK_SECONDS):
            self._try(self._step)
        self._end()

    def _try(self, work: Callable[[], None]) -> None:
        while True:
            try:
                work()
            except (VitrineError, OSError) as error:
                _log.error("jobs: %s", error)
                if not self._ending.wait(RETRY_SECONDS):
                    continue
            return

    def _recover(self) -> None:
        """End what a dead supervisor has left running, and let it wait again."""
        table = self._jobs.table
        left = [(job, self._executor.left(job)) for job in table.find(states=("running",))]
        for _, running in left:
            if running:
                running.stop()
        deadline = time.monotonic() + self._grace
        for job, running in left:
            while running and running.ended() is None and not self._ending.is_set():
                if time.monotonic() > deadline:
                    running.kill()
                time.sleep(0.02)
            # its own word, if it had the time for one, counts: then nothing runs any more
            table.died(job.id, job.attempts, "The program that ran it was gone.")

    def _step(self) -> None:
        for lane, attempt in list(self._attempts.items()):
            self._look_after(lane, attempt)
        for lane in LANES:
            if lane not in self._attempts and (job := self._jobs.table.claim(lane)):
                self._start(lane, job)
        if time.monotonic() - self._pruned > PRUNE_SECONDS:
            self._pruned = time.monotonic()
            self._jobs.tidy()

    def _start(self, lane: Lane, job: Job) -> None:
        try:
            self._attempts[lane] = _Attempt(job, self._executor.start(job))
        except (OSError, VitrineError) as error:
            self._jobs.table.died(job.id, job.attempts, f"It could not be started: {error}.")

    def _look_after(self, lane: Lane, attempt: _Attempt) -> None:
        table, job = self._jobs.table, attempt.job
        how = attempt.running.ended()
        if how is not None:
            table.died(job.id, job.attempts, how)  # nothing, where it has said how it ended
            table.keep_log(job.id, self._jobs.folder(job.id).tail())
            del self._attempts[lane]  # last: what could not be written is tried again
            return
        if attempt.told_at is None and (state := self._asked_to_end(job)):
            if state == "cancelling":
                attempt.running.stop()
            attempt.told_at = time.monotonic()
        if attempt.told_at is not None and time.monotonic() - attempt.told_at > self._grace:
            attempt.running.kill()

    def _asked_to_end(self, job: Job) -> Literal["cancelling", "finished"] | None:
        """Return why the process of a job should be gone soon: it is cancelled, or it has said that it has
        ended (it may be removed since)."""
        try:
            now = self._jobs.table.get(job.id)
        except NotFound:
            return "finished"
        if now.finished:
            return "finished"
        return "cancelling" if now.cancelling else None

    def _end(self) -> None:
        """Stop what runs. It waits in the table for the next supervisor, and that is no death."""
        for attempt in self._attempts.values():
            attempt.running.stop()
        deadline = time.monotonic() + self._grace
        for attempt in self._attempts.values():
            while attempt.running.ended() is None:
                if time.monotonic() > deadline:
                    attempt.running.kill()
                time.sleep(0.02)
            self._jobs.table.interrupted(attempt.job.id, attempt.job.attempts)


@contextmanager
def supervising(data: Path, *, wait: threading.Event | None = None) -> Iterator[bool]:
    """Be the one who supervises the jobs of a data folder while this block runs.

    ``Conflict`` if another program is. With ``wait`` its end is waited for: yields False if ``wait`` is set
    before that.
    """
    path = data / "jobs.lock"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        since = time.monotonic()
        while not hold_lock(lock):
            if wait is None:
                if time.monotonic() - since < ASKING_SECONDS:  # somebody may only be looking
                    time.sleep(0.02)
                    continue
                raise Conflict(
                    f"Process {supervisor_of(data)} runs the jobs of {data}: they are run there.",
                    folder=str(data),
                )
            if wait.wait(RETRY_SECONDS):
                yield False
                return
        yield True
    finally:
        os.close(lock)


def supervisor_of(data: Path) -> int | None:
    """Return the process that runs the jobs of a data folder; None where none does."""
    try:
        lock = os.open(data / "jobs.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if try_lock(lock, shared=True) else int(os.pread(lock, 20, 0) or b"0")
    finally:
        os.close(lock)


@contextmanager
def supervised(
    jobs: Jobs, executor: Executor | None = None, *, grace: float = GRACE_SECONDS
) -> Iterator[None]:
    """Run the jobs in a thread while this block runs. ``Conflict`` if another program runs them."""
    jobs.table  # noqa: B018  # makes the folder
    with supervising(jobs.settings.data):
        supervisor = Supervisor(jobs, executor, grace=grace)
        thread = threading.Thread(target=supervisor.run, name="jobs")
        thread.start()
        try:
            yield
        finally:
            supervisor.stop()
            thread.join()


@contextmanager
def jobs_run_in_background(jobs: Jobs) -> Iterator[None]:
    """Run the jobs in a thread while this block runs; where another program runs them, when that has ended.
    Of a data folder that is only read, none is run."""
    if is_read_only(jobs.settings):
        yield
        return
    ending = threading.Event()
    supervisor = Supervisor(jobs)

    def work() -> None:
        try:
            jobs.table  # noqa: B018  # makes the folder
            with supervising(jobs.settings.data, wait=ending) as ours:
                if ours:
                    supervisor.run()
        except VitrineError as error:
            _log.error("jobs are not run: %s", error)

    thread = threading.Thread(target=work, name="jobs")
    thread.start()
    try:
        yield
    finally:
        ending.set()
        supervisor.stop()
        thread.join()
