"""Filters and payload paths by plain recursion: what a filter means, written down once more and slowly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from vitrine.services.errors import BadRequest
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
    OnField,
    Range,
    ValuesCount,
)

_STEP = re.compile(r'"((?:[^"\\]|\\.)*)"|([\w-]+)|\[(\d*)\]')
MICROSECOND = 1_000_000


def steps(path: str) -> list[str | int | None]:
    """``a.b[].c[0]`` as ["a", "b", None, "c", 0]: names, places in a list, None for every place."""
    found: list[str | int | None] = []
    rest = path
    while rest:
        match = _STEP.match(rest)
        if match is None:
            raise BadRequest(f"{path!r} is not a field path.")
        quoted, name, place = match.groups()
        quoted = quoted and quoted.replace('\\"', '"').replace("\\\\", "\\")
        found.append(quoted or name or (int(place) if place else None))
        rest = rest[match.end() :].removeprefix(".")
    if not found:
        raise BadRequest("A field path cannot be empty.")
    return found


def raw_values(payload: Any, path: str) -> list[Any]:
    """Whatever stands at the path; several values only through ``[]``."""
    return list(_walk(payload, steps(path)))


def _walk(value: Any, path: list[str | int | None]) -> Iterator[Any]:
    if not path:
        yield value
        return
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        if isinstance(value, dict) and step in value:
            yield from _walk(value[step], rest)
    elif isinstance(value, list):
        for item in value if step is None else value[step : step + 1]:
            yield from _walk(item, rest)


def values(payload: Any, path: str) -> list[Any]:
    """The single values at the path: a list counts as its items."""
    return [
        item
        for value in raw_values(payload, path)
        for item in (value if isinstance(value, list) else [value])
    ]


def matches(filter: Filter | None, id: str, payload: Any, vectors: Any = ()) -> bool:
    """Whether the point is among those the filter lets through."""
    if filter is None:
        return True

    def holds(condition: Any) -> bool:
        return _holds(condition, id, payload, vectors)

    return (
        all(holds(c) for c in filter.must)
        and not any(holds(c) for c in filter.must_not)
        and (not filter.should or any(holds(c) for c in filter.should))
        and (
            filter.min_should is None
            or sum(holds(c) for c in filter.min_should.conditions) >= filter.min_should.min_count
        )
    )


def _holds(condition: Condition, id: str, payload: Any, vectors: Any) -> bool:
    if isinstance(condition, Filter):
        return matches(condition, id, payload, vectors)
    if isinstance(condition, HasId):
        return id in condition.ids
    if isinstance(condition, HasVector):
        return condition.name in vectors
    if isinstance(condition, Nested):
        key = condition.key.removesuffix("[]")
        lists = [value for value in raw_values(payload, key) if isinstance(value, list)]
        return any(
            matches(condition.filter, "", item) for one in lists for item in one if isinstance(item, dict)
        )
    return _field_holds(condition, payload)


def _field_holds(condition: OnField, payload: Any) -> bool:
    if isinstance(condition, IsEmpty):
        return _empty(payload, condition.key) == condition.empty
    if isinstance(condition, IsNull):
        return _null(payload, condition.key) == condition.null
    if isinstance(condition, ValuesCount):
        found = raw_values(payload, condition.key) or [None]
        counts = [len(value) if isinstance(value, list) else int(value is not None) for value in found]
        return any(_within(condition, count) for count in counts)
    if isinstance(condition, DatetimeRange):
        moments = [moment(value) for value in values(payload, condition.key) if isinstance(value, str)]
        bounds = replace(
            condition, **{name: moment(getattr(condition, name)) for name in ("gt", "gte", "lt", "lte")}
        )
        return any(value is not None and _within(bounds, value) for value in moments)
    if isinstance(condition, Range):
        numbers = [
            v
            for v in values(payload, condition.key)
            if isinstance(v, int | float) and not isinstance(v, bool)
        ]
        return any(_within(condition, number) for number in numbers)
    return any(_matched(condition, value) for value in values(payload, condition.key))


def _empty(payload: Any, path: str) -> bool:
    return all(value is None or value == [] for value in raw_values(payload, path))


def _null(payload: Any, path: str) -> bool:
    return any(
        value is None or (isinstance(value, list) and None in value) for value in raw_values(payload, path)
    )


def _matched(match: MatchValue | MatchAny | MatchExcept, value: Any) -> bool:
    if isinstance(match, MatchValue):
        return _same(value, match.value)
    if isinstance(match, MatchAny):
        return any(_same(value, wanted) for wanted in match.values)
    return value is not None and not any(_same(value, unwanted) for unwanted in match.values)


def _same(value: Any, wanted: Any) -> bool:
    return type(value) is type(wanted) and value == wanted


def _within(bounds: Any, value: Any) -> bool:
    return (
        (bounds.gt is None or value > bounds.gt)
        and (bounds.gte is None or value >= bounds.gte)
        and (bounds.lt is None or value < bounds.lt)
        and (bounds.lte is None or value <= bounds.lte)
    )


def moment(value: Any) -> datetime | None:
    """A time in UTC; one without a zone is UTC already, a date is its midnight."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value is None or value.tzinfo is not None:
        return value
    return value.replace(tzinfo=UTC)


def order_values(payload: Any, path: str, kind: str) -> list[int | float]:
    """What the field orders the point by: numbers, or microseconds since 1970."""
    found: list[int | float] = []
    for value in values(payload, path):
        if kind == "datetime":
            when = moment(value) if isinstance(value, str) else None
            if when is not None:
                since = when - datetime(1970, 1, 1, tzinfo=UTC)
                found.append((since.days * 86_400 + since.seconds) * MICROSECOND + since.microseconds)
        elif (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and (kind == "float" or isinstance(value, int))
        ):
            found.append(value)
    return found


# Changing payloads
# -------------------------------------------------------------------------------------------------------


def merge(target: dict[str, Any], fields: dict[str, Any]) -> None:
    """Set each field; null removes it."""
    for name, value in fields.items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value


def merge_at(payload: dict[str, Any], path: str, fields: dict[str, Any]) -> None:
    """Merge into the object at a path of names, made where it is missing or no object."""
    target = payload
    for step in steps(path):
        if not isinstance(step, str):
            raise BadRequest("The oracle merges at paths of names only.")
        if not isinstance(target.get(step), dict):
            target[step] = {}
        target = target[step]
    merge(target, fields)


def remove_at(payload: dict[str, Any], path: str) -> None:
    *above, last = steps(path)
    for parent in _walk(payload, above):
        if isinstance(last, str) and isinstance(parent, dict):
            parent.pop(last, None)
        elif last is None and isinstance(parent, list):
            parent.clear()


def selected(payload: Any, paths: list[list[str | int | None]]) -> Any:
    """Only what stands at the paths; in lists only ``[]`` selects."""
    if any(not path for path in paths):
        return payload
    if isinstance(payload, dict):
        result = {}
        for name, value in payload.items():
            below = [path[1:] for path in paths if path[0] == name]
            if below:
                result[name] = selected(value, below)
        return result
    if isinstance(payload, list):
        below = [path[1:] for path in paths if path[0] is None]
        return [selected(item, below) for item in payload] if below else []
    return payload
