from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitrine.services.errors import Conflict, NotFound, OtherFormat, StoreDamaged, Unavailable
from vitrine.services.jobs.table import JobTable


@pytest.fixture
def table(tmp_path: Path) -> Iterator[JobTable]:
    opened = JobTable(tmp_path / "jobs.sqlite")
    yield opened
    opened.close()


def test_a_job_waits_runs_and_is_done(table: JobTable) -> None:
    job = table.add("count", {"units": 3}, "light", "somebody")
    assert (job.state, job.attempts, job.arguments) == ("queued", 0, {"units": 3})
    claimed = table.claim("light")
    assert claimed and (claimed.id, claimed.state, claimed.attempts) == (job.id, "running", 1)
    table.progress(job.id, 1, {"stage": "counting", "done": 2, "total": 3})
    assert table.get(job.id).progress == {"stage": "counting", "done": 2, "total": 3}
    assert table.finish(job.id, 1, "done", exit_code=0, report={"units": 3}, file=("made/a.csv", 12))
    done = table.get(job.id[:4])
    assert (done.state, done.report, done.file, done.file_bytes) == ("done", {"units": 3}, "made/a.csv", 12)
    assert done.ended_at and done.finished
    assert not table.finish(job.id, 1, "failed")
    assert table.get(job.id).state == "done"


def test_each_lane_has_its_own_queue_first_come_first_served(table: JobTable) -> None:
    first, second = (table.add("count", {}, "light", "me") for _ in range(2))
    heavy = table.add("train", {}, "heavy", "me")
    assert [table.claim("light"), table.claim("heavy"), table.claim("light")] == [
        table.get(one.id) for one in (first, heavy, second)
    ]
    assert table.claim("light") is None


def test_an_older_attempt_has_no_say(table: JobTable) -> None:
    id = table.add("count", {}, "light", "me").id
    table.claim("light")
    table.interrupted(id, 1)
    assert (table.get(id).state, table.get(id).deaths) == ("queued", 0)
    table.claim("light")
    table.progress(id, 1, {"stage": "old"})
    assert not table.finish(id, 1, "done")
    table.died(id, 1, "It was killed.")
    assert (table.get(id).state, table.get(id).progress) == ("running", None)


def test_three_deaths_are_a_failure_with_the_reason(table: JobTable) -> None:
    id = table.add("count", {}, "light", "me").id
    states = []
    for attempt in (1, 2, 3):
        table.claim("light")
        table.died(id, attempt, "It was killed (SIGKILL).")
        states.append(table.get(id).state)
    assert states == ["queued", "queued", "failed"]
    error = table.get(id).error
    assert (
        error and error["code"] == "died" and "3 times" in error["message"] and "SIGKILL" in error["message"]
    )
    again = table.retry(id)
    assert (again.state, again.deaths, again.error, again.attempts) == ("queued", 0, None, 3)


def test_cancelling(table: JobTable) -> None:
    waiting = table.add("count", {}, "light", "me").id
    assert table.cancel(waiting).state == "cancelled"
    running = table.add("count", {}, "light", "me").id
    table.claim("light")
    assert (table.cancel(running).state, table.get(running).cancelling) == ("running", True)
    with pytest.raises(Conflict, match="is running"):
        table.retry(running)
    with pytest.raises(Conflict, match="cancel it first"):
        table.remove(running)
    table.interrupted(running, 1, report={"units": 1})
    job = table.get(running)
    assert (job.state, job.cancelling, job.report) == ("cancelled", False, {"units": 1})
    assert table.cancel(running).state == "cancelled"


def test_a_job_that_dies_while_it_is_cancelled_is_cancelled(table: JobTable) -> None:
    id = table.add("count", {}, "light", "me").id
    table.claim("light")
    table.cancel(id)
    table.died(id, 1, "It was killed.")
    assert (table.get(id).state, table.get(id).deaths) == ("cancelled", 0)


def test_changes_tell_what_is_new_and_what_is_gone(table: JobTable) -> None:
    first, second = (table.add("count", {}, "light", "me").id for _ in range(2))
    seen = table.latest()
    assert not table.changed(seen).jobs
    table.cancel(first)
    table.cancel(second)
    table.remove(first)
    found = table.changed(seen)
    assert [(job.id, job.state) for job in found.jobs] == [(second, "cancelled")]
    assert [id for _, id in found.removed] == [first]
    assert table.latest() == max(found.jobs[-1].change, found.removed[-1][0])


def test_old_jobs_are_named(table: JobTable) -> None:
    ended, waits = (table.add("count", {}, "light", "me").id for _ in range(2))
    table.cancel(ended)
    assert table.outdated(30) == []
    assert table.outdated(-1) == [ended]
    assert table.get(waits).state == "queued"


def test_lists(table: JobTable) -> None:
    ids = [table.add(kind, {}, "light", "me").id for kind in ("a", "b", "a")]
    table.cancel(ids[0])
    assert [job.id for job in table.find()] == ids[::-1]
    assert [job.id for job in table.find(kinds=["a"], states=["queued"])] == [ids[2]]
    assert [job.id for job in table.find(limit=1, skip=1)] == [ids[1]]
    assert table.counts() == {"cancelled": 1, "queued": 2}


@pytest.mark.parametrize("id", ["", "nothing", "~"])
def test_an_unknown_job_is_not_found(table: JobTable, id: str) -> None:
    table.add("count", {}, "light", "me")
    with pytest.raises(NotFound):
        table.get(id)


def test_two_programs_claim_each_job_once(tmp_path: Path) -> None:
    tables = [JobTable(tmp_path / "jobs.sqlite") for _ in range(4)]
    ids = {tables[0].add("count", {}, "light", "me").id for _ in range(40)}
    claimed: list[str] = []

    def work(table: JobTable) -> None:
        while job := table.claim("light"):
            claimed.append(job.id)

    threads = [threading.Thread(target=work, args=(table,)) for table in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(ids)


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "noise.sqlite").write_bytes(b"no table at all" * 1_000)
    with pytest.raises(StoreDamaged, match="Move it away"):
        JobTable(tmp_path / "noise.sqlite")
    JobTable(tmp_path / "later.sqlite").close()
    with sqlite3.connect(tmp_path / "later.sqlite") as base:
        base.execute("PRAGMA user_version = 99")
    with pytest.raises(OtherFormat, match="format 99"):
        JobTable(tmp_path / "later.sqlite")
    with pytest.raises(Unavailable):
        JobTable(tmp_path / "missing" / "jobs.sqlite")
