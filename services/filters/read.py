"""Filters from Qdrant's own JSON, as users write them: what is none is refused by a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

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
    MinShould,
    Nested,
    Range,
    ValuesCount,
)
from vitrine.services.filters.write import BOUNDS
from vitrine.services.validation import first_mistake

T = TypeVar("T")
Path = tuple[str | int, ...]
"""Where a part stands in the whole."""

DEEPEST = 64
"""Steps down to a condition: engines recurse, and nobody means more."""
_FILTER = ("must", "should", "must_not", "min_should")
_CLAUSES = (
    "match",
    "range",
    "geo_bounding_box",
    "geo_radius",
    "geo_polygon",
    "values_count",
    "is_empty",
    "is_null",
)
_TEXT = ("text", "text_any", "phrase", "prefix", "substring")
_WHOLE = ("value", "any", "except")


def read_filter(tree: object) -> Filter:
    """Return the filter of a JSON object.

    ``BadRequest`` where it is not in Qdrant's form; where a condition on a field has several clauses, or none
    (engines read several as any of them, or drop some); and for clauses that no index here answers: full
    text, places on the earth and slices.

    >>> read_filter({"must": [{"key": "class", "match": {"value": "hat"}}]})
    Filter(must=(MatchValue(key='class', value='hat'),), should=(), must_not=(), min_should=None)
    """
    return _filter(tree, ())


def _filter(tree: object, path: Path) -> Filter:
    given = _object(tree, path, _FILTER)
    least = given.get("min_should")
    return Filter(
        must=_clause(given, "must", path),
        should=_clause(given, "should", path),
        must_not=_clause(given, "must_not", path),
        min_should=None if least is None else _least(least, (*path, "min_should")),
    )


def _clause(given: Mapping[str, Any], name: str, path: Path) -> tuple[Condition, ...]:
    """Return the conditions of a clause, which may be one condition or a list of them."""
    conditions = given.get(name)
    if conditions is None:
        return ()
    if isinstance(conditions, list | tuple):
        return _listed(conditions, (*path, name))
    return (_condition(conditions, (*path, name)),)


def _listed(conditions: object, path: Path) -> tuple[Condition, ...]:
    if not isinstance(conditions, list | tuple):
        raise _refusal(path, "must be a list of conditions")
    return tuple(_condition(each, (*path, number)) for number, each in enumerate(conditions))


def _least(tree: object, path: Path) -> MinShould:
    given = _object(tree, path, ("conditions", "min_count"), needed=True)
    count = _value(int, given["min_count"], (*path, "min_count"))
    return MinShould(_listed(given["conditions"], (*path, "conditions")), count)


def _condition(tree: object, path: Path) -> Condition:
    if len(path) > DEEPEST:
        raise _refusal((), f"nests more than {DEEPEST} levels")
    if not isinstance(tree, dict):
        raise _refusal(path, "must be a condition: an object with names and values")
    if "key" in tree:
        return _on_field(tree, path)
    if "nested" in tree:
        _object(tree, path, ("nested",))
        inner = _object(tree["nested"], (*path, "nested"), ("key", "filter"), needed=True)
        key = _text(inner["key"], (*path, "nested", "key"))
        return Nested(key, _filter(inner["filter"], (*path, "nested", "filter")))
    if "is_empty" in tree:
        return IsEmpty(_field_of(tree, "is_empty", path))
    if "is_null" in tree:
        return IsNull(_field_of(tree, "is_null", path))
    if "has_id" in tree:
        ids = _object(tree, path, ("has_id",), needed=True)["has_id"]
        return HasId(tuple(str(id) for id in _whole_values(ids, (*path, "has_id"), mixed=True)))
    if "has_vector" in tree:
        return HasVector(_text(_object(tree, path, ("has_vector",))["has_vector"], (*path, "has_vector")))
    if "slice" in tree:
        raise BadRequest(
            "A filter cannot hold a condition that says slice: use field, id, vector and nested conditions."
        )
    return _filter(tree, path)


def _field_of(tree: Mapping[str, Any], name: str, path: Path) -> str:
    """Return the field of ``{name: {"key": FIELD}}``."""
    _object(tree, path, (name,))
    inner = _object(tree[name], (*path, name), ("key",), needed=True)
    return _text(inner["key"], (*path, name, "key"))


def _on_field(tree: Mapping[str, Any], path: Path) -> Condition:
    given = _object(tree, path, ("key", *_CLAUSES))
    key = _text(tree["key"], (*path, "key"))
    clauses = [name for name in _CLAUSES if name in given]
    if len(clauses) != 1:
        what = f"{len(clauses)} clauses ({', '.join(clauses)})" if clauses else "no clause"
        raise BadRequest(
            f"The condition on field {key!r} has {what}: give each field condition exactly one, and put "
            "several conditions into `must` where all must hold.",
            field=key,
        )
    (clause,) = clauses
    value, path = given[clause], (*path, clause)
    if clause == "match":
        return _match(key, value, path)
    if clause == "range":
        return _range(key, value, path)
    if clause == "values_count":
        return ValuesCount(key, **_bounds(int, _object(value, path, BOUNDS), path))
    if clause == "is_empty":
        return IsEmpty(key, _value(bool, value, path))
    if clause == "is_null":
        return IsNull(key, _value(bool, value, path))
    raise BadRequest(f"The filter on field {key!r} uses {clause}: Vitrine has no geo index.", field=key)


def _match(key: str, tree: object, path: Path) -> Condition:
    given = _object(tree, path, (*_WHOLE, *_TEXT))
    if any(name in given for name in _TEXT):
        said = ", ".join(given)
        raise BadRequest(
            f"The filter on field {key!r} matches by {said}: Vitrine has no full-text index. Match whole "
            "values, or search by text.",
            field=key,
        )
    if len(given) != 1:
        raise _refusal(path, f"must have one of {', '.join(_WHOLE)}")
    ((way, value),) = given.items()
    if way == "value":
        if not isinstance(value, str | int):
            raise _refusal((*path, way), "must be text, a whole number or true or false")
        return MatchValue(key, value)
    values = _whole_values(value, (*path, way))
    return MatchAny(key, values) if way == "any" else MatchExcept(key, values)


def _whole_values(values: object, path: Path, *, mixed: bool = False) -> tuple[Any, ...]:
    """Return the list of texts, or of whole numbers; of both where they may be ``mixed``."""
    items = tuple(values) if isinstance(values, list | tuple) else None
    kinds = set(map(type, items)) if items is not None else {dict}
    if items is None or not kinds <= {str, int} or (len(kinds) > 1 and not mixed):
        raise _refusal(path, "must be a list of texts, or of whole numbers")
    return items


def _range(key: str, tree: object, path: Path) -> Condition:
    """Return a range of numbers, or else of dates, as Qdrant reads one."""
    given = _object(tree, path, BOUNDS)
    try:
        return Range(key, **_bounds(float, given, path))
    except BadRequest:
        pass
    try:
        return DatetimeRange(key, **_bounds(datetime, given, path))
    except BadRequest:
        raise _refusal(path, "must have bounds that are numbers, or dates") from None


def _bounds(kind: type[T], given: Mapping[str, Any], path: Path) -> dict[str, T]:
    return {name: _value(kind, value, (*path, name)) for name, value in given.items()}


def _object(tree: object, path: Path, known: tuple[str, ...], *, needed: bool = False) -> dict[str, Any]:
    """Return the members of an object that are not null. ``needed``: all that are known must be there."""
    if not isinstance(tree, dict):
        raise _refusal(path, "must be an object with names and values")
    strange = next((name for name in tree if name not in known), None)
    if strange is not None:
        raise _refusal((*path, str(strange)), f"is not known here (known: {', '.join(known)})")
    given = {name: value for name, value in tree.items() if value is not None}
    missing = next((name for name in known if name not in given), None) if needed else None
    if missing is not None:
        raise _refusal((*path, missing), "is missing")
    return given


def _text(value: object, path: Path) -> str:
    if not isinstance(value, str):
        raise _refusal(path, "must be text")
    return value


def _value(kind: type[T], value: object, path: Path) -> T:
    """Return the value as one of the kind; a number or date may be written as text."""
    try:
        found: T = _adapters()[kind].validate_python(value)
    except ValidationError as error:
        raise _refusal(path, first_mistake(error).removeprefix("it ")) from None
    return found


@cache
def _adapters() -> Mapping[type, TypeAdapter[Any]]:
    kinds: dict[type, TypeAdapter[Any]] = {bool: TypeAdapter(bool), int: TypeAdapter(int)}
    return kinds | {float: TypeAdapter(float), datetime: TypeAdapter(datetime)}


def _refusal(path: Path, why: str) -> BadRequest:
    where = ".".join(str(part) for part in path)[:200] or "it"
    return BadRequest(f"'where' is not a Qdrant filter: {where} {why}.")
