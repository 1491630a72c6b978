"""Points in order of a field, on engines that order by value alone and give no next page."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from vitrine.services.domain import IndexKind

Value = int | float
"""What a field is ordered by; datetimes as microseconds since 1970, as the engines give them."""
Position = tuple[Value, str]
"""Where a listing stopped: the last value, and the last id among the points that carry it."""
Plain = dict[str, Any]
R = TypeVar("R")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = 1 << 53
"""Integers below this are float64 numbers, all of them."""
_MOST = 1 << 20
"""More than this is asked for only if there are more."""


@dataclass(frozen=True)
class OrderedListing(ABC, Generic[R]):
    """Matching points by value of ``field`` and by id among equal values. ``R``: what the engine returns of a
    point.

    A page may cut a run of equal values anywhere; such a run is therefore read by id, and a position stays
    two values long however long the run is.

    Engines list a point once for each of its values. Its first one counts here: points that have a value
    before the position were listed there, and are left out by a filter. (Integers from 2**53 on that a list
    keeps within one float64 of each other are the exception: a filter cannot distinguish them, and such a
    point may come twice.)
    """

    field: str
    kind: IndexKind
    descending: bool

    @abstractmethod
    def by_value(self, also: Plain, start: Value | None, limit: int) -> list[tuple[Value, str, R]]:
        """Return matching points that meet the filter ``also`` as well, in order of value only, from the
        value ``start`` on."""

    @abstractmethod
    def by_id(self, also: Plain, after: str | None, limit: int) -> list[tuple[str, R]]:
        """Return matching points that meet the filter ``also`` as well, by id, past the id ``after``."""

    @abstractmethod
    def count(self, also: Plain) -> int:
        """Return how many matching points meet the filter ``also`` as well."""

    def after(self, position: Position | None, limit: int) -> list[tuple[Value, str, R]]:
        """Return up to ``limit`` points after ``position``; fewer only at the end."""
        value = None if position is None else position[0]
        found = [] if position is None else self._ties(position[0], position[1], limit)
        while len(found) < limit:
            missing = limit - len(found)
            batch = self._beyond(value, missing)
            if len(batch) < missing:
                return found + self._sorted(batch)
            value = batch[-1][0]
            found += self._sorted([item for item in batch if item[0] != value])
            found += self._ties(value, None, limit - len(found))
        return found

    def _sorted(self, batch: list[tuple[Value, str, R]]) -> list[tuple[Value, str, R]]:
        return sorted(batch, key=lambda item: (-item[0] if self.descending else item[0], item[1]))

    def _beyond(self, value: Value | None, limit: int) -> list[tuple[Value, str, R]]:
        """Return points whose first value is past ``value``, in order of value only."""
        also = {} if value is None else {"must_not": [self._earlier(value, including=True)]}
        start = None if value is None else self.start_after(value)
        asked = limit
        while True:
            found = self.by_value(also, start, asked)
            firsts: dict[str, tuple[Value, str, R]] = {}
            for item in found:
                # of integers that a float64 cannot distinguish the engine starts too early
                if value is None or (item[0] < value if self.descending else item[0] > value):
                    firsts.setdefault(item[1], item)
            # it also counts a value that a point repeats, though it gives it once: fewer than asked for need
            # not be all
            having = {"must": [self._any_value()], **also}
            is_all = len(found) < asked and (len(firsts) >= self.count(having) or asked > _MOST)
            if len(firsts) >= limit or is_all:
                return list(firsts.values())[:limit]
            asked *= 2

    def _ties(self, value: Value, after: str | None, limit: int) -> list[tuple[Value, str, R]]:
        """Return points with exactly ``value``, by id, past the id ``after``."""
        if limit < 1:
            return []
        also = {"must": [self.equals(value)], "must_not": [self._earlier(value, including=False)]}
        return [(value, id, record) for id, record in self.by_id(also, after, limit)]

    def start_after(self, value: Value) -> Value:
        """Return the value at which the engine starts: nothing past ``value`` may lie before it.

        The engine rounds it to a float64. Where that could be past values that were not listed yet, the start
        lies at the value or before it, and what has been listed is dropped.
        """
        if self.kind == "float":
            return math.nextafter(value, -math.inf if self.descending else math.inf)
        if abs(value) >= _EXACT:
            return self._not_past(value)
        return value - 1 if self.descending else value + 1

    def _not_past(self, value: Value) -> float:
        """Return the value as a float64: where that cannot hold it, one before it."""
        if self.kind == "integer" and abs(value) >= _EXACT:
            return math.nextafter(value, math.inf if self.descending else -math.inf)
        return float(value)

    def equals(self, value: Value) -> Plain:
        """Return the condition for points with exactly this value. Ranges are float64 to the engines and
        would confuse large integers."""
        if self.kind == "integer":
            return {"key": self.field, "match": {"value": int(value)}}
        bound = moment(value).isoformat() if self.kind == "datetime" else float(value)
        return {"key": self.field, "range": {"gte": bound, "lte": bound}}

    def _earlier(self, value: Value, *, including: bool) -> Plain:
        """Return the condition for points that have a value before this one, or also this one itself. Of
        integers that no float64 holds some that are close to it are left out."""
        name = ("gt" if self.descending else "lt") + ("e" if including else "")
        bound = moment(value).isoformat() if self.kind == "datetime" else self._not_past(value)
        return {"key": self.field, "range": {name: bound}}

    def _any_value(self) -> Plain:
        """Return the condition for points that have a value to order by."""
        if self.kind == "datetime":
            return {"key": self.field, "range": {"gte": _EPOCH.replace(year=1).isoformat()}}
        return {"key": self.field, "range": {"gte": -sys.float_info.max}}


def moment(microseconds: Value) -> datetime:
    """Return the moment so many microseconds after 1970 began."""
    return _EPOCH + timedelta(microseconds=int(microseconds))
