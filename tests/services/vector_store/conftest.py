"""The engines that the contract runs on, and a filled collection for the tests that only read."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from tests.services.vector_store import random_data
from tests.services.vector_store.oracle import OracleVectorStore
from vitrine.services.vector_store.base import VectorStore
from vitrine.services.vector_store.server.store import ServerVectorStore

PREFIX = f"contract-{secrets.token_hex(3)}-"


@pytest.fixture(scope="session")
def edge_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorStore]:
    yield from _emptied(make_edge(tmp_path_factory.mktemp("edge")))


@pytest.fixture(scope="session")
def server_store(request: pytest.FixtureRequest) -> Iterator[VectorStore]:
    yield from _emptied(make_server(request.config))


@pytest.fixture(scope="session", params=["edge", "server"])
def engine(request: pytest.FixtureRequest) -> VectorStore:
    """One store an engine for the whole run; tests keep apart by the names of their collections."""
    store: VectorStore = request.getfixturevalue(f"{request.param}_store")
    return store


@pytest.fixture(params=["edge", "server", "oracle"])
def store(request: pytest.FixtureRequest) -> VectorStore:
    """Each engine, and the oracle: what is held by hand-written expectations holds for it too, so they check
    each other."""
    if request.param == "oracle":
        return OracleVectorStore()
    found: VectorStore = request.getfixturevalue(f"{request.param}_store")
    return found


def _emptied(store: VectorStore) -> Iterator[VectorStore]:
    """The store, and afterwards a server without what the tests made on it."""
    yield store
    for name in [name for name in store.collections() if name.startswith(PREFIX)]:
        store.drop(name)
    store.close()


def make_edge(folder: Path) -> VectorStore:
    from vitrine.services.vector_store.edge.store import EdgeVectorStore

    return EdgeVectorStore(folder, min_free_mb=64)


def make_server(config: pytest.Config) -> VectorStore:
    url = config.getoption("--qdrant-url")
    if url:
        return ServerVectorStore.connect(
            url,
            api_key=config.getoption("--qdrant-api-key"),
            prefer_grpc=not config.getoption("--qdrant-rest"),
            grpc_port=config.getoption("--qdrant-grpc-port"),
            shards=config.getoption("--qdrant-shards"),
            replicas=config.getoption("--qdrant-replicas"),
        )
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
