"""Stand-ins for a Qdrant server, by REST and by gRPC: as much of each as tells one server from another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc
from qdrant_client import grpc as messages
from qdrant_client.grpc import collections_service_pb2_grpc as collections_grpc
from qdrant_client.grpc import points_service_pb2_grpc as points_grpc
from qdrant_client.grpc import qdrant_pb2_grpc

from tests.services.stub_http import Answer, serving


def rest_server(
    points: Mapping[str, int], *, version: str = "1.20.1", peers: tuple[int, ...] = ()
) -> AbstractContextManager[str]:
    """A server with these collections, each of so many points; a node of a cluster if it has ``peers``.
    Yields its URL."""

    def answer(method: str, path: str) -> Answer:
        found = result(path)
        if found is None:
            return 404, b'{"status": {"error": "Not found"}, "time": 0.0}', "application/json"
        plain = found if path == "/" else {"result": found, "status": "ok", "time": 0.0}
        return 200, json.dumps(plain).encode(), "application/json"

    def result(path: str) -> Any:
        if path == "/":
            return {"title": "qdrant - vector search engine", "version": version}
        if path == "/collections":
            return {"collections": [{"name": name} for name in points]}
        if path == "/cluster":
            return _cluster(peers)
        name = path.removeprefix("/collections/").removesuffix("/points/count")
        return {"count": points[name]} if name in points else None

    return serving(answer)


def _cluster(peers: tuple[int, ...]) -> dict[str, Any]:
    if not peers:
        return {"status": "disabled"}
    raft = {
        "term": 1,
        "commit": 1,
        "pending_operations": 0,
        "leader": peers[0],
        "role": "Leader",
        "is_voter": True,
    }
    return {
        "status": "enabled",
        "peer_id": peers[0],
        "peers": {str(peer): {"uri": f"http://node-{peer}:6335/"} for peer in peers},
        "raft_info": raft,
        "consensus_thread_status": {
            "consensus_thread_status": "working",
            "last_update": "2026-11-01T00:00:00Z",
        },
        "message_send_failures": {},
    }


@contextmanager
def grpc_server(points: Mapping[str, int], *, version: str = "1.20.1") -> Iterator[int]:
    """The same by gRPC; yields its port."""

    class Root(qdrant_pb2_grpc.QdrantServicer):  # type: ignore[misc]
        def HealthCheck(self, request: Any, context: Any) -> Any:
            return messages.HealthCheckReply(title="qdrant", version=version)

    class Collections(collections_grpc.CollectionsServicer):  # type: ignore[misc]
        def List(self, request: Any, context: Any) -> Any:
            described = [messages.CollectionDescription(name=name) for name in points]
            return messages.ListCollectionsResponse(collections=described, time=0.0)

    class Points(points_grpc.PointsServicer):  # type: ignore[misc]
        def Count(self, request: Any, context: Any) -> Any:
            return messages.CountResponse(
                result=messages.CountResult(count=points[request.collection_name]), time=0.0
            )

    server = grpc.server(ThreadPoolExecutor(2))
    qdrant_pb2_grpc.add_QdrantServicer_to_server(Root(), server)
    collections_grpc.add_CollectionsServicer_to_server(Collections(), server)
    points_grpc.add_PointsServicer_to_server(Points(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None)
