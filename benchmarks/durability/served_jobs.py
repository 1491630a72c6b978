"""Jobs of a real server: searches beside them, and kills of the server while they run.

    python -m benchmarks.durability.served_jobs FOLDER [--encoder colour] [--kills 20]
                                                 [--rounds 3] [--seconds 15]

FOLDER has a folder of pictures for each class. *Beside*: the time of a search by image over HTTP, one after
another, while nothing else is done and while a job runs, in turns. *Kills*: jobs of several kinds wait, and
the server is killed (SIGKILL) again and again at random moments; then each must have been done once, and
every picture must be in its category once. At most 1,000 pictures.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.served import served

PATIENCE_SECONDS = 900.0
Arguments = Mapping[str, Any]


class Client:
    """What this benchmark asks of a server."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)

    def start(self, kind: str, **arguments: Any) -> str:
        answer = self.http.post("/v1/jobs", json={"kind": kind, "arguments": arguments})
        answer.raise_for_status()
        return str(answer.json()["id"])

    def job(self, id: str) -> dict[str, Any]:
        answer = self.http.get(f"/v1/jobs/{id}")
        return {"state": "forgotten"} if answer.status_code == 404 else dict(answer.json())

    def wait(self, id: str, *states: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (job := self.job(id))["state"] not in states:
            assert time.monotonic() < deadline, job
            time.sleep(0.1)
        return job

    def ids(self, category: str) -> list[str]:
        answer = self.http.get(f"/v1/categories/{category}/images", params={"limit": 1000})
        answer.raise_for_status()
        return [str(image["id"]) for image in answer.json()["hits"]]

    def search(self, category: str, id: str) -> float:
        """Return the seconds that a search took."""
        began = time.perf_counter()
        body = {"id": id, "limit": 20}
        self.http.post(f"/v1/categories/{category}/search", json=body).raise_for_status()
        return time.perf_counter() - began


def beside(client: Client, rounds: int, seconds: float) -> dict[str, Any]:
    """Return the percentiles of searches in ms: alone, and beside each kind of job, in turns."""
    ids, pick = client.ids("first"), random.Random(0)
    found: dict[str, list[float]] = {}

    def measure(name: str, job: str | None) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if job is not None and client.job(job)["state"] != "running":
                return
            found.setdefault(name, []).extend(client.search("first", pick.choice(ids)) for _ in range(20))

    jobs: dict[str, Arguments] = {
        "metric-train": {"name": "similar", "category": "first", "epochs": 2_000, "patience": 0},
        "autoencoder-train": {"folder": "codes", "category": "first", "epochs": 2_000, "patience": 1_000},
        "index-add": {"source": "folder:pictures", "category": "again", "create": True},
    }
    for number in range(rounds):
        for kind, arguments in jobs.items():
            measure("alone", None)
            given = dict(arguments)
            if kind == "index-add":
                given["category"] = f"again-{number}"
            id = client.start(kind, **given)
            client.wait(id, "running", "done", "failed")
            time.sleep(3)  # until its process has what it needs in memory
            measure(kind, id)
            client.http.delete(f"/v1/jobs/{id}")
            client.wait(id, "cancelled", "done", "failed", "forgotten")
    return {name: percentiles(times) for name, times in found.items()}


def percentiles(times: list[float]) -> dict[str, float]:
    half, most = (round(1_000 * float(np.percentile(times, p)), 1) for p in (50, 95))
    return {"searches": len(times), "p50_ms": half, "p95_ms": most}


def kills(data: Path, settings: Mapping[str, str], count: int) -> dict[str, Any]:
    """Kill a server again and again while its jobs run, and see what became of them."""
    pick = random.Random(1)
    with served(data, **settings) as (process, url):
        client = Client(url)
        images = len(client.ids("first"))
        categories = [f"copy-{number}" for number in range(6)]
        jobs = [
            client.start("index-add", source="folder:pictures", category=name, create=True)
            for name in categories
        ]
        jobs += [client.start("map-make", category="first", name=f"flat-{n}", method="pca") for n in range(3)]
        jobs += [client.start("duplicates-find", category="first") for _ in range(3)]
        jobs += [client.start("export-table", category="first", to=f"table-{n}.csv") for n in range(3)]
        kill(process, pick.uniform(0.5, 4.0))
    for _ in range(count - 1):
        with served(data, **settings) as (process, _):
            kill(process, pick.uniform(0.5, 4.0))
    with served(data, **settings) as (_, url):
        client = Client(url)
        ended = [client.wait(id, "done", "failed", "cancelled") for id in jobs]
        states = [job["state"] for job in ended]
        wrong = {name: len(ids) for name in categories if len(set(ids := client.ids(name))) != images}
        twice = {name: len(ids) for name in categories if len(set(ids := client.ids(name))) != len(ids)}
        maps = client.http.get("/v1/categories/first/maps").json()["maps"]
        listed = client.http.get("/v1/jobs").json()["counts"]
        check = client.wait(client.start("check"), "done", "failed")
    return {
        "kills": count,
        "jobs": len(jobs),
        "states": {state: states.count(state) for state in set(states)},
        "attempts": sum(job["attempts"] for job in ended),
        "deaths": sum(job["deaths"] for job in ended),
        "in_the_table": listed,
        "categories_with_another_count": wrong,
        "images_twice": twice,
        "maps": len(maps),
        "check": [finding["code"] for finding in check["report"]["findings"]],
    }


def kill(process: subprocess.Popen[str], after: float) -> None:
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default="colour")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        work = Path(name)
        (work / "pictures").symlink_to(given.folder.resolve())
        settings = {"VITRINE_ROOTS": str(work / "pictures"), "VITRINE_ENCODER": given.encoder}
        with served(work / "data", **settings) as (_, url):
            client = Client(url)
            add = {"source": "folder:pictures", "category": "first", "create": True, "class_from": "folder"}
            added = client.wait(client.start("index-add", **add), "done", "failed")
            assert added["state"] == "done", added
            if given.rounds:
                found["beside"] = beside(client, given.rounds, given.seconds)
        if given.kills:
            found["kills"] = kills(work / "data", settings, given.kills)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
