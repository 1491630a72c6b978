"""The process of a job that opens no store: it counts units, and notes each in a file, with the attempt."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from vitrine.indexer.job.progress import StageByStage, make_progress
from vitrine.services.jobs.attempt import Outcome, run_attempt
from vitrine.services.jobs.job import Job
from vitrine.services.jobs.places import JobFolder


def work(job: Job, folder: JobFolder) -> Outcome:
    """Do ``units`` of ``seconds`` each, those that are not done yet. ``die``: kill this process first, so
    often. ``deaf``: do not end when asked. ``code``: leave with it, and this error."""
    given = dict(job.arguments)
    if job.deaths < given.get("die", 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if given.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    done = folder.path / "units"
    before = len(done.read_text().split()) if done.exists() else 0
    print("begun", file=sys.stderr, flush=True)
    shown = StageByStage(make_progress())
    units = given.get("units", 1)
    for number in range(before, units):
        time.sleep(given.get("seconds", 0.0))
        with done.open("a") as file:
            file.write(f"{number}\n")
        shown("counting", number + 1, units)
    if given.get("code"):
        return Outcome(given["code"], {"error": {"code": "bad_request", "message": "It cannot be done."}})
    return Outcome(0, {"units": units})


if __name__ == "__main__":
    run_attempt(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), work)
