"""Read points in order of a field, page after page. Runs in the engine process."""

from __future__ import annotations

import math
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from vitrine.services.domain import IndexKind
from vitrine.services.vector_store.edge.lib import edge

Value = int | float
"""What a field is ordered by; datetimes as microseconds since 1970, as the engine gives them."""
Position = tuple[Value, str]
"""Where a listing stopped: the value, and the last id among the points that carry it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_ID = (1 << 128) - 1
_EXACT_INTEGERS = 1 << 53
_MOST = 1 << 20
"""More than this is asked for only if there are more."""


@dataclass(frozen=True)
class Listing:
    """The points of ``shard`` that match ``filter``, by value of ``field`` and by id among equal values.

    The engine orders by value alone and gives no next page. A page may cut a run of equal values anywhere;
    such a run is therefore read by id, and a position stays two values long however long the run is.

    The engine also lists a point once for each of its values. Its first one counts here: points that have a
    value before the position were listed there, and are left out by a filter. (Integers from 2**53 on that a
    list keeps within one float64 of each other are the exception: a filter cannot tell them apart, and such a
    point may come twice.)
    """

    shard: Any
    filter: Any
    field: str
    kind: IndexKind
    descending: bool

    def after(self, position: Position | None, limit: int) -> list[Position]:
        """Return up to ``limit`` points after ``position``; fewer only at the end."""
        found: list[Position] = []
        if position is not None:
            found += self._ties(position[0], position[1], limit)
        value = None if position is None else position[0]
        while len(found) < limit:
            missing = limit - len(found)
            batch = self._beyond(value, missing)
            if len(batch) < missing:
                return found + self._sorted(batch)
            value = batch[-1][0]
            found += self._sorted([item for item in batch if item[0] != value])
            found += self._ties(value, None, limit - len(found))
        return found

    def _sorted(self, batch: list[Position]) -> list[Position]:
        return sorted(batch, key=lambda item: (-item[0] if self.descending else item[0], item[1]))

    def _beyond(self, value: Value | None, limit: int) -> list[Position]:
        """Return points whose first value is past ``value``, in order of value only."""
        filter = self.filter if value is None else self._without_earlier(value, including=True)
        start = None if value is None else self._next(value)
        order = edge.OrderBy(
            self.field, edge.Direction.Desc if self.descending else edge.Direction.Asc, start
        )
        asked = limit
        while True:
            request = edge.ScrollRequest(
                limit=asked, filter=filter, with_payload=False, with_vector=False, order_by=order
            )
            records, _ = self.shard.scroll(request)
            firsts: dict[str, Value] = {}
            for record in records:
                # near integers that a float64 cannot tell apart the engine starts too early
                if self._is_past(record.order_value, value):
                    firsts.setdefault(str(record.id), record.order_value)
            # it also counts a value that a point repeats, though it gives it once: fewer than asked for need
            # not be all
            is_all = len(records) < asked and (len(firsts) >= self._having(filter) or asked > _MOST)
            if len(firsts) >= limit or is_all:
                return [(at, id) for id, at in firsts.items()][:limit]
            asked *= 2

    def _having(self, filter: Any) -> int:
        """Return how many points of ``filter`` have a value."""
        if self.kind == "datetime":
            span = edge.RangeDateTime(gte=_EPOCH.replace(year=1).isoformat())
        else:
            span = edge.RangeFloat(gte=-sys.float_info.max)
        both = edge.Filter(must=[edge.FieldCondition(self.field, range=span), *([filter] if filter else [])])
        return int(self.shard.count(edge.CountRequest(exact=True, filter=both)))

    def _is_past(self, value: Value, start: Value | None) -> bool:
        return start is None or (value < start if self.descending else value > start)

    def _ties(self, value: Value, after: str | None, limit: int) -> list[Position]:
        """Return points with exactly ``value``, by id, past the id ``after``."""
        number = -1 if after is None else uuid.UUID(after).int
        if limit < 1 or number == _LAST_ID:
            return []
        request = edge.ScrollRequest(
            offset=str(uuid.UUID(int=number + 1)),
            limit=limit,
            filter=edge.Filter(must=[self._equals(value), self._without_earlier(value, including=False)]),
            with_payload=False,
            with_vector=False,
        )
        records, _ = self.shard.scroll(request)
        return [(value, str(record.id)) for record in records]

    def _next(self, value: Value) -> Value:
        """Return the value at which the engine starts: nothing past ``value`` may lie before it. The engine
        rounds it to a float64."""
        if self.kind == "float":
            return math.nextafter(value, -math.inf if self.descending else math.inf)
        if abs(value) >= _EXACT_INTEGERS:
            return self._not_past(value)
        return value - 1 if self.descending else value + 1

    def _not_past(self, value: Value) -> float:
        """Return the value for the engine, which takes a float64: where that cannot hold it, one before
        it."""
        if self.kind == "integer" and abs(value) >= _EXACT_INTEGERS:
            return math.nextafter(value, math.inf if self.descending else -math.inf)
        return float(value)

    def _without_earlier(self, value: Value, *, including: bool) -> Any:
        """Return the listing's filter without the points that have a value before ``value``, or also those
        that have it itself."""
        bound = ("gt" if self.descending else "lt") + ("e" if including else "")
        if self.kind == "datetime":
            moment = (_EPOCH + timedelta(microseconds=int(value))).isoformat()
            earlier = edge.FieldCondition(self.field, range=edge.RangeDateTime(**{bound: moment}))
        else:
            earlier = edge.FieldCondition(self.field, range=edge.RangeFloat(**{bound: self._not_past(value)}))
        return edge.Filter(must=[self.filter] if self.filter else None, must_not=[earlier])

    def _equals(self, value: Value) -> Any:
        if self.kind == "integer":
            return edge.FieldCondition(self.field, match=edge.MatchValue(value))
        if self.kind == "datetime":
            moment = (_EPOCH + timedelta(microseconds=int(value))).isoformat()
            return edge.FieldCondition(self.field, range=edge.RangeDateTime(gte=moment, lte=moment))
        return edge.FieldCondition(self.field, range=edge.RangeFloat(gte=value, lte=value))
