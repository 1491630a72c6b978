"""Jobs in real processes, whose kind opens no store."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.jobs.kinds import jobs_in
from tests.services.jobs.running import ended, supervised, supervising_process, units, until
from vitrine.services.errors import Conflict
from vitrine.services.jobs.jobs import Jobs
from vitrine.services.jobs.supervisor import supervising, supervisor_of


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    opened = jobs_in(tmp_path)
    opened.table  # noqa: B018  # the folder is there
    yield opened
    opened.close()


def test_a_job_runs_to_its_end(jobs: Jobs) -> None:
    id = jobs.start("count", {"units": 4}, who="me").id
    with supervised(jobs):
        job = ended(jobs, id)
        until(lambda: jobs.table.log(id))
    assert (job.state, job.exit_code, job.attempts, job.report) == ("done", 0, 1, {"units": 4})
    assert job.progress and (job.progress["stage"], job.progress["done"]) == ("counting", 4)
    assert units(jobs, id) == [0, 1, 2, 3]
    assert "begun" in jobs.log(id)


def test_a_job_that_cannot_be_done_fails_with_its_error(jobs: Jobs) -> None:
    id = jobs.start("count", {"code": 1}, who="me").id
    with supervised(jobs):
        job = ended(jobs, id)
    assert (job.state, job.exit_code) == ("failed", 1)
    assert job.error == {"code": "bad_request", "message": "It cannot be done."}
    assert job.report is None


def test_a_job_that_repeats_itself_is_done_again_until_it_is_cancelled(jobs: Jobs) -> None:
    jobs.table.add("count", {"units": 1}, "light", "me", every_seconds=0)
    with supervised(jobs):
        until(lambda: len(jobs.find(states=["done"])) >= 3)
        while waiting := jobs.find(states=["queued", "running"]):
            jobs.cancel(waiting[0].id)
    done = jobs.find(states=["done"])
    assert all(units(jobs, job.id) == [0] for job in done)
    assert len({job.id for job in done}) == len(done)


def test_one_job_of_each_lane_runs_at_a_time(jobs: Jobs) -> None:
    light = [jobs.start("count", {"seconds": 0.3}, who="me").id for _ in range(2)]
    heavy = jobs.start("heavy-count", {"seconds": 60}, who="me").id
    most = 0
    with supervised(jobs):
        while not all(jobs.get(id).finished for id in light):
            running = jobs.find(states=["running"])
            most = max(most, sum(job.lane == "light" for job in running))
            time.sleep(0.01)
        assert until(lambda: jobs.get(heavy).state) == "running"
        jobs.cancel(heavy)
        ended(jobs, heavy)
    first, second = map(jobs.get, light)
    assert most == 1 and first.ended_at and second.started_at and first.ended_at <= second.started_at


def test_cancelling_ends_a_job_soon(jobs: Jobs) -> None:
    id = jobs.start("count", {"units": 1_000, "seconds": 0.01}, who="me").id
    with supervised(jobs):
        until(lambda: units(jobs, id))
        began = time.monotonic()
        jobs.cancel(id)
        job = ended(jobs, id)
        assert time.monotonic() - began < 5  # 0.1 s; the machine may be busy
    assert (job.state, job.deaths) == ("cancelled", 0)
    done = units(jobs, id)
    assert done == list(range(len(done))) and len(done) < 1_000


def test_a_job_that_does_not_end_is_killed(jobs: Jobs) -> None:
    id = jobs.start("count", {"units": 1_000, "seconds": 0.05, "deaf": True}, who="me").id
    with supervised(jobs, grace=0.3):
        until(lambda: units(jobs, id))
        jobs.cancel(id)
        assert ended(jobs, id).state == "cancelled"


def test_a_job_whose_process_dies_is_started_again_and_fails_the_third_time(jobs: Jobs) -> None:
    twice = jobs.start("count", {"die": 2}, who="me").id
    with supervised(jobs):
        job = ended(jobs, twice)
        assert (job.state, job.attempts, job.deaths) == ("done", 3, 2)
        for_ever = jobs.start("count", {"die": 9}, who="me").id
        job = ended(jobs, for_ever)
    assert (job.state, job.attempts) == ("failed", 3)
    assert job.error and "3 times" in job.error["message"] and "SIGKILL" in job.error["message"]


def test_when_the_supervisor_ends_its_jobs_wait_for_the_next(jobs: Jobs) -> None:
    id = jobs.start("count", {"units": 30, "seconds": 0.02}, who="me").id
    with supervised(jobs):
        until(lambda: units(jobs, id))
    job = jobs.get(id)
    assert (job.state, job.deaths) == ("queued", 0)
    with supervised(jobs):
        job = ended(jobs, id)
    assert (job.state, job.attempts) == ("done", 2)
    assert units(jobs, id) == list(range(30))


def test_one_supervisor_for_each_data_folder(jobs: Jobs) -> None:
    data = jobs.settings.data
    assert supervisor_of(data) is None
    with supervising(data):
        assert supervisor_of(data) == os.getpid()
        with pytest.raises(Conflict, match=f"Process {os.getpid()} runs the jobs"), supervising(data):
            pass
        given_up = threading.Event()
        given_up.set()
        with supervising(data, wait=given_up) as ours:
            assert not ours
    assert supervisor_of(data) is None


def test_killed_supervisors_lose_nothing_and_do_nothing_twice(jobs: Jobs) -> None:
    ids = [jobs.start("count", {"units": 10, "seconds": 0.02}, who="me").id for _ in range(6)]
    process = supervising_process(jobs.settings.data)
    try:
        for _ in range(4):
            seen = sum(len(units(jobs, id)) for id in ids)
            until(lambda seen=seen: sum(len(units(jobs, id)) for id in ids) > seen + 3)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = supervising_process(jobs.settings.data)
        until(lambda: all(jobs.get(id).finished for id in ids), 60)
    finally:
        process.kill()
        process.wait()
    assert {jobs.get(id).state for id in ids} == {"done"}
    assert [units(jobs, id) for id in ids] == [list(range(10))] * 6
    assert sum(jobs.get(id).attempts for id in ids) > 6
