"""Read the vectors of a category into one matrix, with their ids and chosen payload fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vitrine.services.category.field_names import find_field
from vitrine.services.category.read_all import read_all
from vitrine.services.domain import Embeddings, Payload
from vitrine.services.errors import BadRequest
from vitrine.services.filters.conditions import Filter
from vitrine.services.vector_store.base import VectorStore

if TYPE_CHECKING:
    from vitrine.services.category.catalog import Category


@dataclass(frozen=True, eq=False)
class StoredVectors:
    """``x`` (n, dim) of unit rows; ``ids`` and ``payloads`` (with ``fields``, as paths) in their order.
    ``total``: before sampling."""

    using: str
    ids: tuple[str, ...]
    x: Embeddings
    payloads: tuple[Payload, ...]
    total: int
    fields: tuple[str, ...] = ()


def read_vectors(
    vectors: VectorStore,
    category: Category,
    using: str | None = None,
    *,
    filter: Filter | None = None,
    fields: tuple[str, ...] = (),
    most: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> StoredVectors:
    """Read all images that have the named vector, in order of id; with ``most`` a seeded sample of so many,
    and no more are ever held.

    ``BadRequest`` where there are none, ``UnknownVector`` for a ``using`` that the category lacks.
    """
    name = category.encoder(using).name
    fields = tuple(find_field(field, category.indexes) for field in fields)
    count = vectors.count(category.name, filter)
    kept = _Kept(most, np.random.default_rng(seed))
    for batch in read_all(vectors, category.name, name, filter=filter, fields=fields):
        for id, row, payload in zip(batch.ids, batch.embeddings, batch.payloads, strict=True):
            kept.offer(id, row, payload)
        if progress:
            progress(min(kept.seen, count), count)
    if not kept.ids:
        raise BadRequest(
            f"No image of {category.name} has the vector {name}: index images, or fill it, first.", using=name
        )
    order = np.argsort(kept.ids) if kept.seen > len(kept.ids) else np.arange(len(kept.ids))
    return StoredVectors(
        name,
        tuple(kept.ids[at] for at in order),
        kept.matrix(order),
        tuple(kept.payloads[at] for at in order),
        kept.seen,
        fields,
    )


class _Kept:
    """Keeps a sample by reservoir sampling (Vitter, 1985, algorithm R): each of the rows seen is kept with
    the same chance."""

    def __init__(self, most: int | None, generator: np.random.Generator) -> None:
        self.ids: list[str] = []
        self.payloads: list[Payload] = []
        self.seen = 0
        self._most, self._generator = most, generator
        self._rows = np.empty((0, 0), np.float32)

    def offer(self, id: str, row: Embeddings, payload: Payload) -> None:
        self.seen += 1
        at = len(self.ids)
        if self._most is None or at < self._most:
            if at >= len(self._rows):
                self._grow(row.shape[0])
            self.ids.append(id)
            self.payloads.append(payload)
        else:
            at = int(self._generator.integers(self.seen))
            if at >= self._most:
                return
            self.ids[at], self.payloads[at] = id, payload
        self._rows[at] = row

    def matrix(self, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Embeddings:
        rows = self._rows[: len(self.ids)]
        return rows if np.array_equal(order, np.arange(len(order))) else rows[order]

    def _grow(self, dim: int) -> None:
        more = np.empty((max(2_000, len(self._rows) * 3 // 2), dim), np.float32)
        more[: len(self._rows)] = self._rows.reshape(len(self._rows), dim)
        self._rows = more
