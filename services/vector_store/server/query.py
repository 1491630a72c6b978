"""Our queries as requests of qdrant-client. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qdrant_client import models

from vitrine.services.domain import Embedding, Hit, Near, Query
from vitrine.services.vector_store.engine_names import engine_filter, engine_selection, own_payload
from vitrine.services.vector_store.ranked import BREADTH
from vitrine.services.vector_store.similarity import engine_threshold


def request(query: Query, limit: int) -> models.QueryRequest:
    """Return the server's request for the first hits of Near and Random;
    ``vitrine.services.vector_store.ranked`` cuts pages itself."""
    near = query.ask if isinstance(query.ask, Near) else None
    return models.QueryRequest(
        query=models.NearestQuery(nearest=floats(near.vector))
        if near
        else models.SampleQuery(sample=models.Sample.RANDOM),
        using=query.using if near else None,
        filter=with_exclusions(query.filter, query.exclude),
        params=(models.SearchParams(exact=True) if query.exact else models.SearchParams(hnsw_ef=BREADTH))
        if near
        else None,
        score_threshold=engine_threshold(query.min_similarity),
        limit=limit,
        with_payload=engine_selection(query.with_payload),
        with_vector=list(query.with_vectors) or False,
    )


def with_exclusions(filter: models.Filter | None, ids: Sequence[str]) -> models.Filter | None:
    """Return the filter with the engine's paths, and without the points ``ids``."""
    filter = engine_filter(filter)
    if not ids:
        return filter
    return models.Filter(
        must=None if filter is None else [filter], must_not=[models.HasIdCondition(has_id=list(ids))]
    )


def floats(vector: Embedding) -> list[float]:
    values: list[float] = np.asarray(vector, dtype=np.float32).tolist()
    return values


def hit(record: models.ScoredPoint | models.Record, similarity: float | None = None) -> Hit:
    vectors = record.vector if isinstance(record.vector, dict) else {}
    return Hit(
        id=str(record.id),
        similarity=similarity,
        payload=own_payload(record.payload or {}),
        vectors={name: np.asarray(values, dtype=np.float32) for name, values in vectors.items()},
    )
