from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime
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


def test_a_job_that_repeats_itself_waits_for_its_next_time(table: JobTable) -> None:
    first = table.add("sync", {"folder": "a"}, "light", "me", every_seconds=3_600)
    assert (first.every_seconds, first.due_at) == (3_600, None)
    with pytest.raises(Conflict, match=first.id):
        table.add("sync", {"folder": "a"}, "light", "me", every_seconds=60)
    table.add("sync", {"folder": "b"}, "heavy", "me", every_seconds=60)
    assert table.claim("light") and table.finish(first.id, 1, "done")
    (second,) = [job for job in table.find(states=["queued"]) if job.lane == "light"]
    ended = datetime.fromisoformat(table.get(first.id).ended_at or "")
    assert second.id != first.id and second.arguments == first.arguments and second.due_at is not None
    assert 3_599 < (datetime.fromisoformat(second.due_at) - ended).total_seconds() < 3_601
    assert second in table.changed(first.change).jobs
    assert table.claim("light") is None  # it is not due
    assert table.busy()  # the other one waits for its turn
    table.cancel(table.find(states=["queued"], kinds=["sync"], limit=2)[-1].id)
    assert not table.busy()


@pytest.mark.parametrize("how", ["done", "failed", "deaths", "cancelled", "cancelled while it waits"])
def test_what_ends_a_repetition(table: JobTable, how: str) -> None:
    """A failure does not: what it reads may be there again the next time."""
    id = table.add("sync", {}, "light", "me", every_seconds=0).id
    if how == "cancelled while it waits":
        table.cancel(id)
    elif how == "deaths":
        for attempt in (1, 2, 3):
            table.claim("light")
            table.died(id, attempt, "It was killed.")
    else:
        table.claim("light")
        if how == "cancelled":
            table.cancel(id)
            table.interrupted(id, 1)
        else:
            assert table.finish(id, 1, "done" if how == "done" else "failed")
    assert len(table.find(states=["queued"])) == (0 if how.startswith("cancelled") else 1)


def test_a_repetition_that_is_retried_is_not_there_twice(table: JobTable) -> None:
    first = table.add("sync", {}, "light", "me", every_seconds=0).id
    table.claim("light")
    table.finish(first, 1, "failed")
    (second,) = table.find(states=["queued"])
    assert table.retry(first).due_at is None
    assert {job.id for job in (table.claim("light"), table.claim("light")) if job} == {first, second.id}
    for id in (first, second.id):
        table.finish(id, table.get(id).attempts, "done")
    assert len(table.find(states=["queued"])) == 1


def test_of_a_repetition_few_are_kept(table: JobTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitrine.services.jobs.table.KEPT_REPEATED", 3)
    once = table.add("sync", {"folder": "a"}, "light", "me").id
    table.claim("light")
    table.finish(once, 1, "done")
    table.add("sync", {"folder": "a"}, "light", "me", every_seconds=0)
    done: list[str] = []
    for _ in range(5):
        job = table.claim("light")
        assert job and table.finish(job.id, 1, "done")
        done.append(job.id)
    assert sorted(table.outdated()) == sorted(done[:2])
