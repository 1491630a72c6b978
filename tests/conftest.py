"""Options that point the contract suites at real servers, the path by which tests import each other's
helpers, and what keeps a run short."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Helpers are imported as ``tests.services...``; the repository's root is not on the path when pytest runs as
# a command.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# Tests run side by side, one process for each processor, and their arrays are small: threads of OpenBLAS and
# of torch beside them would wait for each other by turning in circles, at three times the processor's time.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

# Compiled modules are kept, as Python does unless told otherwise: hundreds of tests start a Python of their
# own, which would compile all of Vitrine again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


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
