"""A real server in a process of its own: embedded engine, folder of objects, port 0."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.helpers import COLOURS, picture
from tests.program import start_python
from tests.served import ROOT, SERVE, served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    folder = tmp_path_factory.mktemp("served")
    with served(folder, VITRINE_MAX_UPLOAD_MB="1") as (process, url):
        yield process, url, folder


def test_a_collection_is_made_filled_searched_and_survives_a_stop(
    server: tuple[subprocess.Popen[str], str, Path],
) -> None:
    process, url, folder = server
    with httpx.Client(base_url=url, timeout=60) as client:
        assert client.get("/readyz").json()["ready"] is True
        assert client.post("/v1/categories", json={"name": "colours"}).status_code == 201
        files = [("files", (f"{name}.png", picture(colour))) for name, colour in COLOURS.items()]
        added = client.post("/v1/categories/colours/images", files=files, data={"class": "flat"})
        assert added.status_code == 201 and added.json()["counts"] == {"added": len(COLOURS)}
        found = client.post(
            "/v1/categories/colours/search", json={"text": "blue", "limit": 1, "filter": {"class": ["flat"]}}
        )
        hit = found.json()["hits"][0]
        assert hit["payload"]["filename"] == "blue.png"
        assert client.get(hit["urls"]["file"]).content == picture(COLOURS["blue"])
        assert client.get("/v1/categories", headers={"Host": "evil.example"}).status_code == 403
        for query in ("id=x", "metadata.year=1", "quality.gte=1e300", "bytes.gte=99999999999999999999999"):
            assert client.get(f"/v1/categories/colours/images?{query}").status_code in (200, 404, 422), query
        head = client.get("/healthz").headers
        assert "server" not in head and "x-request-id" in head
    cut_off_at_the_limit(url)
    with served(folder) as (_, other), httpx.Client(base_url=other, timeout=60) as client:
        assert client.get("/v1/categories/colours").json()["images"] == len(COLOURS)  # beside the first one
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    with served(folder) as (_, url), httpx.Client(base_url=url, timeout=60) as client:
        assert client.get("/v1/categories/colours").json()["images"] == len(COLOURS)


EARLY = """
import os, sys
from contextlib import contextmanager
from pathlib import Path
from vitrine.api import serve
from vitrine.services.settings import Settings

jobs_run = serve.jobs_run_in_background

@contextmanager
def jobs_run_and_a_signal_comes(jobs):
    with jobs_run(jobs):
        os.kill(os.getpid(), int(sys.argv[2]))
        yield

serve.jobs_run_in_background = jobs_run_and_a_signal_comes
serve.serve(Settings(data=Path(sys.argv[1]), port=0, offline=True, min_free_mb=0, _env_file=None))
print("closed")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_while_it_starts_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    process = start_python("-c", EARLY, tmp_path / "data", int(number))
    try:
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0 and said.endswith("closed\n")


def cut_off_at_the_limit(url: str) -> None:
    """A chunked body without an end gets its answer while it is still being sent."""
    host, port = url.removeprefix("http://").split(":")
    chunk = b"%x\r\n%s\r\n" % (65_536, b"x" * 65_536)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = (
            "POST /v1/categories/colours/images HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        )
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode())
        part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        for _ in range(17):  # 1.1 of 1.0 MB, and never the end
            connection.sendall(chunk)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413 ")


def test_an_open_address_without_keys_does_not_start(tmp_path: Path) -> None:
    environment = {**os.environ, "VITRINE_DATA": str(tmp_path), "VITRINE_HOST": "0.0.0.0"}
    environment.pop("VITRINE_API_KEYS", None)
    done = subprocess.run(
        [sys.executable, "-c", SERVE], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode != 0 and "VITRINE_API_KEYS" in done.stderr
