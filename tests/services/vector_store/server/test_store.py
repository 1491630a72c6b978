"""What only a server can get wrong: silence, refusals, and what it is sent."""

from __future__ import annotations

import json
import socket
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import grpc
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.conversions.conversion import RestToGrpc

from tests.services.stub_http import answering
from vitrine.services.domain import CollectionSchema, Near, OrderBy, Point, Query, Random, VectorSpec
from vitrine.services.errors import (
    BadRequest,
    NotFound,
    StorageFull,
    TooLarge,
    Unavailable,
    UnknownField,
    VitrineError,
)
from vitrine.services.filters.conditions import Filter, MatchValue, Range
from vitrine.services.vector_store.server import store as server_module
from vitrine.services.vector_store.server.errors import mapped_errors
from vitrine.services.vector_store.server.listing import Listing
from vitrine.services.vector_store.server.search import request
from vitrine.services.vector_store.server.store import ServerVectorStore

VECTOR = np.eye(4, dtype=np.float32)[0]


def refusing(status: int, text: str) -> AbstractContextManager[str]:
    """A server that refuses everything as Qdrant does; yields its URL."""
    return answering(status, json.dumps({"status": {"error": text}, "time": 0.0}).encode())


REFUSALS: dict[str, tuple[int, str, type[VitrineError], str]] = {
    "no key": (401, "Must provide an API key", Unavailable, "QDRANT_API_KEY"),
    "bad key": (403, "forbidden", Unavailable, "QDRANT_API_KEY"),
    "missing": (404, "Not found: Collection `c` doesn't exist!", NotFound, "'c'"),
    "unindexed": (400, 'Bad request: Index required but not found for "x"', UnknownField, "x"),
    "malformed": (422, "Validation error", BadRequest, "Validation"),
    "full": (500, "Service internal error: No space left on device (os error 28)", StorageFull, "space"),
    "broken": (500, "Service internal error", Unavailable, "QDRANT_URL"),
    "too large": (413, "Payload too large", TooLarge, "fewer"),
    "busy": (503, "Service unavailable", Unavailable, "QDRANT_URL"),
}


@pytest.mark.parametrize(("status", "text", "error", "mentions"), REFUSALS.values(), ids=REFUSALS)
def test_what_a_server_says_becomes_our_error(
    status: int, text: str, error: type[VitrineError], mentions: str
) -> None:
    with refusing(status, text) as url:
        store = ServerVectorStore.connect(url, prefer_grpc=False)
        with pytest.raises(error) as caught:
            store.count("c")
        assert mentions in caught.value.message
        store.close()


@pytest.mark.parametrize("prefer_grpc", [False, True])
def test_a_dead_server_is_named_at_once(prefer_grpc: bool) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        client = QdrantClient(
            url=f"http://127.0.0.1:{port}",
            grpc_port=port,
            prefer_grpc=prefer_grpc,
            timeout=5,
            check_compatibility=False,
        )
        store = ServerVectorStore(client, server=f"http://127.0.0.1:{port}")
        for call in (
            store.collections,
            lambda: store.count("c"),
            lambda: store.ensure(CollectionSchema("c", ())),
        ):
            started = time.monotonic()
            with pytest.raises(Unavailable, match="QDRANT_URL") as caught:
                call()
            assert time.monotonic() - started < 10
            assert str(port) in caught.value.message
        store.close()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, Unavailable),
        (grpc.StatusCode.PERMISSION_DENIED, Unavailable),
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.INVALID_ARGUMENT, BadRequest),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Unavailable),
        (grpc.StatusCode.INTERNAL, Unavailable),
    ],
)
def test_grpc_says_the_same(code: grpc.StatusCode, error: type[VitrineError]) -> None:
    class Refusal(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return code

        def details(self) -> str:
            return "some text"

    with pytest.raises(error), mapped_errors("http://q", "c"):
        raise Refusal


def test_nothing_is_sent_by_connect_and_a_malformed_url_is_refused() -> None:
    ServerVectorStore.connect("http://127.0.0.1:1").close()
    with pytest.raises(BadRequest, match="QDRANT_URL"):
        ServerVectorStore.connect("ftp://127.0.0.1")


def test_close_twice_and_then_ask() -> None:
    store = ServerVectorStore(QdrantClient(":memory:"))
    store.close()
    store.close()
    with pytest.raises(Unavailable):
        store.collections()


class Recorder:
    """Stands before an in-process client and keeps the arguments of every call."""

    def __init__(self, client: QdrantClient) -> None:
        self.client = client
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args, kwargs))
            return method(*args, **kwargs)

        return call

    def named(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(args, kwargs) for called, args, kwargs in self.calls if called == name]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = QdrantClient(":memory:")
        yield Recorder(client)
        client.close()


def recorded_store(recorder: Recorder, **options: int) -> ServerVectorStore:
    store = ServerVectorStore(recorder, **options)  # type: ignore[arg-type]
    store.ensure(
        CollectionSchema("c", (VectorSpec("clip", 4), VectorSpec("large", 1024)), {"class": "keyword"})
    )
    return store


def test_a_collection_is_made_strict_sharded_and_with_indexes_before_data(recorder: Recorder) -> None:
    recorded_store(recorder, shard_number=3, replication_factor=2)
    ((_, made),) = recorder.named("create_collection")
    assert (made["shard_number"], made["replication_factor"]) == (3, 2)
    strict = made["strict_mode_config"]
    assert (strict.enabled, strict.unindexed_filtering_retrieve, strict.unindexed_filtering_update) == (
        True,
        False,
        False,
    )
    large = made["vectors_config"]["large"]
    assert large.datatype == models.Datatype.FLOAT16 and large.distance == models.Distance.COSINE
    assert large.hnsw_config.full_scan_threshold == 40_000  # 20,000 points of 2 KB
    ((args, indexed),) = recorder.named("create_payload_index")
    assert args == ("c", "class") and indexed["wait"] is True


def test_a_vector_that_comes_later_is_searched_as_the_first_ones_are(recorder: Recorder) -> None:
    store = recorded_store(recorder)
    store.add_vector("c", VectorSpec("late", 512))
    changed = [
        kwargs["vectors_config"]
        for _, kwargs in recorder.named("update_collection")
        if "vectors_config" in kwargs
    ]
    assert [config["late"].hnsw_config.full_scan_threshold for config in changed] == [
        20_000
    ]  # 20,000 points of 1 KB


def test_every_write_waits(recorder: Recorder) -> None:
    store = recorded_store(recorder)
    id = str(uuid.UUID(int=1))
    store.upsert("c", [Point(id, {"clip": VECTOR}, {"a": 1})])
    store.update_vectors("c", [id], "clip", VECTOR[None])
    store.set_payload("c", {id: {"b": 1}})
    store.delete_payload("c", [id], ["a"])
    store.delete("c", [id])
    for name in ("upsert", "update_vectors", "batch_update_points", "delete_payload", "delete"):
        ((_, kwargs),) = recorder.named(name)
        assert kwargs["wait"] is True, name


def test_equal_payloads_travel_once(recorder: Recorder) -> None:
    store = recorded_store(recorder)
    ids = [str(uuid.UUID(int=n + 1)) for n in range(6)]
    store.upsert("c", [Point(id, {}, {}) for id in ids])
    store.set_payload("c", {id: {"x": n % 2, "y": {"a": 1, "b": 2}} for n, id in enumerate(ids)}, key="deep")
    ((args, _),) = recorder.named("batch_update_points")
    sent = [operation.set_payload for operation in args[1]]
    assert [one.points for one in sent] == [ids[::2], ids[1::2]] and {one.key for one in sent} == {"deep"}


def test_batches_stay_below_what_a_request_may_weigh(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = recorded_store(recorder)
    monkeypatch.setattr(server_module, "BATCH_BYTES", 5_000)
    points = [Point(str(uuid.UUID(int=n + 1)), {"clip": VECTOR}, {"text": "x" * 1_500}) for n in range(7)]
    store.upsert("c", [*points, Point(str(uuid.UUID(int=99)), {}, {"text": "x" * 9_000})])
    assert [len(args[1]) for args, _ in recorder.named("upsert")] == [3, 3, 1, 1]
    assert store.count("c") == 8


def test_what_another_process_adds_is_seen_before_a_refusal() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = QdrantClient(":memory:")
        one, other = ServerVectorStore(client), ServerVectorStore(client)
        one.ensure(CollectionSchema("c", ()))
        filter = Filter(must=(MatchValue("class", "x"),))
        with pytest.raises(UnknownField):
            one.count("c", filter)
        other.add_index("c", "class", "keyword")
        other.add_vector("c", VectorSpec("clip", 4))
        assert one.count("c", filter) == 0
        assert one.query("c", Query(Near(VECTOR), using="clip")) == []


@pytest.mark.parametrize("ask", [Near(VECTOR), Random()], ids=lambda ask: type(ask).__name__)
def test_queries_survive_the_way_into_grpc(ask: Any) -> None:
    filter = Filter(must=(Range("n", gte=1),))
    sent = request(Query(ask, using="clip", filter=filter, exclude=(str(uuid.UUID(int=1)),), exact=True), 5)
    message = RestToGrpc.convert_query_request(sent, "c")
    assert message.limit == 5 and message.filter.must_not and not message.offset
    assert message.params.exact == isinstance(ask, Near)


@pytest.mark.parametrize(
    ("kind", "value", "start"),
    [("integer", 2**60, 2**60 - 128), ("float", 0.1, 0.10000000000000002), ("datetime", 1_000_000, None)],
)
def test_positions_survive_the_way_into_grpc(kind: Any, value: Any, start: Any) -> None:
    listing = Listing("n", kind, False, QdrantClient(":memory:"), "c", None, True, False)
    order = models.OrderBy(key="n", start_from=listing.start_from(listing.start_after(value)))
    message = RestToGrpc.convert_order_by(order)
    sent = getattr(message.start_from, message.start_from.WhichOneof("value"))
    assert sent == start if start is not None else (sent.seconds, sent.nanos) == (1, 1000)
    RestToGrpc.convert_filter(models.Filter.model_validate({"must": [listing.equals(value)]}))


# The in-process client is kinder than a server: these stand in for the difference
# ----------------------------------------


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("base", [2**60, -(2**60), 2**60 + 2**8 - 4, 2**63 - 9, -(2**63) + 1])
def test_large_integers_are_paged_where_the_server_starts_at_a_float64(
    recorder: Recorder, base: int, descending: bool
) -> None:
    scroll = recorder.client.scroll

    def rounding(*args: Any, **kwargs: Any) -> Any:
        order = kwargs.get("order_by")
        if order is not None and order.start_from is not None:
            assert -(2**63) <= order.start_from < 2**63
            kwargs["order_by"] = order.model_copy(update={"start_from": float(order.start_from)})
        return scroll(*args, **kwargs)

    recorder.client.scroll = rounding  # type: ignore[method-assign]
    store = recorded_store(recorder)
    store.add_index("c", "n", "integer")
    values = [base + n // 4 for n in range(30)]
    ids = [str(uuid.UUID(int=n + 1)) for n in range(30)]
    store.upsert("c", [Point(id, {}, {"n": value}) for id, value in zip(ids, values, strict=True)])
    seen, cursor = [], None
    for _ in ids:
        page = store.scroll("c", order_by=OrderBy("n", descending), limit=3, cursor=cursor)
        seen += [hit.payload["n"] for hit in page.hits]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == sorted(values, reverse=descending)


def test_facets_of_equal_count_are_sorted_whatever_the_server_does(recorder: Recorder) -> None:
    hits = [
        models.FacetValueHit(value=value, count=count)
        for value, count in (("gone", 0), ("b", 1), ("c", 2), ("a", 1))
    ]
    recorder.client.facet = lambda *args, **kwargs: models.FacetResponse(hits=hits)  # type: ignore[method-assign]
    found = recorded_store(recorder).facet("c", "class")
    assert [(facet.value, facet.count) for facet in found] == [("c", 2), ("a", 1), ("b", 1)]
