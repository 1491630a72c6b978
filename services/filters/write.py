"""Filters as Qdrant's own JSON, which engines are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

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

BOUNDS = ("gte", "lte", "gt", "lt")
Rename = Callable[[str], str]


def filter_json(filter: Filter, rename: Rename = str) -> dict[str, Any]:
    """Return the filter as JSON. ``rename`` is given each field path: engines write some differently.

    >>> filter_json(Filter(must=(MatchValue("class", "hat"), Range("width", gte=400))))
    {'must': [{'key': 'class', 'match': {'value': 'hat'}}, {'key': 'width', 'range': {'gte': 400.0}}]}
    """
    clauses = (("must", filter.must), ("should", filter.should), ("must_not", filter.must_not))
    tree: dict[str, Any] = {name: _listed(clause, rename) for name, clause in clauses if clause}
    if filter.min_should is not None:
        least = filter.min_should
        tree["min_should"] = {
            "conditions": _listed(least.conditions, rename),
            "min_count": least.min_count,
        }
    return tree


def _listed(conditions: Iterable[Condition], rename: Rename) -> list[dict[str, Any]]:
    return [_condition(condition, rename) for condition in conditions]


def _condition(condition: Condition, rename: Rename) -> dict[str, Any]:
    match condition:
        case Filter():
            return filter_json(condition, rename)
        case HasId(ids):
            return {"has_id": list(ids)}
        case HasVector(name):
            return {"has_vector": name}
        case Nested(key, inner):
            return {"nested": {"key": rename(key), "filter": filter_json(inner, rename)}}
        case IsEmpty(key, True):
            return {"is_empty": {"key": rename(key)}}
        case IsNull(key, True):
            return {"is_null": {"key": rename(key)}}
    return {"key": rename(condition.key), **_clause(condition)}


def _clause(condition: Condition) -> dict[str, Any]:
    match condition:
        case MatchValue(_, value):
            return {"match": {"value": value}}
        case MatchAny(_, values):
            return {"match": {"any": list(values)}}
        case MatchExcept(_, values):
            return {"match": {"except": list(values)}}
        case Range():
            return {"range": {name: float(bound) for name, bound in _bounds(condition)}}
        case DatetimeRange():
            return {"range": {name: bound.isoformat() for name, bound in _bounds(condition)}}
        case ValuesCount():
            return {"values_count": dict(_bounds(condition))}
        case IsEmpty(_, empty):
            return {"is_empty": empty}
        case IsNull(_, null):
            return {"is_null": null}
    raise AssertionError(condition)


def _bounds(condition: Range | DatetimeRange | ValuesCount) -> list[tuple[str, Any]]:
    """Return the bounds by name; of two on one side the narrower: an engine heeds only one of them."""
    looser = set()
    if condition.gte is not None and condition.gt is not None:
        looser.add("gte" if _order(condition.gt) >= _order(condition.gte) else "gt")
    if condition.lte is not None and condition.lt is not None:
        looser.add("lte" if _order(condition.lt) <= _order(condition.lte) else "lt")
    bounds = ((name, getattr(condition, name)) for name in BOUNDS if name not in looser)
    return [(name, bound) for name, bound in bounds if bound is not None]


def _order(bound: Any) -> Any:
    """Return what bounds are compared by: moments without a zone are in UTC."""
    return bound.replace(tzinfo=UTC) if isinstance(bound, datetime) and bound.tzinfo is None else bound
