"""Hits in one order on every engine: by similarity, and by id where it is equal; and pages that are slices of one answer.

An engine gives the best n in any order of equals, and cuts among equals anywhere; by its index it also finds a little more the
deeper it is asked. So it is asked to fixed depths (``RUNGS``): equals that one depth has cut wait for the next, and what only a
deeper look finds comes after what was found before. A hit then has its place whatever the size of the page.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, Protocol

from services.domain import CollectionSchema, Fuse, Hit, Near, Query, Recommend
from services.similarity import Scale, at_least, engine_threshold, shown, step
from services.vector_store.checks import recommended

RUNGS: Final = (100, 300, 1_100, 3_500, 11_000, 21_000)
"""An index looks at 100 candidates at least, so fewer hits cost as much as the first depth and are the same. The last depth is
more than may be asked for: where more images than that are equally similar, the engine chooses among them."""
_FUSED: Final = ((49, 99), (500, 1_000), (20_000, 20_000))
"""So many fused hits are taken from the first so many by each vector."""

Ranked = tuple[str, float]
"""An id and its similarity, or its fusion score."""


class Engine(Protocol):
    """What an engine does by itself."""

    def ask(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        """Answers to checked queries by Near, OrderBy and Random. Near takes no offset, gives the similarities as they were
        computed, and equal ones in any order."""
        ...

    def retrieve(
        self,
        collection: str,
        ids: Sequence[str],
        *,
        with_payload: bool | tuple[str, ...] = True,
        with_vectors: tuple[str, ...] = (),
    ) -> list[Hit | None]: ...


def answers(engine: Engine, collection: str, schema: CollectionSchema, queries: Sequence[Query]) -> list[list[Hit]]:
    """What ``VectorStore.query_batch`` promises of queries that were checked, from what the engine can do."""
    return _answers(engine, collection, [_plain(schema, query) for query in queries])


def _answers(engine: Engine, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
    asked = [query for query in queries if _fits_one_question(query)]
    found = iter(engine.ask(collection, [_one_more(query) for query in asked]) if asked else ())
    done = []
    for query in queries:
        hits = _settled(query, next(found)) if _fits_one_question(query) else None
        done.append(_page(engine, collection, query) if hits is None else hits)
    return done


def _plain(schema: CollectionSchema, query: Query) -> Query:
    """A recommendation as the search by a vector that it is."""
    if isinstance(query.ask, Recommend):
        return replace(query, ask=Near(recommended(schema, query.using, query.ask)))
    return query


def _fits_one_question(query: Query) -> bool:
    """Whether the engine can be asked for the page itself. An exact search finds the same at any depth."""
    if isinstance(query.ask, Near):
        return query.offset == 0 and (query.exact or query.limit < RUNGS[0])
    return not isinstance(query.ask, Fuse)


def _one_more(query: Query) -> Query:
    """With one hit more than is wanted: it tells whether the page ends among equals."""
    if not isinstance(query.ask, Near):
        return query
    return replace(query, limit=query.limit + 1, min_similarity=engine_threshold(query.min_similarity))


def _settled(query: Query, hits: list[Hit]) -> list[Hit] | None:
    """The page, or None if it ends among equals."""
    if not isinstance(query.ask, Near):
        return hits
    page = hits[: query.limit]
    if len(hits) > query.limit and step(hits[-1]) == step(page[-1]):
        return None
    of = {hit.id: hit for hit in page}
    return [replace(of[id], similarity=shown(similarity)) for id, similarity in _in_order(query, query.ask, page)]


def _in_order(query: Query, near: Near, hits: Iterable[Hit]) -> list[Ranked]:
    """By similarity and id; those below the query's least similarity are left out."""
    scale, least = Scale(near.vector), -1.0 if query.min_similarity is None else query.min_similarity
    scored = [(hit.id, scale.similarity(hit)) for hit in hits]
    return sorted((one for one in scored if at_least(one[1], least)), key=_best_first)


def _best_first(one: Ranked) -> tuple[float, str]:
    return -one[1], one[0]


def _page(engine: Engine, collection: str, query: Query) -> list[Hit]:
    ranked = _fused(engine, collection, query, query.ask) if isinstance(query.ask, Fuse) else _nearest(engine, collection, query)
    page = list(islice(ranked, query.offset, query.offset + query.limit))
    if not (query.with_payload or query.with_vectors):
        return [Hit(id, similarity) for id, similarity in page]
    found = engine.retrieve(collection, [id for id, _ in page], with_payload=query.with_payload, with_vectors=query.with_vectors)
    return [replace(hit, similarity=similarity) for hit, (_, similarity) in zip(found, page, strict=True) if hit is not None]


def _nearest(engine: Engine, collection: str, query: Query) -> Iterator[Ranked]:
    """All that there is, read from the engine as far as it is wanted."""
    assert isinstance(query.ask, Near)
    seen: set[str] = set()
    wide = replace(query, offset=0, with_payload=False, with_vectors=(), min_similarity=engine_threshold(query.min_similarity))
    for depth in RUNGS:
        (found,) = engine.ask(collection, [replace(wide, limit=depth)])
        is_all = len(found) < depth or depth == RUNGS[-1]
        cut = -math.inf if is_all else step(found[-1])
        new = [hit for hit in found if hit.id not in seen and step(hit) > cut]
        yield from ((id, shown(similarity)) for id, similarity in _in_order(query, query.ask, new))
        if is_all:
            return
        seen.update(hit.id for hit in new)


def _fused(engine: Engine, collection: str, query: Query, fuse: Fuse) -> Iterator[Ranked]:
    """Reciprocal rank fusion: score = sum of 1 / (k + rank), rank from 0."""
    seen: set[str] = set()
    sides = [
        replace(query, ask=Near(vector), using=using, offset=0, with_payload=False, with_vectors=())
        for using, vector in fuse.vectors.items()
    ]
    for wanted, depth in _FUSED:
        lists = _answers(engine, collection, [replace(side, limit=depth) for side in sides])
        parts: dict[str, list[float]] = defaultdict(list)
        for hits in lists:
            for rank, hit in enumerate(hits):
                parts[hit.id].append(1 / (fuse.k + rank))
        scored = [(id, math.fsum(found)) for id, found in parts.items() if id not in seen]
        is_all = all(len(hits) < depth for hits in lists)
        new = sorted(scored, key=_best_first)[: None if is_all else wanted - len(seen)]
        yield from new
        if is_all:
            return
        seen.update(id for id, _ in new)
