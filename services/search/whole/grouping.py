"""The best hits of each value of a field: of each product, class or cluster."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vitrine.services.artifacts.duplicates import FIELD
from vitrine.services.category.field_names import find_field
from vitrine.services.category.manifest import Category
from vitrine.services.columns.column import Column, Mask
from vitrine.services.columns.store import ColumnStore
from vitrine.services.columns.table import Table, to_texts
from vitrine.services.domain import Hit, Query
from vitrine.services.errors import BadRequest
from vitrine.services.search.counts import CLUSTER_FIELD, cluster_fields
from vitrine.services.search.options import SearchResult
from vitrine.services.search.searcher import Search, Searcher
from vitrine.services.search.usable_fields import check_indexed
from vitrine.services.search.whole.found import Found, all_of, columns_of
from vitrine.services.vector_store.base import MAX_LIMIT
from vitrine.services.vector_store.fields import COUNTABLE

Places: TypeAlias = NDArray[np.int64]
MAX_GROUP = 100
"""Hits of one group."""


@dataclass(frozen=True)
class Group:
    """A run of ``hits`` hits with one ``value``; None: an image without one, which is a group of its own."""

    value: str | int | bool | None
    hits: int


@dataclass(frozen=True)
class GroupedResult:
    """The hits of one group after the other, groups in order of their best hit; and of all groups together,
    how many images were found."""

    result: SearchResult
    groups: tuple[Group, ...]
    total: int | None


def search_grouped(
    searcher: Searcher,
    columns: ColumnStore,
    category: str,
    search: Search,
    group_by: str,
    *,
    size: int = 1,
    total: bool = False,
) -> GroupedResult:
    """Return the ``size`` best hits of each value of a field of words, whole numbers or truths, or of each
    leaf of ``cluster.<run>``. ``limit`` and ``offset`` count groups.

    Groups are those of the up to 10,000 nearest images. An image with several values counts for the first of
    them. ``total``: say how many images were found. Raises as ``Searcher.search`` does; ``UnknownField`` for
    another field, ``BadRequest`` with ``diversity``.
    """
    cat = searcher.catalog.get(category)
    search.options.check()
    path = _path(searcher, cat, group_by)
    if not 1 <= size <= MAX_GROUP:
        raise BadRequest(f"group_size must be in 1..{MAX_GROUP}, not {size}.")
    if search.options.diversity is not None:
        raise BadRequest("diversity does not go with group_by: groups are in order of their best hit.")
    started = time.perf_counter()
    whole = Search(search.question, all_of(search.options))
    (spec,), (query,), encode_ms = searcher.prepare(cat, [whole])
    last = group_by.startswith(CLUSTER_FIELD)
    found = _found(searcher, columns, cat, search, query, _Wanted(path, last, whole=total or size > 1))
    groups, hits = _page(searcher, cat, found, search, spec.name, size)
    search_ms = round((time.perf_counter() - started) * 1000 - encode_ms, 3)
    result = SearchResult(tuple(hits), spec, encode_ms, search_ms)
    return GroupedResult(result, tuple(groups), len(found.hits) if total else None)


@dataclass(frozen=True)
class _Wanted:
    """The field by which is grouped; whether the ``last`` of several values counts; whether all hits are
    needed, or only as many as have the groups of the page."""

    path: str
    last: bool
    whole: bool


@dataclass(frozen=True, eq=False)
class _Valued:
    """Hits, best first, the value of each, and whether it has one."""

    hits: Found
    column: Column
    items: NDArray[np.int64]
    has: Mask

    @classmethod
    def of(cls, hits: Found, table: Table, wanted: _Wanted) -> _Valued:
        column = table.columns[wanted.path]
        items, has = column.last_items() if wanted.last else column.first_items()
        rows = table.find(hits.ids)
        return cls(hits, column, items[rows], has[rows])

    def value(self, place: int) -> str | int | bool | None:
        """Return the value of the hit at a place."""
        if not self.has[place]:
            return None
        item = int(self.items[place])
        return self.column.words.values[item] if self.column.has_words else item

    def groups(self) -> list[Places]:
        """Return the places of the hits of each group, best first; groups in order of their best hit."""
        _, codes = np.unique(self.items, return_inverse=True)
        keys = np.where(self.has, codes, -1 - np.arange(len(codes)))  # without a value: each for itself
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        begins = first[group]
        order = np.argsort(begins, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(begins[order])) + 1) if len(order) else []


def _path(searcher: Searcher, cat: Category, group_by: str) -> str:
    path = group_by
    if group_by.startswith(CLUSTER_FIELD):
        path = searcher.clusters.get(cat.name, group_by[len(CLUSTER_FIELD[0]) :]).payload_field
    path = find_field(path, cat.indexes)
    check_indexed(cat, path, COUNTABLE, "grouped by", cluster_fields(searcher, cat.name))
    return path


def _found(
    searcher: Searcher, columns: ColumnStore, cat: Category, search: Search, query: Query, wanted: _Wanted
) -> _Valued:
    """Return hits that have all groups of the page."""
    options = search.options
    groups = options.offset + options.limit
    depth = MAX_LIMIT if wanted.whole else min(MAX_LIMIT, 4 * groups + 50)
    fields = {wanted.path, FIELD} if options.collapse else {wanted.path}
    while True:
        hits = searcher.vectors.query(cat.name, replace(query, limit=depth))
        found = Found.of(hits)
        table = columns_of(searcher, columns, cat, [found], fields)
        found = found.within(table)
        if options.collapse:
            found = found.collapsed(table, searcher.duplicates.collapsing_key(cat.name))
        valued = _Valued.of(found, table, wanted)
        if depth == MAX_LIMIT or len(hits) < depth or len(valued.groups()) >= groups:
            return valued
        depth = min(MAX_LIMIT, 4 * depth)


def _page(
    searcher: Searcher, cat: Category, found: _Valued, search: Search, using: str, size: int
) -> tuple[list[Group], list[Hit]]:
    """Return the groups of the page, and their hits."""
    options = search.options
    chosen = [places[:size] for places in found.groups()[options.offset : options.offset + options.limit]]
    shown = found.hits.at(np.concatenate([*chosen, np.zeros(0, np.int64)]))
    hits = searcher.vectors.retrieve(
        cat.name,
        to_texts(shown.ids),
        with_payload=options.fields,
        with_vectors=(using,) if options.with_vectors else (),
    )
    similar = iter(zip(hits, shown.similarities.tolist(), strict=True))
    groups, all_hits = [], list[Hit]()
    for places in chosen:
        its = [replace(hit, similarity=it) for hit, it in islice(similar, len(places)) if hit is not None]
        if its:  # else they were deleted just now
            groups.append(Group(found.value(int(places[0])), len(its)))
            all_hits += its
    return groups, all_hits
