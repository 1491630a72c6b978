"""Columns from payloads, a page at a time."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from vitrine.services.columns.column import NO_WORDS, Column, Words, item_type
from vitrine.services.domain import IndexKind
from vitrine.services.values.field_paths import path_keys

Item = int | float
Read = Callable[[Any], Item | None]
"""Returns a value as an item; None for one of another kind, which no index holds."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_INT64: Final = 2**63


class Builder:
    """Builds the column of one field from payloads that are added page by page."""

    def __init__(self, field: str, kind: IndexKind) -> None:
        self.field, self.kind = field, kind
        self._keys = path_keys(field)
        self._words: dict[str | bool, int] = {}
        self._read = self._reader()
        self._items: array[Any] = array("d" if kind == "float" else "q")
        self._owners, self._present = array("i"), array("i")
        self._rows = 0

    def add(self, payloads: Iterable[Mapping[str, Any]]) -> None:
        """Add a row for each payload."""
        first, *rest = self._keys
        read, items, owners, present = self._read, self._items, self._owners, self._present
        row = self._rows - 1
        for row, payload in enumerate(payloads, self._rows):
            value: Any = payload.get(first)
            for key in rest:
                value = value.get(key) if isinstance(value, dict) else None
            if value is None:
                continue
            if type(value) is list:
                if not value:
                    continue
                found = dict.fromkeys(item for each in value if (item := read(each)) is not None)
                items.extend(found)
                owners.extend([row] * len(found))
            elif (item := read(value)) is not None:
                items.append(item)
                owners.append(row)
            present.append(row)
        self._rows = row + 1

    def column(self) -> Column:
        """Return the column of all rows that were added."""
        present = np.zeros(self._rows, np.bool_)
        present[np.frombuffer(self._present, np.int32)] = True
        items = np.array(self._items, item_type(self.kind))
        words = Words(tuple(self._words)) if self._words else NO_WORDS
        if self._owners != self._present:
            return Column(self.kind, items, present, np.array(self._owners, np.int32), words)
        spread = np.zeros(self._rows, items.dtype)
        spread[present] = items
        return Column(self.kind, spread, present, None, words)

    def _reader(self) -> Read:
        words = self._words
        if self.kind in ("keyword", "bool"):
            wanted = str if self.kind == "keyword" else bool

            def read_word(value: Any) -> int | None:
                return words.setdefault(value, len(words)) if type(value) is wanted else None

            return read_word
        return _moment if self.kind == "datetime" else _whole if self.kind == "integer" else _number


def _number(value: Any) -> float | None:
    return float(value) if type(value) is float or type(value) is int else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and -_INT64 <= value < _INT64 else None


def _moment(value: Any) -> int | None:
    """Return the microseconds from 1970 to a date, in UTC where it names no zone."""
    if type(value) is not str:
        return None
    try:
        return microseconds(datetime.fromisoformat(value))
    except ValueError:
        return None


def microseconds(moment: datetime) -> int:
    """Return the microseconds from 1970 to a moment, in UTC where it has no zone.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1))
    1000000
    """
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
