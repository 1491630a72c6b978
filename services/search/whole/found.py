"""The hits of a search without their payloads, and the columns of those hits."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vitrine.services.artifacts.duplicates import FIELD
from vitrine.services.artifacts.store import number_of
from vitrine.services.category.manifest import Category
from vitrine.services.columns.column import Mask, Rows, mask_of
from vitrine.services.columns.store import ColumnStore, kind_of
from vitrine.services.columns.table import Ids, Table, table_of, to_bytes, to_texts
from vitrine.services.domain import Hit
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.searcher import Searcher
from vitrine.services.vector_store.base import MAX_LIMIT
from vitrine.services.vector_store.similarity import RESOLUTION


@dataclass(frozen=True, eq=False)
class Found:
    """Hits, best first, and how similar they are."""

    ids: Ids
    similarities: NDArray[np.float64]

    @classmethod
    def of(cls, hits: list[Hit]) -> Found:
        return cls(to_bytes([hit.id for hit in hits]), np.array([hit.similarity for hit in hits], np.float64))

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, places: Rows) -> Found:
        """Return the hits at these places."""
        return Found(self.ids[places], self.similarities[places])

    def at_least(self, least: float | None) -> Found:
        """Return the hits that are at least so similar, as far as that is known."""
        if least is None:
            return self
        return self.at(np.flatnonzero(self.similarities >= least - RESOLUTION))

    def within(self, table: Table) -> Found:
        """Return the hits that are in the table."""
        return self.at(np.flatnonzero(table.find(self.ids) >= 0))

    def mask(self, table: Table) -> Mask:
        """Return the rows of the hits, all of which are in the table."""
        return mask_of(table.find(self.ids), len(table))

    def collapsed(self, table: Table, key: str | None) -> Found:
        """Return the best hit of each group of near-duplicates of the run ``key``, and the hits that are in
        no group. The table has the column of groups."""
        if key is None:
            return self
        column, start = table.columns[FIELD], f"{number_of(key)}-"
        of_run = np.array([str(word).startswith(start) for word in column.words.values] or [False])
        groups = -1 - np.arange(len(table))  # no group: a number of its own
        owners, items = column.owners(), column.all_items()
        chosen = of_run[items]
        groups[owners[chosen]] = items[chosen]
        _, first = np.unique(groups[table.find(self.ids)], return_index=True)
        return self.at(np.sort(first))


def all_of(options: SearchOptions) -> SearchOptions:
    """Return the options of the same search for all of its hits, without payloads, in order of
    similarity."""
    return replace(
        options, limit=MAX_LIMIT, offset=0, diversity=None, with_vectors=False, fields=(), collapse=False
    )


def columns_of(
    searcher: Searcher,
    columns: ColumnStore,
    cat: Category,
    found: Collection[Found],
    fields: Collection[str],
) -> Table:
    """Return these columns of all hits; images that were deleted just now are not in it."""
    ids = np.unique(np.concatenate([hits.ids for hits in found]))
    snapshot = columns.snapshot(cat.name, fields)
    if snapshot is not None:
        rows = snapshot.table.find(ids)
        if (rows >= 0).all():
            return snapshot.table.only(sorted(fields)).take(rows)
    latest = searcher.catalog.get(cat.name)  # with the indexes that scores may just have got
    kinds = {field: kind_of(latest, field) for field in sorted(fields)}
    payloads = searcher.vectors.retrieve(cat.name, to_texts(ids), with_payload=tuple(kinds) or False)
    return table_of([hit for hit in payloads if hit is not None], kinds)
