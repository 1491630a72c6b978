"""Counts by the engine, a question for each facet and each bin: where columns are not in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Bin, Facet, OrderBy, Query
from vitrine.services.filters.conditions import Condition, DatetimeRange, Filter, IsEmpty, Range
from vitrine.services.search.summary.counts import MICROSECONDS, Owner, Span
from vitrine.services.values.field_paths import value_at

if TYPE_CHECKING:
    from vitrine.services.category.catalog import Category
    from vitrine.services.search.searcher import Searcher

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class CountsByEngine:
    """``Counts`` of a listing. ``sets``: the conditions of each set."""

    searcher: Searcher
    cat: Category
    sets: Mapping[Owner, Conditions]
    _sizes: dict[Owner, int] = field(default_factory=dict)

    def size(self, owner: Owner) -> int:
        if owner not in self._sizes:
            self._sizes[owner] = self._count(self._filter(owner))
        return self._sizes[owner]

    def facet(self, field: str, owner: Owner, limit: int) -> tuple[tuple[Facet, ...], bool, int]:
        chosen = self._filter(owner)
        found = self.searcher.vectors.facet(self.cat.name, field, filter=chosen, limit=limit + 1)
        return tuple(found[:limit]), len(found) > limit, self._count(_both(chosen, IsEmpty(field)))

    def histogram(self, field: str, owner: Owner, span: Span) -> tuple[tuple[Bin, ...], int]:
        from vitrine.services.columns.counting import edges_between

        chosen = self._filter(owner, field)
        missing = self.size(owner) - self._count(_both(chosen, IsEmpty(field, empty=False)))
        is_date = self.cat.indexes[field] == "datetime"
        ends = span.between(
            self._extreme(field, chosen, descending=False) if span.lower is None else None,
            self._extreme(field, chosen, descending=True) if span.upper is None else None,
        )
        if ends is None:
            return (), missing
        scale = MICROSECONDS if is_date else 1
        edges = edges_between(ends[0] * scale, ends[1] * scale, span.bins).tolist()
        edges = [float(round(edge)) for edge in edges] if is_date else edges
        bins = []
        for number, (low, high) in enumerate(pairwise(edges), 1):
            within = _within(field, low, high, is_date=is_date, last=number == len(edges) - 1)
            bins.append(Bin(low / scale, high / scale, self._count(_both(chosen, within))))
        return tuple(bins), missing

    def _filter(self, owner: Owner, *fields: str) -> Filter | None:
        return self.searcher.to_filter(self.cat, self.sets[owner], *fields)

    def _count(self, filter: Filter | None) -> int:
        return self.searcher.vectors.count(self.cat.name, filter)

    def _extreme(self, field: str, chosen: Filter | None, *, descending: bool) -> float | None:
        """Return the least or greatest value; seconds since 1970 of dates."""
        query = Query(OrderBy(field, descending), filter=chosen, limit=1, with_payload=(field,))
        hits = self.searcher.vectors.query(self.cat.name, query)
        if not hits:
            return None
        value = value_at(hits[0].payload, field)
        values = [_number(each) for each in (value if isinstance(value, list) else [value])]
        return max(values) if descending else min(values)


def _number(value: Any) -> float:
    if not isinstance(value, str):
        return float(value)
    moment = datetime.fromisoformat(value)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return ((moment - _EPOCH) // timedelta(microseconds=1)) / MICROSECONDS


def _both(chosen: Filter | None, condition: Condition) -> Filter:
    return Filter(must=(condition,) if chosen is None else (condition, chosen))


def _within(field: str, low: float, high: float, *, is_date: bool, last: bool) -> Condition:
    if not is_date:
        return Range(field, gte=low, lte=high if last else None, lt=None if last else high)
    start, end = (_EPOCH + timedelta(microseconds=edge) for edge in (low, high))
    return DatetimeRange(field, gte=start, lte=end if last else None, lt=None if last else end)
