"""The order of hits, the same on every engine: by similarity, and by id where it is equal; and pages that are
slices of one answer.

An engine gives the best n in any order of equals, and cuts among equals anywhere; by its index it also finds
a little more the deeper it is asked. So it is asked to fixed depths (``RUNGS``): equals that one depth has
cut wait for the next, and what only a deeper look finds comes after what was found before. A hit then has its
place whatever the size of the page.

Ids may be any numbers or texts of the engine that sort as the points' ids do.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, TypeVar

from vitrine.services.domain import CollectionSchema, Embedding, Near, Query, Recommend
from vitrine.services.vector_store.checks import recommended
from vitrine.services.vector_store.similarity import Scale, at_least, engine_threshold, shown, step

BREADTH: Final = 128
"""How many candidates an index looks at. Fewer hits than that are the first of the same ones, whatever their
number."""
RUNGS: Final = (BREADTH, 400, 1_300, 4_000, 12_000, 21_000)
"""The last depth is more than may be asked for: of more images than that with one similarity, the engine
chooses some."""
_FUSED: Final = ((63, 127), (650, 1_299), (20_000, 20_000))
"""How many fused hits are taken, and how many of the nearest by each vector they are taken from."""

Id = TypeVar("Id", str, int)
Nearest = Callable[[int], Sequence[tuple[Id, float]]]
"""Returns as many of the nearest as it is asked for: their ids, and the similarities as the engine has
computed them, best first."""
Ranked = tuple[Id, float]
"""An id and its similarity, or its fusion score."""


@dataclass(frozen=True)
class Asked:
    """A slice of the answer to a query vector. ``least``: no hits below this similarity. ``breadth``: in
    place of ``BREADTH``, where the index has several parts that each give their best."""

    vector: Embedding
    offset: int
    limit: int
    least: float | None
    exact: bool
    breadth: int = BREADTH

    @property
    def threshold(self) -> float | None:
        """What the engine has to keep."""
        return engine_threshold(self.least)

    @property
    def quick_depth(self) -> int | None:
        """How many hits to ask for where one question may give the page: one more than is wanted, which shows
        whether the page ends among hits of equal similarity. An exact search finds the same at any depth."""
        return self.limit + 1 if self.offset == 0 and (self.exact or self.limit < self.breadth) else None

    @property
    def rungs(self) -> tuple[int, ...]:
        """The depths to which the engine is asked."""
        return self.breadth, *(rung for rung in RUNGS if rung > self.breadth)


def asked(query: Query, near: Near) -> Asked:
    """Return what ``query`` asks of the answer to ``near``."""
    return Asked(near.vector, query.offset, query.limit, query.min_similarity, query.exact)


def as_near(schema: CollectionSchema, query: Query) -> Query:
    """Return a recommendation as the search by a vector that it is; other queries as they are."""
    if isinstance(query.ask, Recommend):
        return replace(query, ask=Near(recommended(schema, query.using, query.ask)))
    return query


def quick(wanted: Asked, found: Sequence[tuple[Id, float]]) -> list[Ranked[Id]] | None:
    """Return the page from the first ``quick_depth`` hits, or None if it ends among equals."""
    page = found[: wanted.limit]
    if len(found) > wanted.limit and step(found[-1][1]) == step(page[-1][1]):
        return None
    return [(id, shown(similarity)) for id, similarity in _in_order(wanted, page)]


def deep(wanted: Asked, nearest: Nearest[Id]) -> list[Ranked[Id]]:
    """Return the page from as many questions as it takes."""
    return list(islice(_whole(wanted, nearest), wanted.offset, wanted.offset + wanted.limit))


def fused(sides: Sequence[tuple[Asked, Nearest[Id]]], k: int, offset: int, limit: int) -> list[Ranked[Id]]:
    """Return the page of the reciprocal rank fusion of the answers to several vectors, whole ones."""
    return list(islice(_fusion(sides, k), offset, offset + limit))


def _whole(wanted: Asked, nearest: Nearest[Id]) -> Iterator[Ranked[Id]]:
    seen: set[Any] = set()
    for depth in wanted.rungs:
        found = nearest(depth)
        is_all = len(found) < depth or depth == RUNGS[-1]
        cut = -math.inf if is_all else step(found[-1][1])
        new = [one for one in found if one[0] not in seen and step(one[1]) > cut]
        yield from ((id, shown(similarity)) for id, similarity in _in_order(wanted, new))
        if is_all:
            return
        seen.update(id for id, _ in new)


def _in_order(wanted: Asked, found: Sequence[tuple[Id, float]]) -> list[Ranked[Id]]:
    scale, least = Scale(wanted.vector), -1.0 if wanted.least is None else wanted.least
    scored = [(id, scale.similarity(computed)) for id, computed in found]
    return sorted((one for one in scored if at_least(one[1], least)), key=_best_first)


def _fusion(sides: Sequence[tuple[Asked, Nearest[Id]]], k: int) -> Iterator[Ranked[Id]]:
    """Yield ids with their fusion score, best first: the sum of 1 / (k + rank), rank from 0."""
    seen: set[Any] = set()
    for most, depth in _FUSED:
        parts: dict[Id, list[float]] = defaultdict(list)
        lengths = []
        for wanted, nearest in sides:
            ranking = list(islice(_whole(wanted, nearest), depth))
            lengths.append(len(ranking))
            for rank, (id, _) in enumerate(ranking):
                parts[id].append(1 / (k + rank))
        scored = [(id, math.fsum(found)) for id, found in parts.items() if id not in seen]
        is_all = max(lengths) < depth
        new = sorted(scored, key=_best_first)[: None if is_all else most - len(seen)]
        yield from new
        if is_all:
            return
        seen.update(id for id, _ in new)


def _best_first(one: tuple[Any, float]) -> tuple[float, Any]:
    return -one[1], one[0]
