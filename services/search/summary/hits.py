"""The counts of a search: over the images it finds, 10,000 at most."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vitrine.services.artifacts.duplicates import FIELD
from vitrine.services.category.catalog import Category
from vitrine.services.columns.counting import binned, edges_between
from vitrine.services.columns.filtering import fields_read
from vitrine.services.columns.store import ColumnStore
from vitrine.services.domain import Bin, Fuse, Query
from vitrine.services.search.searcher import Search, Searcher
from vitrine.services.search.summary.by_columns import CountsByColumns
from vitrine.services.search.summary.counts import Owner
from vitrine.services.search.summary.listing import rows_meeting, valid_filter
from vitrine.services.search.summary.plan import Plan
from vitrine.services.search.whole.found import Found, all_of, columns_of


def counts_of_hits(
    searcher: Searcher, columns: ColumnStore, cat: Category, plan: Plan, search: Search, similarity_bins: int
) -> tuple[CountsByColumns, tuple[Bin, ...] | None, float]:
    """Return the counts of the plan over the hits of a search, the histogram of their similarities whatever
    the least one is (None for fused ranks, and where no bins are asked for), and the milliseconds of
    encoding."""
    queries, encode_ms = _queries(searcher, cat, plan, search)
    answers = searcher.vectors.query_batch(cat.name, list(queries.values()))
    found = {owner: Found.of(hits) for owner, hits in zip(queries, answers, strict=True)}
    valid = {part.path: valid_filter(searcher, cat, part.path) for part in plan.histograms}
    read = [fields_read(filter) for filter in valid.values()]
    fields = plan.paths.union(*read, {FIELD} if search.options.collapse else ())
    table = columns_of(searcher, columns, cat, found.values(), fields)
    found = {owner: hits.within(table) for owner, hits in found.items()}
    if search.options.collapse:
        key = searcher.duplicates.collapsing_key(cat.name)
        found = {owner: hits.collapsed(table, key) for owner, hits in found.items()}
    least = search.options.min_similarity
    sets = {owner: hits.at_least(least).mask(table) for owner, hits in found.items()}
    applied = partial(rows_meeting, searcher, cat.name, table)
    counts = CountsByColumns(table, sets, lambda path: applied(valid[path]))
    similarity = None
    if similarity_bins and not any(isinstance(query.ask, Fuse) for query in queries.values()):
        similarity = _similarity(found[None].similarities, similarity_bins)
    return counts, similarity, encode_ms


def _queries(
    searcher: Searcher, cat: Category, plan: Plan, search: Search
) -> tuple[dict[Owner, Query], float]:
    """Return the query of each set of images, and the milliseconds of encoding."""
    options = all_of(search.options)
    searches = [
        Search(search.question, replace(options, conditions=conditions)) for conditions in plan.sets.values()
    ]
    _, queries, encode_ms = searcher.prepare(cat, searches)
    found = dict(zip(plan.sets, queries, strict=True))
    found[None] = replace(found[None], min_similarity=None)  # a histogram shows what the least one hides
    return found, encode_ms


def _similarity(similarities: NDArray[np.float64], bins: int) -> tuple[Bin, ...]:
    if not len(similarities):
        return ()
    return tuple(
        binned(similarities, edges_between(float(similarities.min()), float(similarities.max()), bins))
    )
