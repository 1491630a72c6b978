from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import client_on, fill, runtime_in, settings_in
from vitrine.services.runtime import Runtime


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with runtime_in(settings_in(tmp_path, max_upload_mb=1)) as opened:
        yield opened


@pytest.fixture
def client(runtime: Runtime) -> Iterator[TestClient]:
    with client_on(runtime) as opened:
        yield opened


@pytest.fixture
def ids(client: TestClient) -> dict[str, str]:
    """Ids by colour of the filled category ``colours``."""
    return fill(client)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client with the filled category ``colours``, for tests that change nothing: filling takes longer than
    they do."""
    with (
        runtime_in(settings_in(tmp_path_factory.mktemp("shared"), max_upload_mb=1)) as opened,
        client_on(opened) as client,
    ):
        fill(client)
        yield client


@pytest.fixture(scope="session")
def shared_ids(shared: TestClient) -> dict[str, str]:
    """Ids by colour of what ``shared`` holds."""
    hits = shared.get("/v1/categories/colours/images").json()["hits"]
    return {hit["payload"]["filename"].removesuffix(".png"): hit["id"] for hit in hits}
