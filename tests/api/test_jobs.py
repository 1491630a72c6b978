from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import BASE, READ, WRITE, runtime_in, settings_in
from tests.services.jobs.kinds import COUNT, HEAVY, LOCAL
from tests.services.jobs.kinds import READ as READING
from tests.services.jobs.running import supervised
from vitrine.api.app import create_app
from vitrine.services.jobs.jobs import Jobs


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[tuple[TestClient, Jobs]]:
    """A client on an API whose jobs are run by nobody yet."""
    chosen = settings_in(folder, **settings)
    jobs = Jobs(chosen, ask=lambda: (COUNT, HEAVY, READING, LOCAL))
    with runtime_in(chosen) as runtime:
        app = create_app(chosen, runtime=runtime, work=jobs)
        with TestClient(app, base_url=BASE, raise_server_exceptions=False) as client:
            yield client, jobs
    jobs.close()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[tuple[TestClient, Jobs]]:
    (tmp_path / "pictures" / "2024").mkdir(parents=True)
    with served(tmp_path / "data", roots=(tmp_path / "pictures",)) as opened:
        yield opened


def events(client: TestClient, *, last: int | None = None, **query: Any) -> list[tuple[int, str, Any]]:
    """What has changed: number, name and data of each event."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    text = client.get("/v1/jobs/events", params={"seconds": 0, **query}, headers=headers).text
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block
    ]
    return [(int(b["id"]), b["event"], orjson.loads(b["data"])) for b in blocks if "event" in b]


def wait_for(client: TestClient, id: str, *states: str) -> Any:
    deadline = time.monotonic() + 30
    while (job := client.get(f"/v1/jobs/{id}").json())["state"] not in states:
        assert time.monotonic() < deadline, job
        time.sleep(0.02)
    return job


def test_a_job_is_asked_for_runs_and_is_forgotten(api: tuple[TestClient, Jobs]) -> None:
    client, jobs = api
    started = client.post("/v1/jobs", json={"kind": "count", "arguments": {"units": 2}})
    assert started.status_code == 202
    job = started.json()
    assert (job["state"], job["who"], job["arguments"]) == ("queued", "API", {"units": 2})
    assert started.headers["Location"] == f"/v1/jobs/{job['id']}"
    with supervised(jobs):
        done = wait_for(client, job["id"], "done")
    assert (done["report"], done["progress"]["done"], done["exit_code"]) == ({"units": 2}, 2, 0)
    assert "begun" in client.get(f"/v1/jobs/{job['id']}/log").json()["log"]
    listed = client.get("/v1/jobs", params={"state": ["done", "failed"], "kind": "count"}).json()
    assert [one["id"] for one in listed["jobs"]] == [job["id"]] and listed["counts"] == {"done": 1}
    assert "report" not in listed["jobs"][0]
    assert client.get("/v1/jobs", params={"state": "queued"}).json()["jobs"] == []
    assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    assert client.get(f"/v1/jobs/{job['id']}").json()["code"] == "not_found"


def test_cancel_and_retry(api: tuple[TestClient, Jobs]) -> None:
    client, jobs = api
    id = client.post("/v1/jobs", json={"kind": "count", "arguments": {"seconds": 50}}).json()["id"]
    assert client.delete(f"/v1/jobs/{id}").json()["state"] == "cancelled"
    assert client.post(f"/v1/jobs/{id}/retry").json()["state"] == "queued"
    assert client.post(f"/v1/jobs/{id}/retry").json()["code"] == "conflict"
    with supervised(jobs):
        wait_for(client, id, "running")
        assert client.delete(f"/v1/jobs/{id}").json()["cancelling"] is True
        assert wait_for(client, id, "cancelled")["attempts"] == 1


def test_a_job_may_repeat_itself(api: tuple[TestClient, Jobs]) -> None:
    client, jobs = api
    body = {"kind": "count", "arguments": {"units": 1}, "every_seconds": 600}
    job = client.post("/v1/jobs", json=body).json()
    assert (job["every_seconds"], job["due_at"]) == (600, None)
    assert client.post("/v1/jobs", json=body).json()["code"] == "conflict"
    assert client.post("/v1/jobs", json=body | {"every_seconds": 59}).status_code == 422
    sent = {"source": {"name": "list.txt", "text": "a"}}
    refused = client.post("/v1/jobs", json={"kind": "read", "arguments": sent, "every_seconds": 600}).json()
    assert refused["code"] == "bad_request" and "repeats" in refused["detail"]
    with supervised(jobs):
        wait_for(client, job["id"], "done")
        (next,) = client.get("/v1/jobs", params={"state": "queued"}).json()["jobs"]
        assert next["due_at"] > job["created_at"] and next["arguments"] == {"units": 1}
        assert client.delete(f"/v1/jobs/{next['id']}").json()["state"] == "cancelled"


def test_events_go_on_from_the_last_one_seen(api: tuple[TestClient, Jobs]) -> None:
    client, _ = api
    first = client.post("/v1/jobs", json={"kind": "count"}).json()["id"]
    assert [(name, data["id"]) for _, name, data in events(client, after=0)] == [("job", first)]
    assert events(client) == []  # from now on
    seen = client.get("/v1/jobs").json()["change"]
    second = client.post("/v1/jobs", json={"kind": "count"}).json()["id"]
    client.delete(f"/v1/jobs/{first}")
    found = events(client, after=seen)
    assert [(data["id"], data["state"]) for _, _, data in found] == [(second, "queued"), (first, "cancelled")]
    assert events(client, last=found[0][0]) == found[1:]
    assert events(client, last=found[0][0], after=0) == found[1:]  # as a browser that comes back asks
    client.delete(f"/v1/jobs/{first}")
    assert [(name, data) for _, name, data in events(client, last=found[-1][0])] == [
        ("removed", {"id": first})
    ]
    assert len(events(client, after=0)) == 2


def test_events_come_while_one_waits(api: tuple[TestClient, Jobs]) -> None:
    client, _ = api
    timer = threading.Timer(0.3, lambda: client.post("/v1/jobs", json={"kind": "count"}))
    timer.start()
    found = events(client, seconds=2, after=0)
    timer.join()
    assert [name for _, name, _ in found] == ["job"]


def test_kinds_say_what_may_come_over_http(api: tuple[TestClient, Jobs]) -> None:
    answer = api[0].get("/v1/jobs/kinds").json()
    assert [kind["name"] for kind in answer["kinds"]] == ["count", "heavy-count", "read"]
    reading = answer["kinds"][2]
    assert answer["folders"] == ["folder:pictures"]
    assert [one["name"] for one in reading["parameters"]] == ["source", "words", "form", "encoder", "to"]
    assert reading["parameters"][2]["choices"] == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "kind"),
        ({"kind": "odd"}, 422, "no kind of job"),
        ({"kind": "count", "arguments": {"units": "3"}}, 422, "type integer"),
        ({"kind": "count", "arguments": {"odd": 1}}, 422, "has no argument"),
        ({"kind": "count", "more": 1}, 422, "more"),
        ({"kind": "save", "arguments": {"place": "/etc"}}, 403, "command line of the server alone"),
        ({"kind": "read", "arguments": {"source": "/etc"}}, 403, "takes objects:PREFIX"),
        ({"kind": "read", "arguments": {"source": "folder:pictures/.."}}, 403, "leads out"),
        ({"kind": "read", "arguments": {"source": "folder:pictures/no"}}, 404, "nothing at"),
        ({"kind": "read", "arguments": {"source": "folder:pictures/\0"}}, 422, "no text has"),
    ],
)
def test_what_does_not_fit_is_refused(
    api: tuple[TestClient, Jobs], body: dict[str, Any], status: int, words: str
) -> None:
    answer = api[0].post("/v1/jobs", json=body)
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    assert api[0].get("/v1/jobs").json()["jobs"] == []


def test_a_made_file_is_downloaded_in_parts(api: tuple[TestClient, Jobs]) -> None:
    client, jobs = api
    id = client.post("/v1/jobs", json={"kind": "count"}).json()["id"]
    assert client.get(f"/v1/jobs/{id}/file").status_code == 404
    jobs.table.claim("light")
    made = jobs.folder(id).made
    made.mkdir(parents=True)
    (made / "tâble.csv").write_bytes(b"id,class\n")
    report = {"file": str(made / "tâble.csv")}
    jobs.table.finish(id, 1, "done", exit_code=0, report=report, file=("made/tâble.csv", 9))
    assert client.get(f"/v1/jobs/{id}").json()["file"] == "tâble.csv"
    assert client.get(f"/v1/jobs/{id}").json()["report"] == {"file": f"DATA/jobs/{id}/made/tâble.csv"}
    whole = client.get(f"/v1/jobs/{id}/file")
    assert whole.content == b"id,class\n" and "attachment" in whole.headers["Content-Disposition"]
    part = client.get(f"/v1/jobs/{id}/file", headers={"Range": "bytes=3-"})
    assert (part.status_code, part.content) == (206, b"class\n")


def test_jobs_say_which_key_asked_for_them(tmp_path: Path) -> None:
    keys = (f"read:{READ}", f"write:{WRITE}")
    with served(tmp_path, keys=keys) as (client, _):
        body = {"kind": "count"}
        assert client.post("/v1/jobs", json=body, headers={"X-API-Key": READ}).status_code == 403
        started = client.post("/v1/jobs", json=body, headers={"X-API-Key": WRITE}).json()
        assert started["who"] == "API key 2"
        assert client.get("/v1/jobs", headers={"X-API-Key": READ}).json()["jobs"][0]["id"] == started["id"]
