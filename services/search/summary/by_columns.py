"""Counts over columns in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vitrine.services.columns.column import Mask
from vitrine.services.columns.counting import counted, edges_between, most_frequent
from vitrine.services.columns.table import Table
from vitrine.services.domain import Bin, Facet
from vitrine.services.search.summary.counts import MICROSECONDS, Owner, Span


@dataclass(frozen=True, eq=False)
class CountsByColumns:
    """``Counts`` over a table. ``sets``: the rows of each set. ``valid``: the rows whose value of a field
    counts."""

    table: Table
    sets: Mapping[Owner, Mask]
    valid: Callable[[str], Mask]

    def size(self, owner: Owner) -> int:
        return int(np.count_nonzero(self.sets[owner]))

    def facet(self, field: str, owner: Owner, limit: int) -> tuple[tuple[Facet, ...], bool, int]:
        column, mask = self.table.columns[field], self.sets[owner]
        values, more = most_frequent(column, mask, limit)
        return tuple(values), more, int(np.count_nonzero(mask & ~column.present))

    def histogram(self, field: str, owner: Owner, span: Span) -> tuple[tuple[Bin, ...], int]:
        column = self.table.columns[field]
        mask = self.sets[owner] & self.valid(field) & column.present
        missing = self.size(owner) - int(np.count_nonzero(mask))
        scale = MICROSECONDS if column.kind == "datetime" else 1
        items = column.items_of(mask)
        least, greatest = (items.min() / scale, items.max() / scale) if len(items) else (None, None)
        ends = span.between(least, greatest)
        if ends is None:
            return (), missing
        edges = edges_between(ends[0] * scale, ends[1] * scale, span.bins)
        bins = counted(column, mask, np.rint(edges) if scale > 1 else edges)
        return tuple(Bin(one.lower / scale, one.upper / scale, one.count) for one in bins), missing
