"""Which payload fields a filter, order or facet names, and whether their indexes can answer it.

Engines disagree on an unindexed field: one scans (143 ms instead of 0.3 ms on 100,000 points), one refuses,
one answers wrongly. So it is refused on every engine, before the engine is asked. Field paths are compared as
they are written: ``scores.cat`` needs an index on ``scores.cat``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from vitrine.services.domain import CollectionSchema, IndexKind
from vitrine.services.errors import BadRequest, BadVector, UnknownField
from vitrine.services.filters.conditions import (
    Condition,
    DatetimeRange,
    Filter,
    HasId,
    HasVector,
    MatchAny,
    MatchExcept,
    MatchValue,
    Nested,
    OnField,
    Range,
)
from vitrine.services.vector_store.base import check_ids

ANY_KIND: Final = ("keyword", "integer", "float", "bool", "datetime")
NUMBER: Final = ("integer", "float")
ORDERED: Final = ("integer", "float", "datetime")
COUNTABLE: Final = ("keyword", "integer", "bool")


def filter_fields(filter: Filter | None) -> set[str]:
    """Return the field paths that a filter names; ``has_id`` and ``has_vector`` name none. A nested one is
    ``key[].inner``."""
    return {field for field, _ in _needs(filter)}


def check_fields(schema: CollectionSchema, fields: Iterable[str]) -> None:
    """Raise ``UnknownField`` for the first field, in order of name, that the schema has no index for."""
    for field in sorted(fields):
        if field not in schema.indexes:
            known = ", ".join(sorted(schema.indexes)) or "none"
            raise UnknownField(
                f"Field {field!r} of collection {schema.name!r} has no index, so it cannot be "
                f"filtered, counted or ordered by. Indexed fields: {known}.",
                field=field,
                indexed=sorted(schema.indexes),
            )


def check_filter(schema: CollectionSchema, filter: Filter | None) -> None:
    """Raise ``UnknownField`` if a field has no index, ``BadRequest`` if its index does not answer the
    clause."""
    needs = list(_needs(filter))
    check_fields(schema, {field for field, _ in needs})
    for field, kinds in needs:
        _check_kind(schema, field, kinds, "This clause of the filter")


def check_order(schema: CollectionSchema, field: str) -> None:
    """Raise unless the field can be ordered by: it has an integer, float or datetime index."""
    check_fields(schema, {field})
    _check_kind(schema, field, ORDERED, "Ordering")


def check_facet(schema: CollectionSchema, field: str) -> None:
    """Raise unless the values of the field can be counted: it has a keyword, integer or bool index."""
    check_fields(schema, {field})
    _check_kind(schema, field, COUNTABLE, "A facet")


def _check_kind(schema: CollectionSchema, field: str, kinds: tuple[IndexKind, ...], what: str) -> None:
    kind = schema.indexes[field]
    if kind not in kinds:
        raise BadRequest(
            f"{what} needs field {field!r} to be indexed as {' or '.join(kinds)}, but it is indexed as "
            f"{kind}.",
            field=field,
            indexed_as=kind,
        )


def _needs(filter: Filter | None, prefix: str = "") -> Iterator[tuple[str, tuple[IndexKind, ...]]]:
    """Yield each field path of the filter with the index kinds that can answer its clause."""
    if filter is not None:
        for condition in filter.conditions():
            yield from _condition_needs(condition, prefix)


def _check_has_id(ids: Iterable[object]) -> None:
    """Raise ``BadRequest`` unless the ids are UUIDs; the server would also take numbers, which no point of
    ours has."""
    for id in ids:
        try:
            check_ids([str(id)])
        except BadVector as error:
            raise BadRequest(f"has_id: {error.message}", field="has_id") from None


def _condition_needs(condition: Condition, prefix: str) -> Iterator[tuple[str, tuple[IndexKind, ...]]]:
    if isinstance(condition, Filter):
        yield from _needs(condition, prefix)
    elif isinstance(condition, Nested):
        yield from _needs(condition.filter, f"{prefix}{condition.key.removesuffix('[]')}[].")
    elif isinstance(condition, HasId):
        _check_has_id(condition.ids)
    elif not isinstance(condition, HasVector):
        yield prefix + condition.key, _clause_kinds(condition)


def _clause_kinds(condition: OnField) -> tuple[IndexKind, ...]:
    """Return the kinds of index that can answer the condition."""
    if isinstance(condition, MatchValue):
        return (_value_kind(condition.value),)
    if isinstance(condition, MatchAny | MatchExcept):
        return (_value_kind(condition.values[0]),) if condition.values else ("keyword", "integer")
    if isinstance(condition, Range):
        return _number(condition)
    return ("datetime",) if isinstance(condition, DatetimeRange) else ANY_KIND


def _number(range: Range) -> tuple[IndexKind, ...]:
    bounds = (range.gte, range.lte, range.gt, range.lt)
    if not all(bound is None or math.isfinite(bound) for bound in bounds):
        raise BadRequest(
            f"The range on field {range.key!r} has a NaN or infinite bound: leave that bound out.",
            field=range.key,
        )
    return NUMBER


def _value_kind(value: object) -> IndexKind:
    kinds: Mapping[type, IndexKind] = {str: "keyword", bool: "bool", int: "integer"}
    return kinds[type(value)]
