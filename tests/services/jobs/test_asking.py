"""What may be asked for, and what the command of a job is given for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.services.jobs.kinds import READ, jobs_in
from tests.services.vector_store.edge_points import wait_until
from vitrine.services.errors import BadRequest, Conflict, Forbidden, NotFound
from vitrine.services.jobs.executor import ChildProcesses
from vitrine.services.jobs.jobs import Jobs, located


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    (tmp_path / "pictures" / "2024").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "pictures" / "out").symlink_to(tmp_path / "secret.txt")
    return jobs_in(tmp_path / "data", roots=(tmp_path / "pictures",))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, BadRequest, "needs the argument 'source'"),
        ({"source": "objects:x", "wrong": 1}, BadRequest, "has no argument 'wrong'"),
        ({"source": 3}, BadRequest, "type string"),
        ({"source": "objects:x", "words": "folder:pictures/2024"}, BadRequest, "is a list"),
        ({"source": "objects:x", "form": "c"}, BadRequest, "one of a, b"),
        ({"source": "objects:x", "encoder": "../model"}, BadRequest, "not the name of an encoder"),
        ({"source": "objects:x", "encoder": "org/model"}, BadRequest, "not the name of an encoder"),
        ({"source": "objects:x", "to": "../a.csv"}, BadRequest, "plain name"),
        ({"source": "objects:x", "to": ".a"}, BadRequest, "plain name"),
        ({"source": "objects:x", "refused": "a.txt"}, BadRequest, "has no argument 'refused'"),
        ({"source": "/etc"}, Forbidden, "'source' takes objects:PREFIX"),
        ({"source": "upload:x"}, Forbidden, "'source' takes"),
        ({"source": "folder:other"}, Forbidden, "VITRINE_ROOTS"),
        ({"source": "folder:pictures/../secret.txt"}, Forbidden, "leads out"),
        ({"source": "folder:pictures/out"}, Forbidden, "leads out"),
        ({"source": "folder:pictures/2025"}, NotFound, "nothing at"),
        ({"source": "objects:x", "words": ["objects:x"]}, Forbidden, "takes folder:NAME"),
        ({"source": {"name": "a/b", "text": ""}}, BadRequest, "plain name"),
        ({"source": {"name": "a"}}, BadRequest, "name and text"),
        ({"source": "objects:x", "form": {"name": "a", "text": ""}}, BadRequest, "is no file"),
        ({"source": {"name": "a", "text": "x" * (5 << 20)}}, BadRequest, "at most"),
    ],
)
def test_what_is_not_taken_is_named(
    jobs: Jobs, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        jobs.start("read", arguments, who="me")
    assert jobs.find() == []


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("nothing", {}, "there are count, heavy-count, read, save"),
        ("count", {"units": True}, "type integer"),
        ("count", {"units": -1}, "at least 0"),
        ("count", {"seconds": 61}, "in ..60"),
        ("count", {"seconds": float("nan")}, "finite"),
        ("count", {"deaf": 1}, "type boolean"),
    ],
)
def test_kinds_and_numbers_are_checked(jobs: Jobs, kind: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        jobs.start(kind, arguments, who="me")


def test_places_become_paths_where_the_job_runs(jobs: Jobs, tmp_path: Path) -> None:
    sent = {"name": "words.txt", "text": "mug\n"}
    job = jobs.start("read", {"source": "folder:pictures/2024", "to": "a.csv", "form": None}, who="me")
    other = jobs.start("read", {"source": sent, "encoder": "look/2"}, who="me")
    assert job.arguments == {"source": "folder:pictures/2024", "to": "a.csv"}
    assert other.arguments == {"source": "upload:words.txt", "encoder": "look/2"}
    source, to = READ.parameters[0], next(one for one in READ.parameters if one.name == "to")
    place = jobs.folder(job.id)
    assert located(source, "folder:pictures/2024", place, jobs.settings) == str(
        tmp_path / "pictures" / "2024"
    )
    assert located(source, "objects:shop/", place, jobs.settings) == "objects:shop/"
    assert located(to, "a.csv", place, jobs.settings) == str(place.made / "a.csv")
    words = located(source, "upload:words.txt", jobs.folder(other.id), jobs.settings)
    assert Path(words).read_text() == "mug\n"


def test_the_command_line_may_name_any_path(jobs: Jobs) -> None:
    given = {"source": "/anywhere", "to": "/elsewhere/a.csv", "encoder": "./model", "refused": "/r.txt"}
    assert jobs.start("read", given, who="me", remote=False).arguments == given


def test_removing_a_job_removes_its_files(jobs: Jobs) -> None:
    job = jobs.start("read", {"source": {"name": "a", "text": "b"}}, who="me")
    with pytest.raises(Conflict):
        jobs.remove(job.id)
    assert jobs.folder(job.id).path.is_dir()
    jobs.cancel(job.id)
    jobs.remove(job.id[:5])
    assert not jobs.folder(job.id).path.exists()
    with pytest.raises(NotFound):
        jobs.get(job.id)


def test_what_belongs_to_no_job_is_removed_in_time(jobs: Jobs) -> None:
    mine = jobs.start("read", {"source": {"name": "list.txt", "text": "a"}}, who="me").id
    for left in ("older", "newer"):
        jobs.folder(left).send("list.txt", b"a")
    for name in (mine, "older"):
        os.utime(jobs.folder(name).path, (1, 1))
    jobs.tidy()
    assert {path.name for path in jobs.files.iterdir()} == {mine, "newer"}


def test_a_log_is_read_from_its_end(jobs: Jobs) -> None:
    folder = jobs.folder("x")
    assert folder.tail() == ""
    folder.make()
    folder.log.write_text("".join(f"line {number}\n" for number in range(1_000)))
    assert folder.tail(20) == "line 998\nline 999\n"


@pytest.mark.parametrize(
    ("remote", "allowed", "hosts"),
    [
        (True, False, "downloads-over-http-are-off.invalid"),
        (True, True, "ok.example"),
        (False, False, "ok.example"),
    ],
)
def test_job_that_comes_over_http_downloads_nothing_unless_that_is_allowed(
    tmp_path: Path, remote: bool, allowed: bool, hosts: str
) -> None:
    jobs = jobs_in(tmp_path, url_hosts=("ok.example",), urls_over_http=allowed)
    job = jobs.table.add("count", {}, "light", "me", remote=remote)
    child = ChildProcesses(jobs, "tests.services.jobs.told").start(job)
    wait_until(lambda: child.ended() is not None)
    assert jobs.folder(job.id).answer.read_text().strip() == hosts
