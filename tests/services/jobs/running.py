"""Run the jobs of a folder, in this process or in one that can be killed, and see how far they are."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from vitrine.services.jobs import supervisor
from vitrine.services.jobs.executor import ChildProcesses
from vitrine.services.jobs.job import Job
from vitrine.services.jobs.jobs import Jobs

CHILD = "tests.services.jobs.child"


def supervised(jobs: Jobs, grace: float = 10.0) -> AbstractContextManager[None]:
    """Run jobs whose kind opens no store."""
    return supervisor.supervised(jobs, ChildProcesses(jobs, CHILD), grace=grace)


def until(met: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := met()):
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)
    return found


def ended(jobs: Jobs, id: str) -> Job:
    until(lambda: jobs.get(id).finished)
    return jobs.get(id)


def units(jobs: Jobs, id: str) -> list[int]:
    """The units that all attempts of a job have done, in order."""
    path = jobs.folder(id).path / "units"
    return [int(text) for text in path.read_text().split()] if path.exists() else []


SUPERVISE = """
import sys
from pathlib import Path
from tests.services.jobs.kinds import jobs_in
from vitrine.services.jobs.executor import ChildProcesses
from vitrine.services.jobs.supervisor import Supervisor, supervising
jobs = jobs_in(Path(sys.argv[1]))
with supervising(jobs.settings.data):
    Supervisor(jobs, ChildProcesses(jobs, sys.argv[2])).run()
"""


def supervising_process(data: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(data), CHILD], cwd=Path(__file__).parents[3]
    )
