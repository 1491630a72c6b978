"""A filled category, and places for its backups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from tests.indexer.pictures import CATEGORY, make_runtime, record
from vitrine.indexer.backup.place import Place, open_place
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.vector_store.server.store import ServerVectorStore

IMAGES = 40


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """A runtime with a category of tagged images, some with a class and columns."""
    made = make_runtime(tmp_path / "data")
    said = [
        record(seed, tags=["even" if seed % 2 == 0 else "odd"], metadata={"number": seed})
        for seed in range(IMAGES)
    ]
    assert index_images(said, made, CATEGORY).error is None
    yield made
    made.encoders.close()


@pytest.fixture
def place(runtime: Runtime, tmp_path: Path) -> Place:
    return open_place(str(tmp_path / "backups"), runtime.settings, make=True)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Runtime]:
    """Another runtime, without categories."""
    made = make_runtime(tmp_path / "restored")
    made.catalog.delete(CATEGORY)
    yield made
    made.encoders.close()


@pytest.fixture
def server(runtime: Runtime, tmp_path: Path) -> Runtime:
    """Another runtime without categories, with its vectors on a Qdrant server in the memory of its client."""
    return assemble(
        runtime.settings,
        ServerVectorStore(QdrantClient(":memory:")),
        LocalObjectStore(tmp_path / "bucket", min_free_mb=0),
        runtime.encoders,
    )
