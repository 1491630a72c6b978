"""Columns of many images, in order of id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vitrine.services.columns.building import Builder
from vitrine.services.columns.column import Column, Rows
from vitrine.services.domain import Hit, IndexKind

Ids: TypeAlias = NDArray[np.bytes_]
"""The 16 bytes of each id; they compare as the ids do."""


@dataclass(frozen=True, eq=False)
class Table:
    """Some columns of some images. Row i of each column belongs to ``ids[i]``, which rise. Nothing in it is
    ever changed: another state is another table."""

    ids: Ids
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return self.ids.nbytes + sum(column.nbytes for column in self.columns.values())

    def has(self, kinds: Mapping[str, IndexKind]) -> bool:
        """Return whether it has all these fields, each of that kind."""
        return all(
            field in self.columns and self.columns[field].kind == kind for field, kind in kinds.items()
        )

    def find(self, ids: Ids) -> Rows:
        """Return the row of each id, -1 where there is none."""
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[places] == ids, places, -1).astype(np.int64)

    def take(self, rows: Rows) -> Table:
        """Return the table of some rows, in rising order."""
        columns = {field: column.take(rows) for field, column in self.columns.items()}
        return Table(self.ids[rows], columns)

    def only(self, fields: Sequence[str]) -> Table:
        """Return the table with some of its columns."""
        return replace(self, columns={field: self.columns[field] for field in fields})

    def revised(self, changed: Ids, fresh: Table) -> Table:
        """Return the table after a change of the images ``changed``, of which ``fresh`` has those that are
        still there, with the same columns."""
        rows = self.find(changed)
        gone = rows[rows >= 0]
        if len(gone) == len(changed) == len(fresh):
            found = self.find(fresh.ids)
            source = np.arange(len(self))
            source[found] = len(self) + np.arange(len(fresh))
            columns = {
                field: column
                if column.take(found).is_same(fresh.columns[field])
                else column.joined(fresh.columns[field]).take(source)
                for field, column in self.columns.items()
            }
            return replace(self, columns=columns)
        stay = np.ones(len(self), np.bool_)
        stay[gone] = False
        kept = np.flatnonzero(stay)
        ids = np.concatenate([self.ids[kept], fresh.ids])
        order = np.argsort(ids, kind="stable")
        source = np.concatenate([kept, len(self) + np.arange(len(fresh))])[order]
        return Table(
            ids[order],
            {
                field: column.joined(fresh.columns[field]).take(source)
                for field, column in self.columns.items()
            },
        )


class TableBuilder:
    """Builds a table from pages of hits, in order of id."""

    def __init__(self, kinds: Mapping[str, IndexKind]) -> None:
        self._builders = [Builder(field, kind) for field, kind in kinds.items()]
        self._ids: list[Ids] = []

    def add(self, hits: Sequence[Hit]) -> None:
        """Add a row for each hit."""
        payloads = [hit.payload for hit in hits]
        for builder in self._builders:
            builder.add(payloads)
        self._ids.append(to_bytes([hit.id for hit in hits]))

    def table(self) -> Table:
        """Return the table of all hits that were added."""
        ids = np.concatenate([to_bytes([]), *self._ids])
        return Table(ids, {builder.field: builder.column() for builder in self._builders})


def table_of(hits: Sequence[Hit], kinds: Mapping[str, IndexKind]) -> Table:
    """Return the table of some hits, which are in any order, each once."""
    builder = TableBuilder(kinds)
    builder.add(sorted(hits, key=lambda hit: hit.id))
    return builder.table()


def to_bytes(ids: Sequence[str]) -> Ids:
    """Return ids as bytes.

    >>> to_bytes(["00000000-0000-0000-0000-00000000002a"])[0][-1:]
    b'*'
    """
    return np.frombuffer(bytes.fromhex("".join(ids).replace("-", "")), "S16")


def to_texts(ids: Ids) -> list[str]:
    """Return ids as texts.

    >>> to_texts(to_bytes(["5b1f4a43-94e7-5d5c-8f4e-0a8f6f3c2b11"]))
    ['5b1f4a43-94e7-5d5c-8f4e-0a8f6f3c2b11']
    """
    digits = np.ascontiguousarray(ids).tobytes().hex()
    texts = (digits[at : at + 32] for at in range(0, len(digits), 32))
    return [f"{id[:8]}-{id[8:12]}-{id[12:16]}-{id[16:20]}-{id[20:]}" for id in texts]
