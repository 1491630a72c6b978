"""Follow a job of another process to its end, as work of one's own is followed."""

from __future__ import annotations

import time
from typing import Final

from vitrine.indexer.job.progress import Progress, Tally
from vitrine.services.errors import Unavailable
from vitrine.services.jobs.job import Job
from vitrine.services.jobs.jobs import Jobs
from vitrine.services.jobs.supervisor import supervisor_of
from vitrine.services.settings import Settings

SECONDS: Final = 0.25


def follow(jobs: Jobs, id: str, progress: Progress | None) -> Job:
    """Show how far a job is until it has ended, and return it then. ``Unavailable`` where nobody runs it any
    more."""
    stage = ""
    job = jobs.get(id)
    while not job.finished:
        check_supervised(jobs.settings)
        far = job.progress
        if progress and far:
            if stage != far["stage"]:
                stage = far["stage"]
                progress.start(stage, far["total"])
            progress.update(Tally(far["done"], far["refused"]))
        time.sleep(SECONDS)
        job = jobs.get(job.id)
    if progress and stage:
        progress.finish(Tally())
    return job


def check_supervised(settings: Settings) -> None:
    """Raise ``Unavailable`` where nobody runs the jobs of the data folder."""
    if supervisor_of(settings.data) is None:
        raise Unavailable(
            f"Nobody runs the jobs of {settings.data}: start `vitrine serve` or `vitrine jobs run`, or run "
            "the command here, without --detach.",
            folder=str(settings.data),
        )
