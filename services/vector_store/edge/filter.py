"""Filters for the embedded engine: from Qdrant's JSON (``vitrine.services.filters.write``) to the engine's
own objects. Runs in the engine process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vitrine.services.errors import BadRequest
from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.edge.link.wire import Header
from vitrine.services.vector_store.engine_names import engine_path

Plain = dict[str, Any]


def to_edge(plain: Plain | None, *, without: tuple[str, ...] = ()) -> Any:
    """Return the engine's filter, or None for "every point". ``without``: ids that must not match."""
    if not plain and not without:
        return None
    given = _filter(plain or {})
    return edge.Filter(must=[given], must_not=[edge.HasIdCondition(set(without))]) if without else given


def question_paths(header: Header) -> set[str]:
    """Return the path, as the engine writes it, of each field that a question filters, orders or counts
    by."""
    questions = header.get("queries", [header])
    filtered = {path for question in questions for path in filter_paths(question.get("filter"))}
    return filtered | {engine_path(question["field"]) for question in questions if question.get("field")}


def filter_paths(plain: Plain | None, prefix: str = "") -> Iterator[str]:
    """Yield the path of each field that a filter names; inside of a nested one ``key[].inner``."""
    clauses = [(plain or {}).get(name) for name in ("must", "should", "must_not")]
    least = (plain or {}).get("min_should")
    for clause in [*clauses, least and least["conditions"]]:
        for condition in clause or ():
            yield from _condition_paths(condition, prefix)


def _condition_paths(plain: Plain, prefix: str) -> Iterator[str]:
    named = plain if "key" in plain else plain.get("is_empty") or plain.get("is_null") or {}
    if "key" in named:
        yield prefix + named["key"]
    elif "nested" in plain:
        key = plain["nested"]["key"].removesuffix("[]")
        yield from filter_paths(plain["nested"]["filter"], f"{prefix}{key}[].")
    else:
        yield from filter_paths(plain, prefix)


def _filter(plain: Plain) -> Any:
    least = plain.get("min_should")
    return edge.Filter(
        must=_clause(plain.get("must")),
        should=_clause(plain.get("should")),
        must_not=_clause(plain.get("must_not")),
        min_should=edge.MinShould(_clause(least["conditions"]), least["min_count"]) if least else None,
    )


def _clause(conditions: list[Plain] | Plain | None) -> list[Any] | None:
    """Return the conditions of a clause, which may be one condition or a list of them."""
    if conditions is None:
        return None
    return [_condition(c) for c in (conditions if isinstance(conditions, list) else [conditions])]


def _condition(plain: Plain) -> Any:
    if "key" in plain:
        return _field(plain["key"], plain)
    if "nested" in plain:
        return edge.NestedCondition(plain["nested"]["key"], _filter(plain["nested"]["filter"]))
    if "has_id" in plain:
        return edge.HasIdCondition(set(plain["has_id"]))
    if "has_vector" in plain:
        return edge.HasVectorCondition(plain["has_vector"])
    if "is_empty" in plain:
        return edge.IsEmptyCondition(plain["is_empty"]["key"])
    if "is_null" in plain:
        return edge.IsNullCondition(plain["is_null"]["key"])
    return _filter(plain)


def _field(key: str, plain: Plain) -> Any:
    if "match" in plain:
        return edge.FieldCondition(key, match=_match(plain["match"]))
    if "range" in plain:
        return edge.FieldCondition(key, range=_range(plain["range"]))
    if "values_count" in plain:
        return edge.FieldCondition(key, values_count=edge.ValuesCount(**_bounds(plain["values_count"])))
    if "is_empty" in plain:
        return edge.FieldCondition(key, is_empty=plain["is_empty"])
    if "is_null" in plain:
        return edge.FieldCondition(key, is_null=plain["is_null"])
    raise BadRequest(
        f"The filter on field {key!r} has no clause that the embedded engine can answer.", field=key
    )


def _match(plain: Plain) -> Any:
    if "value" in plain:
        value = plain["value"]
        return edge.MatchValue(_bool(value) if isinstance(value, bool) else value)
    if "any" in plain:
        return edge.MatchAny(plain["any"])
    return edge.MatchExcept(plain["except"])


def _bool(value: bool) -> Any:
    """Return numpy's bool: a Python one is an int to the engine, and would be compared as one."""
    import numpy as np

    return np.bool_(value)


def _range(plain: Plain) -> Any:
    bounds = _bounds(plain)
    if any(isinstance(bound, str) for bound in bounds.values()):
        return edge.RangeDateTime(**bounds)
    return edge.RangeFloat(**bounds)


def _bounds(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain[name] for name in ("gt", "gte", "lt", "lte") if name in plain}
