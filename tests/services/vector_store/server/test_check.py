"""What the doctor says of a Qdrant server: is it one, does it fit, and can it hold what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from tests.services.vector_store.fake_qdrant import grpc_server, rest_server
from vitrine.services.domain import CollectionSchema
from vitrine.services.errors import BadRequest
from vitrine.services.vector_store.server.check import Finding, compatible, examine
from vitrine.services.vector_store.server.client import Node
from vitrine.services.vector_store.server.store import ServerVectorStore

SHOP = {"shop": 300, "pets": 5}


def worst(findings: Sequence[Finding]) -> str:
    return max((finding.state for finding in findings), key=["ok", "warning", "failed"].index)


def told(findings: Sequence[Finding], state: str) -> str:
    return "\n".join(finding.message for finding in findings if finding.state == state)


def test_one_server_by_both_protocols_is_well() -> None:
    with rest_server(SHOP) as url, grpc_server(SHOP) as port:
        findings = examine([Node(url, port)], api_key=None)
    assert worst(findings) == "ok"
    assert "Qdrant 1.20.1 with 2 collections" in told(findings, "ok") and "same server" in told(
        findings, "ok"
    )


@pytest.mark.parametrize(
    ("other", "version", "mentions"),
    [
        ({"shop": 300}, "1.20.1", "collections"),
        ({"shop": 300, "pets": 5, "more": 1}, "1.20.1", "collections"),
        ({"shop": 301, "pets": 5}, "1.20.1", "'shop' has 300 points at the URL and 301"),
        (SHOP, "1.20.0", "version"),
    ],
)
def test_another_server_behind_the_grpc_port_is_named(
    other: dict[str, int], version: str, mentions: str
) -> None:
    with rest_server(SHOP) as url, grpc_server(other, version=version) as port:
        findings = examine([Node(url, port)], api_key=None)
    assert mentions in told(findings, "failed") and "QDRANT_GRPC_PORT" in told(findings, "failed")
    assert str(port) in told(findings, "failed")


def test_a_silent_grpc_port_is_named_and_so_is_a_silent_server() -> None:
    with rest_server(SHOP) as url:
        findings = examine([Node(url, 1)], api_key=None)
        assert "Port 1 (gRPC)" in told(findings, "failed")
        both = examine([Node("http://127.0.0.1:1", None), Node(url, None)], api_key=None)
        assert worst(both) == "warning", "the cluster answers"
    assert worst(examine([Node("http://127.0.0.1:1", None)], api_key=None)) == "failed"


@pytest.mark.parametrize(
    ("version", "state"), [("1.19.0", "ok"), ("1.21.3", "ok"), ("1.18.0", "warning"), ("2.20.0", "warning")]
)
def test_a_version_that_does_not_fit_is_named(
    version: str, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    with rest_server({}, version=version) as url:
        findings = examine([Node(url, None)], api_key=None)
    assert worst(findings) == state
    assert (f"Qdrant {version} does not fit" in told(findings, "warning")) is (state == "warning")


def test_versions_of_any_form_can_be_compared() -> None:
    assert compatible("1.20.0", "1.20.0-dev") and not compatible("1.20.0", "unknown")


@pytest.mark.parametrize(
    ("peers", "replicas", "state", "mentions"),
    [
        ((), 1, "ok", ""),
        ((), 2, "failed", "QDRANT_REPLICAS=2, but Qdrant runs on one node"),
        ((1,), 2, "failed", "one node"),
        ((1, 2, 3), 2, "ok", "3 nodes; 2 copies of each shard"),
        ((1, 2, 3), 4, "failed", "3 nodes"),
        ((1, 2, 3), 1, "warning", "is lost"),
    ],
)
def test_copies_need_nodes(peers: tuple[int, ...], replicas: int, state: str, mentions: str) -> None:
    with rest_server({}, peers=peers) as url:
        findings = examine([Node(url, None)], api_key=None, replicas=replicas)
    assert worst(findings) == state and mentions in told(findings, state)


def test_copies_that_cannot_be_placed_are_refused_before_anything_is_made() -> None:
    with rest_server({}) as url:
        store = ServerVectorStore.connect(url, replicas=2)
        with pytest.raises(BadRequest, match="QDRANT_REPLICAS=2"):
            store.ensure(CollectionSchema("c", ()))
        store.close()


@pytest.mark.parametrize(
    ("one", "other", "state"), [((1, 2), (1, 2), "ok"), ((1, 2), (3, 4), "failed"), ((), (), "failed")]
)
def test_several_urls_name_nodes_of_one_cluster(
    one: tuple[int, ...], other: tuple[int, ...], state: str
) -> None:
    with ExitStack() as stack:
        urls = [stack.enter_context(rest_server({}, peers=peers)) for peers in (one, other)]
        findings = examine([Node(url, None) for url in urls], api_key=None, replicas=2)
    assert ("not nodes of one cluster" in told(findings, "failed")) is (state == "failed")


def test_a_key_that_travels_in_the_open_is_named_where_it_matters() -> None:
    assert Node("http://qdrant.example:6333", None).open_key
    assert not Node("https://qdrant.example:6333", None).open_key
    assert not Node("http://127.0.0.1:6333", None).open_key and not Node("http://localhost", None).open_key
