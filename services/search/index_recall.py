"""How much of the nearest the search index finds, and how fast, measured on the images that are there."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from vitrine.services.domain import Near, Query, Random
from vitrine.services.errors import NotFound
from vitrine.services.vector_store.base import VectorStore


@dataclass(frozen=True)
class IndexRecall:
    """``recall``: the share of the ``limit`` nearest that the index finds, in 0..1, over ``queries`` images.
    ``milliseconds`` and ``exact_milliseconds``: medians of a query by the index, and of one by all vectors.
    """

    queries: int
    limit: int
    recall: float
    milliseconds: float
    exact_milliseconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def index_recall(
    vectors: VectorStore, collection: str, using: str, *, queries: int = 100, limit: int = 10
) -> IndexRecall:
    """Search near images chosen at random, by the index and exactly, one after the other.

    ``NotFound`` where no image has a vector ``using``.
    """
    sample = vectors.query(
        collection, Query(Random(), limit=queries, with_payload=False, with_vectors=(using,))
    )
    asked = [hit for hit in sample if using in hit.vectors]
    if not asked:
        raise NotFound(f"No image of {collection!r} has a vector {using!r}: there is nothing to compare.")
    found = 0.0
    quick: list[float] = []
    slow: list[float] = []
    for image in asked:
        query = Query(Near(image.vectors[using]), using, limit=limit, exclude=(image.id,), with_payload=False)
        answers = []
        for one, times in ((query, quick), (replace(query, exact=True), slow)):
            started = time.perf_counter()
            answers.append({hit.id for hit in vectors.query(collection, one)})
            times.append((time.perf_counter() - started) * 1000)
        found += len(answers[0] & answers[1]) / max(1, len(answers[1]))
    return IndexRecall(len(asked), limit, found / len(asked), median(quick), median(slow))
