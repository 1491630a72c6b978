"""Searches go on while the object store is away: killed, hanging, and back again."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from moto.server import ThreadedMotoServer

from tests.api.helpers import client_on, fill, picture, settings_in, upload
from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.api.warmup import know
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.object_store.minio_store import MinioObjectStore
from vitrine.services.runtime import Runtime, assemble

SEARCHES: tuple[dict[str, Any], ...] = (
    {"text": "red"},
    {"text": "red", "filter": {"tags_any": ["flat"]}},
    {"text": "red", "collapse": True},
    {"filter": {"scores": {"red": {"gte": 0.0}}}},
    {"order_by": {"field": "metadata.year"}},
)


class S3:
    """An S3 server at one address that can be killed, hang, and come back with what it had."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._server: ThreadedMotoServer | None = None
        self._silent: socket.socket | None = None

    def start(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()

    def kill(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def hang(self) -> None:
        """Take connections and say nothing."""
        self.kill()
        self._silent = socket.create_server(("127.0.0.1", self.port))

    def close(self) -> None:
        self.kill()
        if self._silent is not None:
            self._silent.close()
            self._silent = None


@pytest.fixture
def s3() -> Iterator[S3]:
    server = S3()
    server.start()
    yield server
    server.close()


@contextmanager
def serving(folder: Path, s3: S3) -> Iterator[tuple[Runtime, TestClient]]:
    settings = settings_in(folder)
    pool = EncoderPool(settings)
    pool.register(ColourEncoder())
    objects = MinioObjectStore(
        f"127.0.0.1:{s3.port}", access_key="access", secret_key="secret-key", bucket=f"outage-{s3.port}"
    )
    runtime = assemble(settings, OracleVectorStore(), objects, pool)
    try:
        with client_on(runtime) as client:
            fill(client)
            runtime.taggers.save("colours", [tagger(runtime)])
            assert (
                upload(client, "colours", ("more.png", picture((9, 200, 90)))).status_code == 201
            )  # it is scored
            runtime.taggers.save(
                "colours", [tagger(runtime)], scored=["red"]
            )  # from now on the score counts no more
            know(runtime, "colours")
            yield runtime, client
    finally:
        runtime.known.close()
        pool.close()


def tagger(runtime: Runtime) -> TagHead:
    spec = runtime.catalog.get("colours").encoder()
    return TagHead("red", "by-hand", spec.name, spec.revision, np.ones(spec.dim, np.float32), 0.0)


def search_all(client: TestClient) -> list[tuple[int, list[str]]]:
    answers = [client.post("/v1/categories/colours/search", json=body) for body in SEARCHES]
    return [(answer.status_code, [hit["id"] for hit in answer.json().get("hits", [])]) for answer in answers]


def test_searches_go_on_without_the_object_store_and_it_is_said(tmp_path: Path, s3: S3) -> None:
    with serving(tmp_path, s3) as (runtime, client):
        before = search_all(client)
        assert [status for status, _ in before] == [200] * len(SEARCHES)
        listed = client.get("/v1/categories").json()
        s3.kill()
        expire(runtime)
        assert search_all(client) == before
        settle(runtime)
        ready = client.get("/readyz")
        assert ready.status_code == 503 and ready.json()["parts"] == {
            "vectors": "ok",
            "objects": "unavailable",
        }
        assert ready.json()["search"] is True and ready.json()["known_as_of"] is not None
        assert client.get("/readyz", params={"need": "search"}).status_code == 200
        assert client.get("/v1/categories").json() == listed
        s3.start()
        expire(runtime)
        assert search_all(client) == before
        settle(runtime)  # whoever tries the store first tries it for all
        runtime.catalog.describe("colours", "back")
        assert client.get("/v1/categories/colours").json()["description"] == "back"


def test_a_store_that_hangs_holds_up_no_search(tmp_path: Path, s3: S3) -> None:
    with serving(tmp_path, s3) as (runtime, client):
        before = search_all(client)
        assert [status for status, _ in before] == [200] * len(SEARCHES)
        s3.hang()
        threads = threading.active_count()
        started = time.monotonic()
        for _ in range(5):
            expire(runtime)
            assert search_all(client) == before
        assert time.monotonic() - started < 8, "less than one answer of a store that hangs takes"
        assert threading.active_count() <= threads + 1


def settle(runtime: Runtime) -> None:
    """Until what is read in the background has been read, or was given up."""
    while (thread := runtime.known._thread) is not None:
        thread.join(20)


def expire(runtime: Runtime) -> None:
    """A second later."""
    for entry in runtime.known._entries.values():
        entry.read -= 2
