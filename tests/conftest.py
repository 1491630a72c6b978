"""Options that point the contract suites at real servers, and the path by which tests import each other's
helpers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Helpers are imported as ``tests.services...``; the repository's root is not on the path when pytest runs as
# a command.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vitrine", "real servers instead of the in-process ones")
    group.addoption(
        "--qdrant-url",
        help="run the vector store contract on this Qdrant server, or on these, separated by commas",
    )
    group.addoption("--qdrant-api-key", help="its API key")
    group.addoption("--qdrant-rest", action="store_true", help="by REST alone")
    group.addoption(
        "--qdrant-grpc-port",
        type=int,
        help="where it answers gRPC, if REST is not at port 6333 or gRPC not at 6334",
    )
    group.addoption("--qdrant-shards", type=int, default=1, help="shards of each collection")
    group.addoption(
        "--qdrant-replicas", type=int, default=1, help="copies of each shard, each on a node of its own"
    )
    group.addoption(
        "--minio-url", help="run the object store contract on this S3 endpoint (host:port, or with a scheme)"
    )
    group.addoption("--minio-access-key", default="minioadmin")
    group.addoption("--minio-secret-key", default="minioadmin")
