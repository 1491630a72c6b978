"""All images of a category, page by page: the one loop that reads a category to its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vitrine.services.domain import Embeddings, Hit, Payload
from vitrine.services.filters.conditions import Filter
from vitrine.services.vector_store.base import VectorStore

BATCH = 2_000


@dataclass(frozen=True)
class ImageBatch:
    """Some images: ``ids``, ``embeddings`` (n, dim) and ``payloads`` in the same order."""

    ids: tuple[str, ...]
    embeddings: Embeddings
    payloads: tuple[Payload, ...]


def read_all(
    vectors: VectorStore,
    collection: str,
    using: str,
    *,
    filter: Filter | None = None,
    fields: tuple[str, ...] = (),
    batch: int = BATCH,
) -> Iterator[ImageBatch]:
    """Read every image that has the named vector ``using``, in order of id, with the payload ``fields`` asked
    for.

    Images that are added meanwhile may be seen or not; those that stay are seen once. Memory: one batch.
    """
    for page in pages(vectors, collection, filter=filter, fields=fields, using=(using,), size=batch):
        hits = [hit for hit in page if using in hit.vectors]
        if hits:
            rows = np.stack([hit.vectors[using] for hit in hits])
            yield ImageBatch(tuple(hit.id for hit in hits), rows, tuple(hit.payload for hit in hits))


def pages(
    vectors: VectorStore,
    collection: str,
    *,
    filter: Filter | None = None,
    fields: tuple[str, ...] | bool = (),
    using: tuple[str, ...] = (),
    size: int = BATCH,
) -> Iterator[tuple[Hit, ...]]:
    """Read every image that ``filter`` finds, in order of id, with the payload ``fields`` (True: all) and
    the named vectors ``using``; pages of at most ``size`` images, the last one may be empty."""
    cursor: str | None = None
    while True:
        page = vectors.scroll(
            collection,
            filter=filter,
            limit=size,
            cursor=cursor,
            with_payload=fields or False,
            with_vectors=using,
        )
        yield page.hits
        cursor = page.cursor
        if cursor is None:
            return
