"""What runs a job: a child process for each, in a process group of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Final, Protocol

from vitrine.services.jobs.job import Job
from vitrine.services.jobs.jobs import Jobs
from vitrine.services.jobs.kinds import python_environment
from vitrine.services.settings import as_environment

MODULE: Final = "vitrine.cli.jobs.child"
"""Runs one attempt of a job when it is run: data folder, id, attempt."""
_NO_HOST: Final = "downloads-over-http-are-off.invalid"
"""The only host that may be asked for pictures by a job that came over HTTP where that is not allowed."""


class Running(Protocol):
    """An attempt that was started, until it has ended."""

    def ended(self) -> str | None:
        """Return None while it runs, then a sentence on how its process ended."""

    def stop(self) -> None:
        """Ask it to end after what it has under way."""

    def kill(self) -> None:
        """End it now, with all that it started."""


class Executor(Protocol):
    """Runs jobs. What an attempt does, how far it is and how it ended, its process writes into the table."""

    def start(self, job: Job) -> Running:
        """Start the attempt. OSError where that is not possible."""

    def left(self, job: Job) -> Running | None:
        """Return what still runs of an attempt that a dead supervisor started."""


class ChildProcesses:
    """Runs each job in a child of this process. The child holds the reading end of a pipe of which this
    process has the other: once this process is gone, however that comes, the child ends as well."""

    def __init__(self, jobs: Jobs, module: str = MODULE) -> None:
        self._jobs = jobs
        self._module = module

    def start(self, job: Job) -> Running:
        folder = self._jobs.folder(job.id)
        folder.make()
        settings = self._jobs.settings
        data = settings.data.absolute()
        env = {**python_environment(), **as_environment(settings), "VITRINE_DATA": str(data)}
        if job.remote and not settings.urls_over_http:
            env["VITRINE_URL_HOSTS"] = _NO_HOST
        with open(folder.answer, "wb") as answer, open(folder.log, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module, str(data), job.id, str(job.attempts)],
                env=env,
                stdin=subprocess.PIPE,
                stdout=answer,
                stderr=log,
                start_new_session=True,
            )
        return _Child(process)

    def left(self, job: Job) -> Running | None:
        pid = self._jobs.folder(job.id).holder()
        return None if pid is None else _Orphan(self._jobs, job, pid)


class _Child:
    """A process that this one has started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ended(self) -> str | None:
        code = self._process.poll()
        if code is None:
            return None
        if self._process.stdin:
            self._process.stdin.close()
        return how_it_ended(code)

    def stop(self) -> None:
        _signal_group(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        _signal_group(self._process.pid, signal.SIGKILL)


class _Orphan:
    """A process that another one has started, which is gone."""

    def __init__(self, jobs: Jobs, job: Job, pid: int) -> None:
        self._folder = jobs.folder(job.id)
        self._pid = pid

    def ended(self) -> str | None:
        return None if self._folder.holder() == self._pid else "The program that ran it is gone."

    def stop(self) -> None:
        _signal_group(self._pid, signal.SIGTERM)

    def kill(self) -> None:
        _signal_group(self._pid, signal.SIGKILL)


def how_it_ended(code: int) -> str:
    """Return a sentence on the end of a process.

    >>> how_it_ended(-9)
    'It was killed (SIGKILL): by somebody, or since memory ran out.'
    """
    if code >= 0:
        return f"It left with the exit code {code}."
    names = {number.value: number.name for number in signal.Signals}
    name = names.get(-code, f"signal {-code}")
    why = ": by somebody, or since memory ran out" if name == "SIGKILL" else ""
    return f"It was killed ({name}){why}."


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it is gone, or on macOS a zombie
        os.killpg(pid, number)
