"""One payload field of many images as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import IndexKind

Mask: TypeAlias = NDArray[np.bool_]
"""(rows,): which rows are meant."""
Rows: TypeAlias = NDArray[np.int64]
_A_WORD_BYTES = 100
"""What a word in memory takes, roughly: the text, its place in a list and in an index."""


@dataclass(frozen=True, eq=False)
class Words:
    """The distinct values of a field of words or truths; the place of each is its code."""

    values: tuple[str | bool, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def codes(self) -> Mapping[str | bool, int]:
        """The code of each value."""
        return {word: code for code, word in enumerate(self.values)}

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """The place of each code in order of value."""
        order = sorted(range(len(self.values)), key=self.values.__getitem__)
        ranks = np.empty(len(order), np.int64)
        ranks[order] = np.arange(len(order))
        return ranks

    def with_all_of(self, others: Words) -> Words:
        """Return these words, in their places, and after them those of ``others`` that are not among them."""
        if others is self:
            return self
        new = tuple(word for word in others.values if word not in self.codes)
        return Words(self.values + new) if new else self


NO_WORDS = Words()


@dataclass(frozen=True, eq=False)
class Column:
    """The values of one field, of any number in a row.

    ``items`` are the values: codes of ``words`` (int32) for keywords and bools, int64 for whole numbers and
    for dates (microseconds since 1970), float64 for numbers. ``rows`` (int32, rising) says to which row each
    item belongs; None: row i has item i, which counts where ``present[i]``. Within a row each item is there
    once. ``present``: whether the field of a row holds anything, of its kind or not.
    """

    kind: IndexKind
    items: NDArray[Any]
    present: Mask
    rows: NDArray[np.int32] | None = None
    words: Words = NO_WORDS

    def __len__(self) -> int:
        return len(self.present)

    @property
    def has_words(self) -> bool:
        """Whether the items are codes of words."""
        return self.kind in ("keyword", "bool")

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        rows = 0 if self.rows is None else self.rows.nbytes
        return self.items.nbytes + self.present.nbytes + rows + _A_WORD_BYTES * len(self.words)

    @cached_property
    def starts(self) -> Rows:
        """Where the items of each row begin, and at last where all end."""
        counts = self.present if self.rows is None else np.bincount(self.rows, minlength=len(self))
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def all_items(self) -> NDArray[Any]:
        """Return the items of all rows, without places that hold none."""
        return self.items[self.present] if self.rows is None else self.items

    def items_of(self, mask: Mask) -> NDArray[Any]:
        """Return the items of the rows in ``mask``."""
        return self.items[mask & self.present] if self.rows is None else self.items[mask[self.rows]]

    def rows_with(self, hit: Mask) -> Mask:
        """Return the rows that have one of the items ``hit``, aligned with ``items``."""
        if self.rows is None:
            return hit & self.present
        found = np.zeros(len(self), np.bool_)
        found[self.rows[hit]] = True
        return found

    def first_items(self) -> tuple[NDArray[Any], Mask]:
        """Return the first item of each row, and which rows have one."""
        if self.rows is None:
            return self.items, self.present
        has = self.starts[1:] > self.starts[:-1]
        first = np.zeros(len(self), self.items.dtype)
        first[has] = self.items[self.starts[:-1][has]]
        return first, has

    def last_items(self) -> tuple[NDArray[Any], Mask]:
        """Return the last item of each row, and which rows have one."""
        if self.rows is None:
            return self.items, self.present
        has = self.starts[1:] > self.starts[:-1]
        last = np.zeros(len(self), self.items.dtype)
        last[has] = self.items[self.starts[1:][has] - 1]
        return last, has

    def take(self, rows: Rows) -> Column:
        """Return the column of these rows, in their order."""
        if self.rows is None:
            return replace(self, items=self.items[rows], present=self.present[rows])
        counts = self.starts[rows + 1] - self.starts[rows]
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        source = np.arange(total) + np.repeat(self.starts[rows] - (ends - counts), counts)
        owners = np.repeat(np.arange(len(rows), dtype=np.int32), counts)
        return replace(self, items=self.items[source], present=self.present[rows], rows=owners)

    def joined(self, other: Column) -> Column:
        """Return the rows of this column and, after them, those of another one of the same kind."""
        words = self.words.with_all_of(other.words)
        other = other.coded_by(words)
        present = np.concatenate([self.present, other.present])
        if self.rows is None and other.rows is None:
            items = np.concatenate([self.items, other.items])
            return replace(self, items=items, present=present, words=words)
        rows = np.concatenate([self.owners(), other.owners() + np.int32(len(self))])
        items = np.concatenate([self.all_items(), other.all_items()])
        return replace(self, items=items, present=present, rows=rows, words=words)

    def coded_by(self, words: Words) -> Column:
        """Return the same column with the codes of ``words``, which has all of its own."""
        if self.words is words:
            return self
        codes = [words.codes[word] for word in self.words.values]
        # places of absent items hold code 0, also where there is no word at all
        return replace(self, items=np.array(codes or [0], np.int32)[self.items], words=words)

    def is_same(self, other: Column) -> bool:
        """Return whether both hold the same values, row by row."""
        if not np.array_equal(self.present, other.present):
            return False
        words = self.words.with_all_of(other.words)
        return np.array_equal(self.owners(), other.owners()) and np.array_equal(
            self.all_items(), other.coded_by(words).all_items()
        )

    def owners(self) -> NDArray[np.int32]:
        """Return the row of each of ``all_items``."""
        return np.flatnonzero(self.present).astype(np.int32) if self.rows is None else self.rows


def item_type(kind: IndexKind) -> type[np.generic]:
    """Return the type of the items of a kind."""
    if kind in ("keyword", "bool"):
        return np.int32
    return np.float64 if kind == "float" else np.int64


def mask_of(rows: Sequence[int] | Rows, total: int) -> Mask:
    """Return the mask of some rows of ``total``."""
    mask = np.zeros(total, np.bool_)
    mask[rows] = True
    return mask
