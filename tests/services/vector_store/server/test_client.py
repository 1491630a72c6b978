"""Which server is asked, by which protocol, and what happens when it is gone."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from typing import Any, cast

import grpc
import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from tests.services.vector_store.fake_qdrant import rest_server
from vitrine.services.domain import CollectionSchema, Near, Point, Query, VectorSpec
from vitrine.services.errors import BadRequest, NotFound, Unavailable
from vitrine.services.vector_store.server.client import AnyNode, nodes
from vitrine.services.vector_store.server.store import ServerVectorStore


@pytest.mark.parametrize(
    ("url", "given", "prefer", "wanted"),
    [
        ("http://q:6333", None, True, 6334),
        ("http://q", None, True, 6334),
        ("q:6333", None, True, 6334),
        ("https://q.example", None, True, 6334),
        ("http://q:7333", None, True, None),
        ("http://q:80", None, True, None),
        ("http://q:7333", 7334, True, 7334),
        ("http://q:6333", 9000, True, 9000),
        ("http://q:6333", 6334, False, None),
    ],
)
def test_grpc_is_spoken_where_its_port_is_known(
    url: str, given: int | None, prefer: bool, wanted: int | None
) -> None:
    (node,) = nodes(url, grpc_port=given, prefer_grpc=prefer)
    assert node.grpc_port == wanted
    client = node.client(api_key=None)
    assert client._client._prefer_grpc is (wanted is not None)  # type: ignore[attr-defined]
    assert client._client._grpc_port == (wanted or 6334)  # type: ignore[attr-defined]
    client.close()


def test_a_server_that_is_back_is_found_within_a_second() -> None:
    client = nodes("http://q:6333", grpc_port=None, prefer_grpc=True)[0].client(api_key=None)
    options = client._client._grpc_options  # type: ignore[attr-defined]
    assert (
        options["grpc.initial_reconnect_backoff_ms"] == 200
        and options["grpc.max_reconnect_backoff_ms"] == 1000
    )
    client.close()


@pytest.mark.parametrize(
    "urls", ["ftp://q", "http://", "http://q:6333,", "http://q:6333,,http://r:6333", "http://q:port"]
)
def test_what_is_no_url_is_refused(urls: str) -> None:
    with pytest.raises(BadRequest, match="QDRANT_URL"):
        ServerVectorStore.connect(urls)


def test_a_key_over_http_prints_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ServerVectorStore.connect("http://q:6333,http://r:6333", api_key="secret").close()


class Node:
    """A node of a cluster: an in-process client whose calls fail with ``error`` while that is set, after
    ``done`` or before."""

    def __init__(self, client: QdrantClient) -> None:
        self.client = client
        self.error: Exception | None = None
        self.done = False
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.error is not None and not self.done:
                raise self.error
            answer = method(*arguments, **options)
            if self.error is not None:
                raise self.error
            return answer

        return call


class Silence(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "failed to connect to all addresses"


GONE = {
    "grpc": Silence(grpc.StatusCode.UNAVAILABLE),
    "grpc hangs": Silence(grpc.StatusCode.DEADLINE_EXCEEDED),
    "rest": ResponseHandlingException(httpx.ConnectError("refused")),
    "rest hangs": ResponseHandlingException(httpx.ReadTimeout("timed out")),
    "proxy": UnexpectedResponse(503, "Service Unavailable", b"", httpx.Headers()),
}


@pytest.fixture
def cluster() -> Iterator[list[Node]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = QdrantClient(":memory:")
        yield [Node(client) for _ in range(3)]
        client.close()


def on(nodes: list[Node]) -> ServerVectorStore:
    return ServerVectorStore(
        cast(QdrantClient, AnyNode(cast(Any, nodes), [f"node {n}" for n in range(len(nodes))]))
    )


def uid(number: int) -> str:
    return str(uuid.UUID(int=number))


def point(number: int) -> Point:
    return Point(uid(number), {"clip": np.eye(4, dtype=np.float32)[number % 4]}, {"n": number})


def fill(store: ServerVectorStore) -> None:
    store.ensure(CollectionSchema("c", (VectorSpec("clip", 4),), {"n": "integer"}))
    store.upsert("c", [point(number) for number in range(1, 6)])


@pytest.mark.parametrize("done", [False, True], ids=["before it was done", "after it was done"])
@pytest.mark.parametrize("error", GONE.values(), ids=GONE)
def test_the_death_of_a_node_costs_no_call(cluster: list[Node], error: Exception, done: bool) -> None:
    store = on(cluster)
    fill(store)
    cluster[0].error, cluster[0].done = error, done
    near = Query(Near(np.eye(4, dtype=np.float32)[1]), using="clip", limit=1)
    assert store.query("c", near)[0].id in (uid(1), uid(5))
    store.upsert("c", [point(6)])
    store.set_payload("c", {uid(6): {"seen": True}})
    store.update_vectors("c", [uid(6)], "clip", np.eye(4, dtype=np.float32)[:1])
    store.delete_payload("c", [uid(6)], ["seen"])
    store.delete("c", [uid(1)])
    assert store.count("c") == 5
    assert [hit.payload["n"] for hit in store.scroll("c", limit=10).hits] == [2, 3, 4, 5, 6]


def test_the_node_that_answered_is_asked_from_then_on(cluster: list[Node]) -> None:
    store = on(cluster)
    fill(store)
    cluster[0].error = GONE["grpc"]
    store.count("c")
    asked = cluster[0].calls
    for _ in range(5):
        store.count("c")
    assert cluster[0].calls == asked, "a dead node is not tried by every query"
    cluster[1].error = GONE["rest"]
    cluster[0].error = None
    assert store.count("c") == 5, "around, from the last to the first"


def test_a_whole_cluster_that_is_gone_is_named(cluster: list[Node]) -> None:
    store = on(cluster)
    fill(store)
    for node in cluster:
        node.error = GONE["grpc"]
    with pytest.raises(Unavailable):
        store.count("c")


def test_what_a_node_refuses_is_not_asked_of_another(cluster: list[Node]) -> None:
    store = on(cluster)
    before = cluster[1].calls
    with pytest.raises(NotFound):
        store.count("nothing")
    assert cluster[1].calls == before


def test_real_addresses_fail_over_too() -> None:
    with rest_server({"shop": 3}) as url:
        store = ServerVectorStore.connect(f"http://127.0.0.1:1, {url}")
        assert store.collections() == ["shop"]
        store.close()
