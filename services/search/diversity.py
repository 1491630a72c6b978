"""Search results that are like the query and unlike each other, by maximal marginal relevance (Carbonell and
Goldstein, 1998)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import Embeddings, Hit, Query
from vitrine.services.vector_store.base import MAX_LIMIT, VectorStore

_POOLS: Final = ((31, 127), (99, 399), (324, 1_299), (999, 3_999), (MAX_LIMIT, MAX_LIMIT))
"""Up to so many hits are chosen from so many nearest ones. Fixed, so that pages are slices of one answer."""


def diversified(vectors: VectorStore, collection: str, query: Query, diversity: float) -> list[Hit]:
    """Return ``query.limit`` hits from ``query.offset`` on, re-ranked by ``diversity``: 0 is similarity
    alone, 1 variety alone. Vectors are compared here and not by the engine, which on a cluster would choose
    by shard."""
    wanted = query.offset + query.limit
    order: list[Hit] = []
    for most, pool in _POOLS:
        nearest = replace(query, offset=0, limit=pool, with_payload=False, with_vectors=(query.using,))
        found = vectors.query(collection, nearest)
        is_all = len(found) < pool
        order += _chosen(
            found, order, query.using, diversity, min(wanted, len(found) if is_all else most) - len(order)
        )
        if is_all or len(order) >= wanted:
            break
    page = order[query.offset : wanted]
    hits = vectors.retrieve(
        collection, [hit.id for hit in page], with_payload=query.with_payload, with_vectors=query.with_vectors
    )
    return [
        replace(hit, similarity=of.similarity) for hit, of in zip(hits, page, strict=True) if hit is not None
    ]


def _chosen(hits: list[Hit], before: list[Hit], using: str, diversity: float, count: int) -> list[Hit]:
    """Return the next ``count`` of ``hits``, none of them among those chosen ``before``."""
    taken = {hit.id for hit in before}
    left = [hit for hit in hits if hit.id not in taken]
    relevance = np.array([hit.similarity for hit in left], np.float32)
    return [
        left[row]
        for row in most_marginal(relevance, _rows(left, using), _rows(before, using), diversity, count)
    ]


def most_marginal(
    relevance: NDArray[np.float32], rows: Embeddings, before: Embeddings, diversity: float, count: int
) -> list[int]:
    """Return ``count`` rows, each time the one with the greatest (1 - diversity) relevance - diversity
    (similarity to the closest of those already chosen, and of ``before``).

    >>> rows = np.array([[1, 0], [1, 0], [0.8, 0.6]], np.float32)
    >>> most_marginal(rows @ rows[0], rows, rows[:0], 0.6, 3)
    [0, 2, 1]
    """
    gain = (1 - diversity) * relevance
    closest = (rows @ before.T).max(axis=1) if len(before) else None
    chosen: list[int] = []
    while len(chosen) < min(count, len(rows)):
        now = relevance.copy() if closest is None else gain - diversity * closest
        now[chosen] = -np.inf
        best = int(now.argmax())
        chosen.append(best)
        # not by the matrix library: on a busy machine its threads wait for each other, 16 ms instead of 0.1
        to_best = np.einsum("ij,j->i", rows, rows[best])
        closest = to_best if closest is None else np.maximum(closest, to_best)
    return chosen


def _rows(hits: list[Hit], using: str) -> Embeddings:
    """Return the vectors of the hits (n, dim), of unit length again: 16-bit storage has rounded them."""
    if not hits:
        return np.empty((0, 0), np.float32)
    rows: Embeddings = np.stack([hit.vectors[using] for hit in hits])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
