"""The counts of a listing over columns in memory."""

from __future__ import annotations

from functools import partial

import numpy as np

from vitrine.services.category.catalog import Category
from vitrine.services.category.read_all import pages
from vitrine.services.columns.column import Mask
from vitrine.services.columns.filtering import apply, fields_read
from vitrine.services.columns.store import ColumnStore
from vitrine.services.columns.table import Ids, Table, to_bytes
from vitrine.services.filters.conditions import Condition, Filter
from vitrine.services.search.searcher import Searcher
from vitrine.services.search.summary.by_columns import CountsByColumns
from vitrine.services.search.summary.plan import Plan
from vitrine.services.vector_store.fields import check_filter


def counts_of_listing(
    searcher: Searcher, columns: ColumnStore, cat: Category, plan: Plan
) -> CountsByColumns | None:
    """Return the counts of the plan over all images; None where their columns are not at hand."""
    filters = {owner: searcher.to_filter(cat, conditions) for owner, conditions in plan.sets.items()}
    valid = {part.path: valid_filter(searcher, cat, part.path) for part in plan.histograms}
    schema = searcher.catalog.get(cat.name).schema  # with the indexes that scores may just have got
    for filter in filters.values():
        check_filter(schema, filter)
    read = [fields_read(filter) for filter in (*filters.values(), *valid.values())]
    snapshot = columns.snapshot(cat.name, plan.paths.union(*read))
    if snapshot is None:
        return None
    applied = partial(rows_meeting, searcher, cat.name, snapshot.table)
    sets = {owner: applied(filter) for owner, filter in filters.items()}
    return CountsByColumns(snapshot.table, sets, lambda path: applied(valid[path]))


def valid_filter(searcher: Searcher, cat: Category, path: str) -> Filter | None:
    """Return the filter for the images whose value of a field counts: a score by the tagger in service."""
    return searcher.to_filter(cat, None, path)


def rows_meeting(searcher: Searcher, category: str, table: Table, filter: Filter | None) -> Mask:
    """Return the rows of a table that meet a filter; what no column answers is asked of the engine."""

    def ask(condition: Condition) -> Ids:
        found = pages(searcher.vectors, category, filter=Filter(must=(condition,)), size=10_000)
        return np.concatenate([to_bytes([hit.id for hit in page]) for page in found])

    return apply(filter, table, ask)
