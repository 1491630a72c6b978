"""The engines that the contract runs on, and a filled collection for the tests that only read."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from qdrant_client import QdrantClient

from services.vector_store.base import VectorStore
from services.vector_store.server import ServerVectorStore
from tests.services.vector_store import random_data
from tests.services.vector_store.oracle import OracleVectorStore

ENGINES = ["edge", "server"]


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    """One store an engine for the whole run; tests keep apart by the names of their collections."""
    store = make_edge(tmp_path_factory) if request.param == "edge" else make_server(request.config)
    created: VectorStore = store
    yield created
    for name in [name for name in created.collections() if name.startswith(PREFIX)]:
        created.drop(name)
    created.close()


PREFIX = f"contract-{secrets.token_hex(3)}-"


def make_edge(tmp_path_factory: pytest.TempPathFactory) -> VectorStore:
    from services.vector_store.edge import EdgeVectorStore

    return EdgeVectorStore(tmp_path_factory.mktemp("edge"))


def make_server(config: pytest.Config) -> VectorStore:
    url = config.getoption("--qdrant-url")
    if url:
        return ServerVectorStore.connect(url, api_key=config.getoption("--qdrant-api-key"))
    # the in-process mode has no indexes and says so once; what it lacks, the adapter keeps
    warnings.filterwarnings("ignore", message="Payload indexes have no effect in the local Qdrant")
    warnings.filterwarnings("ignore", message="Local mode performs exact")
    return ServerVectorStore(QdrantClient(":memory:"))


@pytest.fixture
def fresh() -> Callable[[str], str]:
    """A name that no other test uses."""
    mark = secrets.token_hex(4)
    return lambda name="c": f"{PREFIX}{mark}-{name}"


@dataclass(frozen=True)
class Pair:
    """The same collection in an engine and in the oracle."""

    store: VectorStore
    oracle: OracleVectorStore
    name: str
    ids: list[str]


@pytest.fixture(scope="session")
def filled(engine: VectorStore) -> Pair:
    """160 random points. Read only."""
    name = PREFIX + "filled"
    points = random_data.points(160, seed=7)
    oracle = OracleVectorStore()
    for store in (engine, oracle):
        store.ensure(random_data.schema(name))
        store.upsert(name, points)
    return Pair(engine, oracle, name, [point.id for point in points])
