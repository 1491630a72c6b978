"""All images of a category, batch by batch, with the vectors and the fields that a job needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vitrine.services.domain import Embeddings, Payload
from vitrine.services.vector_store.base import VectorStore

if TYPE_CHECKING:
    from qdrant_client.models import Filter

BATCH = 2_000


@dataclass(frozen=True)
class ScanBatch:
    """Some images: ``ids``, ``embeddings`` (n, dim) and ``payloads`` in the same order."""

    ids: tuple[str, ...]
    embeddings: Embeddings
    payloads: tuple[Payload, ...]


def scan(
    vectors: VectorStore,
    collection: str,
    using: str,
    *,
    filter: Filter | None = None,
    fields: tuple[str, ...] = (),
    batch: int = BATCH,
) -> Iterator[ScanBatch]:
    """Every image that has the named vector ``using``, in order of id, with the payload ``fields`` that are
    asked for.

    Images that are added meanwhile may be seen or not; those that stay are seen once. Memory is that of one
    batch.
    """
    cursor: str | None = None
    while True:
        page = vectors.scroll(
            collection,
            filter=filter,
            limit=batch,
            cursor=cursor,
            with_payload=fields or False,
            with_vectors=(using,),
        )
        hits = [hit for hit in page.hits if using in hit.vectors]
        if hits:
            rows = np.stack([hit.vectors[using] for hit in hits])
            yield ScanBatch(tuple(hit.id for hit in hits), rows, tuple(hit.payload for hit in hits))
        cursor = page.cursor
        if cursor is None:
            return
