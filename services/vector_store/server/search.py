"""Searches of a server collection, in the order that ``vitrine.services.vector_store.ranked`` gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from qdrant_client import QdrantClient, models

from vitrine.services.domain import Fuse, Hit, Near, Query
from vitrine.services.vector_store.ranked import Asked, Ranked, asked, deep, fused, quick
from vitrine.services.vector_store.server.query import hit, request


@dataclass(frozen=True)
class Searches:
    """Searches in one collection. ``fetch`` returns the points of some ids, in their order, with what the
    query wants of them."""

    client: QdrantClient
    collection: str
    fetch: Callable[[Query, list[str]], list[Hit | None]]

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
        found = self.fetch(query, [id for id, _ in ranked])
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
