"""Search results with one hit for each group of near-duplicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import orjson

from vitrine.services.artifacts.duplicates import FIELD, group_of
from vitrine.services.domain import Fields, Hit, Query
from vitrine.services.filters.conditions import Filter, HasId, MatchAny
from vitrine.services.vector_store.base import MAX_LIMIT, VectorStore


def collapsed(
    vectors: VectorStore, collection: str, query: Query, key: str | None, read: Callable[[Query], list[Hit]]
) -> tuple[list[Hit], dict[str, int]]:
    """Return the best hit of each group of the run ``key``, and the images that are in no group, in order;
    ``offset`` and ``limit`` count these.

    ``read`` answers the query, or a wider one. More is asked for until there are enough, up to 10,000 hits.
    The second value says by hit how many others of its group meet the query's filter, whatever their
    similarity; hits without others are not in it.
    """
    wanted, fetch = query.offset + query.limit, min(MAX_LIMIT, 2 * (query.offset + query.limit) + 20)
    while True:
        hits = read(replace(query, offset=0, limit=fetch))
        best = first_of_each(hits, key)
        if len(best) >= wanted or len(hits) < fetch or fetch == MAX_LIMIT:
            break
        fetch = min(MAX_LIMIT, 4 * fetch)
    page = best[query.offset : wanted]
    return page, _others(vectors, collection, query, page, key)


def first_of_each(hits: Sequence[Hit], key: str | None) -> list[Hit]:
    """Return the hits in their order, only the first of each group."""
    found: dict[str, Hit] = {}
    for hit in hits:
        found.setdefault(group_of(hit.payload.get(FIELD), key) or hit.id, hit)
    return list(found.values())


def with_group(fields: Fields) -> Fields:
    """Return what has to be read of payloads where ``fields`` are wanted: a payload names its hit's group."""
    if isinstance(fields, tuple):
        return (*fields, FIELD)
    return fields or (FIELD,)


def without_group(hits: Sequence[Hit], fields: Fields) -> list[Hit]:
    """Return the hits with what was wanted of their payloads."""
    if fields is not False and (not isinstance(fields, tuple) or FIELD in fields):
        return list(hits)
    return [
        replace(hit, payload_json=orjson.dumps({key: it for key, it in hit.payload.items() if key != FIELD}))
        for hit in hits
    ]


def _others(
    vectors: VectorStore, collection: str, query: Query, hits: Sequence[Hit], key: str | None
) -> dict[str, int]:
    groups = {hit.id: group for hit in hits if (group := group_of(hit.payload.get(FIELD), key)) is not None}
    if not groups:
        return {}
    facets = vectors.facet(collection, FIELD, filter=_in_groups(query, groups), limit=2 * len(groups) + 10)
    counts = {str(facet.value): facet.count for facet in facets}
    return {id: counts[group] - 1 for id, group in groups.items() if counts.get(group, 0) > 1}


def _in_groups(query: Query, groups: Mapping[str, str]) -> Filter:
    inside = MatchAny(FIELD, tuple(sorted(set(groups.values()))))
    excluded = (HasId(query.exclude),) if query.exclude else ()
    return Filter(must=(inside,) if query.filter is None else (inside, query.filter), must_not=excluded)
