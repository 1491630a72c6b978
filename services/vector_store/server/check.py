"""Checks of a Qdrant server before it is used: does each protocol reach the same server, and does it fit our
client?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from qdrant_client import QdrantClient
from qdrant_client.http.models import ClusterStatusOneOf1

from vitrine.services.errors import VitrineError
from vitrine.services.vector_store.server.client import Node
from vitrine.services.vector_store.server.errors import mapped_errors

TIMEOUT_SECONDS = 5
_COUNTED = 20
"""Collections whose points are compared."""
_ALONE = "alone"
"""The id of a server that belongs to no cluster."""


@dataclass(frozen=True)
class Finding:
    """One result of a check. ``failed``: data would be lost or nothing works; ``warning``: something that was
    asked for is not so."""

    state: Literal["ok", "warning", "failed"]
    message: str


@dataclass(frozen=True)
class _Answer:
    """What a server says about itself. ``peers`` are the ids of the nodes of its cluster; None: it does not
    say."""

    version: str
    points: dict[str, int | None]
    peers: frozenset[str] | None


def examine(nodes: Sequence[Node], *, api_key: str | None, replicas: int = 1) -> list[Finding]:
    """Ask every node by REST, and by gRPC where that is to be used, and compare the answers."""
    found: list[Finding] = []
    answers: dict[str, _Answer] = {}
    for node in nodes:
        try:
            answers[node.name] = _ask(node, api_key, rest=True)
        except VitrineError as error:
            found.append(Finding("failed" if len(nodes) == 1 else "warning", error.message))
            continue
        found += [_version_finding(node, answers[node.name]), _grpc_finding(node, api_key)]
        if api_key and node.open_key:
            found.append(
                Finding(
                    "warning", f"The key travels to {node.name} unencrypted: use https or a network of yours."
                )
            )
    if nodes and not answers:
        found = [Finding("failed", finding.message) for finding in found]
    found += _cluster_findings(answers, replicas)
    return found


def peers_of(client: QdrantClient) -> frozenset[str] | None:
    """Return the ids of the nodes that a server's collections can lie on; None where it does not say."""
    try:
        with mapped_errors(""):
            status = client.http.distributed_api.cluster_status().result
    except (
        VitrineError,
        AttributeError,
        NotImplementedError,
    ):  # the client's in-process mode has no such call
        return None
    return frozenset(status.peers) if isinstance(status, ClusterStatusOneOf1) else frozenset({_ALONE})


def version_of(client: QdrantClient) -> str:
    """Return the server's version; empty where it does not say."""
    try:
        with mapped_errors(""):
            return str(client.info().version)
    except (VitrineError, AttributeError, NotImplementedError):
        return ""


def misfit(ours: str, theirs: str) -> str:
    """Return a sentence if the versions of client and server do not fit; empty if they do."""
    if compatible(ours, theirs):
        return ""
    major, minor = (int(part) for part in ours.split(".")[:2])
    fitting = f"{major}.{max(0, minor - 1)} to {major}.{minor + 1}"
    return f"Qdrant {theirs} does not fit the client {ours}: run a server of version {fitting}."


def compatible(client: str, server: str) -> bool:
    """Return whether two versions fit by Qdrant's own rule: the same major version, and minor versions at
    most one apart.

    >>> compatible("1.20.0", "1.19.0"), compatible("1.20.0", "1.18.2"), compatible("1.20.0", "2.20.0")
    (True, False, False)
    """
    try:
        ours, theirs = ([int(part) for part in text.split(".")[:2]] for text in (client, server))
        return ours[0] == theirs[0] and abs(ours[1] - theirs[1]) <= 1
    except (ValueError, IndexError):
        return False


def _ask(node: Node, api_key: str | None, *, rest: bool) -> _Answer:
    with closing(node.client(api_key=api_key, timeout=TIMEOUT_SECONDS, rest=rest)) as client:
        with mapped_errors(node.name):
            names = sorted(found.name for found in client.get_collections().collections)
        points = {name: _count(client, name) for name in names[:_COUNTED]}
        return _Answer(version_of(client), dict.fromkeys(names) | points, peers_of(client) if rest else None)


def _count(client: QdrantClient, collection: str) -> int | None:
    try:
        with mapped_errors("", collection):
            return client.count(collection, exact=True).count
    except VitrineError:  # a collection that does not answer is the business of other checks
        return None


def _version_finding(node: Node, answer: _Answer) -> Finding:
    ours, count = version("qdrant-client"), len(answer.points)
    what = (
        f"{node.name} is Qdrant {answer.version or 'of an unknown version'} with {count} "
        f"collection{'s' * (count != 1)}"
    )
    if not answer.version:
        return Finding("warning", f"{what}: it does not say which, and the client is {ours}.")
    wrong = misfit(ours, answer.version)
    return (
        Finding("warning", f"{what}. {wrong}") if wrong else Finding("ok", f"{what}; the client is {ours}.")
    )


def _grpc_finding(node: Node, api_key: str | None) -> Finding:
    if node.grpc_port is None:
        return Finding(
            "ok", f"{node.name} is asked by REST alone (QDRANT_GRPC_PORT says where it answers gRPC)."
        )
    port = f"Port {node.grpc_port} (gRPC)"
    remedy = "Set QDRANT_GRPC_PORT to the gRPC port of that server, or QDRANT_PREFER_GRPC=0."
    try:
        before, by_grpc, after = (_ask(node, api_key, rest=rest) for rest in (True, False, True))
    except VitrineError as error:
        return Finding("failed", f"{port} of {node.name} does not answer: {error.message} {remedy}")
    difference = _difference(before, by_grpc, after)
    if difference:
        return Finding(
            "failed",
            f"{port} of {node.name} is another server: {difference}. Writes would go there. {remedy}",
        )
    return Finding("ok", f"{port} of {node.name} answers as the same server.")


def _difference(before: _Answer, other: _Answer, after: _Answer) -> str:
    """Return how the second of three answers differs from the two around it, which are one server's; empty:
    it does not."""
    lists: list[Callable[[_Answer], object]] = [
        lambda answer: answer.version,
        lambda answer: sorted(answer.points),
    ]
    for what, read in zip(("version", "collections"), lists, strict=True):
        if read(other) not in (read(before), read(after)):
            return f"the URL says {what} {read(after)!r}, the gRPC port {read(other)!r}"
    for name, points in other.points.items():
        counted = {answer.points.get(name) for answer in (before, after)}
        if (
            points is not None and len(counted) == 1 and not counted & {None, points}
        ):  # else it is being written just now
            return (
                f"collection {name!r} has {after.points.get(name)} points at the URL and {points} at the "
                "gRPC port"
            )
    return ""


def _cluster_findings(answers: dict[str, _Answer], replicas: int) -> list[Finding]:
    found = []
    clusters = {answer.peers for answer in answers.values() if answer.peers is not None}
    if len(answers) > 1 and (len(clusters) > 1 or frozenset({_ALONE}) in clusters):
        found.append(
            Finding(
                "failed", f"{', '.join(answers)} are not nodes of one cluster: QDRANT_URL names nodes of one."
            )
        )
    if not clusters:
        return found
    peers = max(len(peers) for peers in clusters)
    if replicas > peers:
        found.append(Finding("failed", too_few_nodes(replicas, peers)))
    elif peers > 1:
        copies = f"{replicas} {'copy' if replicas == 1 else 'copies'} of each shard (QDRANT_REPLICAS)"
        alone = replicas == 1
        lost = ": what lies on a node that is lost is lost" if alone else " can be placed"
        found.append(Finding("warning" if alone else "ok", f"The cluster has {peers} nodes; {copies}{lost}."))
    return found


def too_few_nodes(replicas: int, peers: int) -> str:
    """Return the sentence for more copies than there are nodes to hold them."""
    nodes = "one node" if peers == 1 else f"{peers} nodes"
    return (
        f"QDRANT_REPLICAS={replicas}, but Qdrant runs on {nodes}: add nodes to the cluster, or set "
        f"QDRANT_REPLICAS={peers}."
    )
