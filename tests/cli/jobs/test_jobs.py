"""``vitrine jobs`` and ``--detach`` on a data folder, with real processes for the jobs that run."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, Run, environment, runner
from vitrine.services.jobs.jobs import Jobs
from vitrine.services.jobs.supervisor import supervised, supervising
from vitrine.services.settings import Settings


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, value in environment(tmp_path / "data").items():
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name, raising=False)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def vitrine(data: Path) -> Run:
    return runner(data)


@contextmanager
def jobs_run(data: Path) -> Iterator[None]:
    with closing(Jobs(Settings(_env_file=None, data=data))) as jobs, supervised(jobs):
        yield


def test_without_anybody_who_runs_jobs_it_says_what_to_do(vitrine: Run) -> None:
    answer = vitrine("map", "make", "-c", "shop", "--detach", "--json")
    assert answer.code == 1
    assert answer.json["error"]["code"] == "unavailable"
    assert "vitrine serve" in answer.json["error"]["message"]
    assert vitrine("jobs", "list", "--json").json == {"jobs": []}


def test_a_command_is_detached_with_its_own_options(vitrine: Run, data: Path) -> None:
    with supervising(data):  # who runs nothing
        given = ("--method", "pca", "--min-dist", "0.5", "look", "--json", "--detach")
        job = vitrine("map", "make", "-c", "shop", *given).json
        assert (job["kind"], job["state"], job["lane"]) == ("map-make", "queued", "heavy")
        assert job["arguments"] == {"category": "shop", "method": "pca", "min_dist": 0.5, "name": "look"}
        Path("words.txt").write_text("mug\n")
        job = vitrine(
            "tagger", "zero-shot", "-c", "s", "--words", "words.txt", "--to", "a.csv", "--detach", "--json"
        ).json
        assert job["arguments"]["words"] == os.path.abspath("words.txt")
        assert job["arguments"]["to"] == os.path.abspath("a.csv")
        same = vitrine("jobs", "start", "map-make", "category=shop", "min-dist=0.5", "missing=true", "--json")
        assert same.json["arguments"] == {"category": "shop", "min_dist": 0.5, "missing": True}
        said = vitrine("jobs", "start", "map-make", "category=shop")
        assert "vitrine jobs watch" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("start", "map-make"), "needs the argument 'category'"),
        (("start", "map-make", "category"), "NAME=VALUE"),
        (("start", "map-make", "category=a", "min_dist=x"), "type number"),
        (("start", "nothing"), "is no kind of job"),
        (("kinds", "nothing"), "is no kind of job"),
        (("list", "--state", "odd"), "no state of a job"),
        (("show", "nothing"), "There is no job"),
        (("cancel", "nothing"), "There is no job"),
        (("retry", "nothing"), "There is no job"),
    ],
)
def test_mistakes_are_named(vitrine: Run, data: Path, arguments: tuple[str, ...], words: str) -> None:
    with supervising(data):
        answer = vitrine("jobs", *arguments, "--json")
    assert answer.code == 1 and words in answer.json["error"]["message"]


def test_a_job_fails_as_its_command_does_and_is_repeated(vitrine: Run, data: Path) -> None:
    with jobs_run(data):
        ended = vitrine("jobs", "start", "category-fill", "name=shop", "--wait", "--json")
    assert ended.code == 1
    job = ended.json
    assert (job["state"], job["exit_code"], job["error"]["code"]) == ("failed", 1, "not_found")
    shown = vitrine("jobs", "show", job["id"], "--json").json
    assert "$ vitrine category fill --json -- shop" in shown["log"]
    text = vitrine("jobs", "show", job["id"][:6])
    assert "not_found" in text.out and job["id"] in text.out
    assert vitrine("jobs", "retry", job["id"], "--json").json["state"] == "queued"
    assert vitrine("jobs", "remove", job["id"], "--json").json["error"]["code"] == "conflict"
    assert vitrine("jobs", "cancel", job["id"], "--json").json["state"] == "cancelled"
    assert job["id"] in vitrine("jobs", "list").out
    assert vitrine("jobs", "remove", job["id"], "--json").json == {"job": job["id"], "removed": True}


def test_a_folder_is_synced_again_and_again(vitrine: Run, data: Path, pictures: Path) -> None:
    assert vitrine("category", "create", "shop").code == 0
    sync = ("index", "sync", str(pictures), "-c", "shop", "--every", "6h", "--json")
    with supervising(data):
        first = vitrine(*sync).json
        assert (first["kind"], first["every_seconds"], first["state"]) == ("index-sync", 21_600, "queued")
        assert vitrine(*sync).json["error"]["code"] == "conflict"
        for wrong in ("6", "1x", "10s", "400d"):
            answer = vitrine("jobs", "start", "map-make", "category=shop", "--every", wrong, "--json")
            assert answer.json["error"]["code"] == "bad_request", wrong
    assert vitrine("jobs", "run", "--once", "--json").json["jobs"] == {"done": 1, "queued": 1}
    assert vitrine("jobs", "show", first["id"], "--json").json["report"]["added"] == 12
    (waits,) = vitrine("jobs", "list", "--state", "queued", "--json").json["jobs"]
    assert waits["arguments"] == first["arguments"]
    assert f"due at {waits['due_at'][:16]}" in vitrine("jobs", "list").out
    assert vitrine("jobs", "cancel", waits["id"], "--json").json["state"] == "cancelled"


def test_run_does_what_waits(vitrine: Run, data: Path, pictures: Path) -> None:
    """A whole way: a folder becomes a category by a job, and its table a file to fetch by another."""
    with supervising(data):
        add = ("index", "add", str(pictures), "-c", "shop", "--create", "--class-from", "folder")
        added = vitrine(*add, "--detach", "--json").json["id"]
        table = vitrine("jobs", "start", "export-table", "category=shop", "to=all.csv", "--json").json["id"]
        vitrine("jobs", "cancel", table)
    assert vitrine("jobs", "run", "--once", "--json").json["jobs"] == {"cancelled": 1, "done": 1}
    job = vitrine("jobs", "show", added, "--json").json
    assert (job["state"], job["report"]["added"], job["progress"]["done"]) == ("done", 12, 12)
    vitrine("jobs", "retry", table)
    assert vitrine("jobs", "run", "--once", "--json").json["jobs"] == {"done": 2}
    job = vitrine("jobs", "show", table, "--json").json
    file = data / "jobs" / table / job["file"]
    assert file.name == "all.csv" and file.stat().st_size == job["file_bytes"]
    assert len(file.read_text().splitlines()) == 13
    with supervising(data):
        packed = vitrine("jobs", "start", "export-folders", "category=shop", "by=class", "--json").json["id"]
    vitrine("jobs", "run", "--once")
    job = vitrine("jobs", "show", packed, "--json").json
    with zipfile.ZipFile(data / "jobs" / packed / job["file"]) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
    assert len(names) == 12 and {name.split("/")[1] for name in names} == {"red", "blue", "green"}


def watched(answer: Answer) -> object:
    return json.loads(answer.out)["state"]


def test_watching_a_job_that_has_ended(vitrine: Run, data: Path) -> None:
    jobs = Jobs(Settings(_env_file=None, data=data))
    id = jobs.table.add("map-make", {}, "heavy", "me").id
    jobs.cancel(id)
    answer = vitrine("jobs", "watch", id, "--json")
    assert (answer.code, watched(answer)) == (130, "cancelled")
    jobs.close()
