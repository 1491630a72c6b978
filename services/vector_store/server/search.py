"""Searches of a server collection, in the order that ``vitrine.services.vector_store.ranked`` gives them; our
queries as requests of qdrant-client, and its records as hits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from qdrant_client import QdrantClient, models

from vitrine.services.domain import Embedding, Fields, Fuse, Hit, Near, Query
from vitrine.services.filters.conditions import Filter
from vitrine.services.vector_store.engine_names import engine_filter, engine_selection, payload_json
from vitrine.services.vector_store.ranked import BREADTH, Asked, Ranked, asked, deep, fused, quick
from vitrine.services.vector_store.server.quantized import rescored
from vitrine.services.vector_store.similarity import engine_threshold


@dataclass(frozen=True)
class Searches:
    """Searches in one collection. ``retrieve``: see ``VectorStore``."""

    client: QdrantClient
    collection: str
    retrieve: Callable[..., list[Hit | None]]

    def answers(self, queries: Sequence[Query]) -> list[list[Hit]]:
        """Return the answers to queries by Near, Fuse and Random. What one question may answer goes to the
        server together."""
        depths = [_first_depth(query) for query in queries]
        together = [
            request(query, depth) for query, depth in zip(queries, depths, strict=True) if depth is not None
        ]
        found = iter(self.client.query_batch_points(self.collection, together) if together else ())
        return [
            self._answer(query, None if depth is None else next(found).points)
            for query, depth in zip(queries, depths, strict=True)
        ]

    def _answer(self, query: Query, points: list[models.ScoredPoint] | None) -> list[Hit]:
        ask = query.ask
        if isinstance(ask, Near):
            return self._near(query, asked(query, ask), points)
        if isinstance(ask, Fuse):
            near = [replace(query, ask=Near(vector), using=using) for using, vector in ask.vectors.items()]
            sides = [
                (asked(side, side.ask), self._nearest(side)) for side in near if isinstance(side.ask, Near)
            ]
            return self._hits(query, fused(sides, ask.k, query.offset, query.limit))
        return [hit(point) for point in points or ()]

    def _near(self, query: Query, wanted: Asked, points: list[models.ScoredPoint] | None) -> list[Hit]:
        if points is not None:
            by_id = {str(point.id): point for point in points}
            page = quick(wanted, [(id, point.score) for id, point in by_id.items()])
            if page is not None:
                return [hit(by_id[id], similarity) for id, similarity in page]
        return self._hits(query, deep(wanted, self._nearest(query)))

    def _nearest(self, query: Query) -> Callable[[int], list[tuple[str, float]]]:
        bare = replace(query, with_payload=False, with_vectors=())

        def nearest(depth: int) -> list[tuple[str, float]]:
            (found,) = self.client.query_batch_points(self.collection, [request(bare, depth)])
            return [(str(point.id), point.score) for point in found.points]

        return nearest

    def _hits(self, query: Query, ranked: list[Ranked[str]]) -> list[Hit]:
        if not (query.with_payload or query.with_vectors):
            return [Hit(id, similarity) for id, similarity in ranked]
        found = self.retrieve(
            self.collection,
            [id for id, _ in ranked],
            with_payload=query.with_payload,
            with_vectors=query.with_vectors,
        )
        return [
            replace(one, similarity=similarity)
            for one, (_, similarity) in zip(found, ranked, strict=True)
            if one
        ]


def _first_depth(query: Query) -> int | None:
    """Return how many hits a first question asks for; None where the answer takes several."""
    if isinstance(query.ask, Near):
        return asked(query, query.ask).quick_depth
    return None if isinstance(query.ask, Fuse) else query.limit


def request(query: Query, limit: int) -> models.QueryRequest:
    """Return the server's request for the first hits of Near and Random;
    ``vitrine.services.vector_store.ranked`` cuts pages itself."""
    near = query.ask if isinstance(query.ask, Near) else None
    return models.QueryRequest(
        query=models.NearestQuery(nearest=floats(near.vector))
        if near
        else models.SampleQuery(sample=models.Sample.RANDOM),
        using=query.using if near else None,
        filter=to_server(query.filter, without=query.exclude),
        params=_params(query, limit) if near else None,
        score_threshold=engine_threshold(query.min_similarity),
        limit=limit,
        with_payload=to_selection(query.with_payload),
        with_vector=list(query.with_vectors) or False,
    )


def _params(query: Query, limit: int) -> models.SearchParams:
    if query.exact:
        return models.SearchParams(exact=True)
    return models.SearchParams(hnsw_ef=BREADTH, quantization=rescored(BREADTH, limit))


def to_server(filter: Filter | None, *, without: Sequence[str] = ()) -> models.Filter | None:
    """Return the filter as the server's client takes it, or None for "every point". ``without``: ids that
    must not match."""
    plain = engine_filter(filter)
    found = None if plain is None else models.Filter.model_validate(plain)
    if not without:
        return found
    return models.Filter(
        must=None if found is None else [found], must_not=[models.HasIdCondition(has_id=list(without))]
    )


def to_selection(fields: Fields) -> bool | list[str] | models.PayloadSelectorExclude:
    """Return what the server's client is to return of payloads."""
    wanted = engine_selection(fields)
    return models.PayloadSelectorExclude.model_validate(wanted) if isinstance(wanted, dict) else wanted


def floats(vector: Embedding) -> list[float]:
    values: list[float] = np.asarray(vector, dtype=np.float32).tolist()
    return values


def hit(record: models.ScoredPoint | models.Record, similarity: float | None = None) -> Hit:
    vectors = record.vector if isinstance(record.vector, dict) else {}
    return Hit(
        id=str(record.id),
        similarity=similarity,
        payload_json=payload_json(record.payload),
        vectors={name: np.asarray(values, dtype=np.float32) for name, values in vectors.items()},
    )
