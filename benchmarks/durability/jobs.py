"""Kill whoever runs jobs, again and again, and look whether every unit of work was done once; cancel jobs
and time it. The jobs count and open no store, so it is the table, the supervisor and the executor that are
measured.

    python -m benchmarks.durability.jobs [--kills 20] [--cancels 40]
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.services.jobs.kinds import jobs_in
from tests.services.jobs.running import supervised, supervising_process, units
from vitrine.services.jobs.jobs import Jobs

UNITS, SECONDS = 40, 0.05


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cancels", type=int, default=40)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(kills(jobs_in(Path(folder)), given.kills))
    with tempfile.TemporaryDirectory() as folder:
        print(cancels(jobs_in(Path(folder)), given.cancels))


def kills(jobs: Jobs, count: int) -> str:
    """Kill the supervisor at random moments while jobs of both lanes run; then let them end."""
    drawn = random.Random(0)
    kinds = ["count", "heavy-count"] * (count // 2)
    ids = [jobs.start(kind, {"units": UNITS, "seconds": SECONDS}, who="benchmark").id for kind in kinds]
    process = supervising_process(jobs.settings.data)
    for _ in range(count):
        time.sleep(drawn.uniform(0.5, 3.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = supervising_process(jobs.settings.data)
    while not all(jobs.get(id).finished for id in ids):
        time.sleep(0.1)
    process.terminate()
    process.wait()
    done = [units(jobs, id) for id in ids]
    states = jobs.table.counts()
    lost = sum(len(set(range(UNITS)) - set(one)) for one in done)
    twice = sum(len(one) - len(set(one)) for one in done)
    attempts = sum(jobs.get(id).attempts for id in ids)
    deaths = sum(jobs.get(id).deaths for id in ids)
    return (
        f"{count} kills of the supervisor, {len(ids)} jobs of {UNITS} units: {states}, {lost} units lost, "
        f"{twice} done twice, {attempts} attempts, {deaths} deaths"
    )


def cancels(jobs: Jobs, count: int) -> str:
    """Cancel running jobs one after another: seconds from the request until it has ended."""
    taken = []
    with supervised(jobs):
        for _ in range(count):
            id = jobs.start("count", {"units": 10_000, "seconds": 0.02}, who="benchmark").id
            while not units(jobs, id):
                time.sleep(0.01)
            began = time.perf_counter()
            jobs.cancel(id)
            while not jobs.get(id).finished:
                time.sleep(0.002)
            taken.append(time.perf_counter() - began)
    taken.sort()
    p95 = taken[int(0.95 * (len(taken) - 1))]
    middle, p95 = (1000 * seconds for seconds in (median(taken), taken[int(0.95 * (len(taken) - 1))]))
    return f"{count} cancelled: p50 {middle:.0f} ms, p95 {p95:.0f} ms, most {taken[-1]:.3f} s"


if __name__ == "__main__":
    main()
