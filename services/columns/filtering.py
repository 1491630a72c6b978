"""Which rows of a table a filter lets through."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from functools import reduce
from typing import Any, Final

import numpy as np

from vitrine.services.columns.building import microseconds
from vitrine.services.columns.column import Column, Mask, mask_of
from vitrine.services.columns.table import Ids, Table, to_bytes
from vitrine.services.filters.conditions import (
    Condition,
    DatetimeRange,
    Filter,
    HasId,
    HasVector,
    IsEmpty,
    IsNull,
    MatchAny,
    MatchExcept,
    MatchValue,
    Nested,
    Range,
    ValuesCount,
)

AskEngine = Callable[[Condition], Ids]
"""Returns the images that meet a condition, as the engine finds them."""
_OF_THE_ENGINE: Final = (HasVector, IsNull, Nested, ValuesCount)
"""Conditions on what no column holds: vectors, lengths of lists, objects within them, nulls."""


def fields_read(filter: Filter | None) -> set[str]:
    """Return the fields whose columns it takes to apply a filter."""
    found: set[str] = set()
    for condition in () if filter is None else filter.conditions():
        if isinstance(condition, Filter):
            found |= fields_read(condition)
        elif not isinstance(condition, HasId | HasVector | IsNull | Nested | ValuesCount):
            found.add(condition.key)
    return found


def apply(filter: Filter | None, table: Table, ask: AskEngine) -> Mask:
    """Return the rows of the table that meet the filter. ``ask`` answers conditions that no column does."""
    if filter is None:
        return np.ones(len(table), np.bool_)
    mask = _all(filter.must, table, ask)
    for condition in filter.must_not:
        mask &= ~_holds(condition, table, ask)
    if filter.should:
        mask &= reduce(np.logical_or, (_holds(each, table, ask) for each in filter.should))
    if filter.min_should is not None:
        met = np.zeros(len(table), np.int64)
        for condition in filter.min_should.conditions:
            met += _holds(condition, table, ask)
        mask &= met >= filter.min_should.min_count
    return mask


def _all(conditions: Collection[Condition], table: Table, ask: AskEngine) -> Mask:
    mask = np.ones(len(table), np.bool_)
    for condition in conditions:
        mask &= _holds(condition, table, ask)
    return mask


def _holds(condition: Condition, table: Table, ask: AskEngine) -> Mask:
    if isinstance(condition, Filter):
        return apply(condition, table, ask)
    if isinstance(condition, HasId):
        return _among(table, to_bytes(condition.ids))
    if isinstance(condition, _OF_THE_ENGINE):
        return _among(table, ask(condition))
    column = table.columns[condition.key]
    if isinstance(condition, IsEmpty):
        return ~column.present if condition.empty else column.present
    if isinstance(condition, MatchValue):
        return column.rows_with(_equal(column, (condition.value,)))
    if isinstance(condition, MatchAny):
        return column.rows_with(_equal(column, condition.values))
    if isinstance(condition, MatchExcept):
        return column.rows_with(~_equal(column, condition.values))
    return column.rows_with(_within(column.items, condition))


def _among(table: Table, ids: Ids) -> Mask:
    rows = table.find(ids)
    return mask_of(rows[rows >= 0], len(table))


def _equal(column: Column, values: Collection[Any]) -> Mask:
    """Return which items are one of the values."""
    wanted: Collection[Any] = values
    if column.has_words:
        wanted = [column.words.codes[value] for value in values if value in column.words.codes]
    if len(wanted) == 1:
        found: Mask = column.items == next(iter(wanted))
        return found
    return np.isin(column.items, np.array(list(wanted), column.items.dtype))


def _within(items: Any, bounds: Range | DatetimeRange) -> Mask:
    found = np.ones(len(items), np.bool_)
    for name, compare in (
        ("gte", np.greater_equal),
        ("lte", np.less_equal),
        ("gt", np.greater),
        ("lt", np.less),
    ):
        bound = getattr(bounds, name)
        if bound is not None:
            found &= compare(items, microseconds(bound) if isinstance(bound, datetime) else bound)
    return found
