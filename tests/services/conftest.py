from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.s3 import s3_store
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.local import LocalObjectStore


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "objects", min_free_mb=0)


@pytest.fixture(scope="session")
def s3_endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    given = request.config.getoption("--minio-url")
    if given:
        yield given.removeprefix("http://").removeprefix("https://").rstrip("/")
        return
    from moto.server import ThreadedMotoServer  # takes a second, which few tests need

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture(params=["local", "s3", "s3-prefix"])
def each_object_store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind: a folder, a bucket, and a part of a bucket."""
    if request.param == "local":
        return LocalObjectStore(tmp_path / "objects", min_free_mb=0)
    endpoint = request.getfixturevalue("s3_endpoint")
    prefix = "somewhere/below/" if request.param == "s3-prefix" else ""
    return s3_store(request, endpoint, f"contract-{secrets.token_hex(8)}", prefix)
