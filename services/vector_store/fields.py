"""Which payload fields a filter, order or facet names, and whether their indexes can answer it.

Engines disagree on an unindexed field: one scans (143 ms instead of 0.3 ms on 100,000 points), one refuses,
one answers wrongly. So it is refused on every engine, before the engine is asked. Field paths are compared as
they are written: ``scores.cat`` needs an index on ``scores.cat``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from vitrine.services.domain import CollectionSchema, IndexKind
from vitrine.services.errors import BadRequest, BadVector, UnknownField
from vitrine.services.vector_store.base import check_ids

if TYPE_CHECKING:  # importing it costs over a second; who holds a Filter has paid already
    from qdrant_client.models import FieldCondition, Filter

ANY_KIND: Final = ("keyword", "integer", "float", "bool", "datetime")
NUMBER: Final = ("integer", "float")
ORDERED: Final = ("integer", "float", "datetime")
COUNTABLE: Final = ("keyword", "integer", "bool")

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
    """Raise ``UnknownField`` if a field has no index, ``BadRequest`` if its index cannot answer the clause.

    A clause that neither engine's surface covers here (full text, geo, slices) is ``BadRequest`` too.
    """
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
        for condition in conditions(filter):
            yield from _condition_needs(condition, prefix)


def _check_has_id(ids: Iterable[object]) -> None:
    """Raise ``BadRequest`` unless the ids are UUIDs; the server would also take numbers, which no point of
    ours has."""
    for id in ids:
        try:
            check_ids([str(id)])
        except BadVector as error:
            raise BadRequest(f"has_id: {error.message}", field="has_id") from None


def conditions(filter: Filter) -> Iterator[Any]:
    """Yield the direct conditions of a filter, whatever clause they are in."""
    for clause in (filter.must, filter.should, filter.must_not):
        yield from clause_list(clause)
    if filter.min_should is not None:
        yield from filter.min_should.conditions


def clause_list(clause: Any) -> list[Any]:
    """Return a clause (a list of conditions, a single one, or None) as a list."""
    if clause is None:
        return []
    return list(clause) if isinstance(clause, list | tuple) else [clause]


def _condition_needs(condition: Any, prefix: str) -> Iterator[tuple[str, tuple[IndexKind, ...]]]:
    from qdrant_client import models

    if isinstance(condition, models.Filter):
        yield from _needs(condition, prefix)
    elif isinstance(condition, models.NestedCondition):
        key = condition.nested.key.removesuffix("[]")
        yield from _needs(condition.nested.filter, f"{prefix}{key}[].")
    elif isinstance(condition, models.FieldCondition):
        yield prefix + condition.key, _clause_kinds(condition)
    elif isinstance(condition, models.IsEmptyCondition):
        yield prefix + condition.is_empty.key, ANY_KIND
    elif isinstance(condition, models.IsNullCondition):
        yield prefix + condition.is_null.key, ANY_KIND
    elif isinstance(condition, models.HasIdCondition):
        _check_has_id(condition.has_id)
    elif not isinstance(condition, models.HasVectorCondition):
        said = ", ".join(condition.model_dump(exclude_none=True)) or "nothing"
        raise BadRequest(
            f"A filter cannot hold a condition that says {said}: use field, id, vector and nested conditions."
        )


def one_clause(condition: FieldCondition) -> str:
    """Return the name of the condition's only clause. ``BadRequest`` if it has several: engines read those as
    any of them, or drop some."""
    given = [name for name in _CLAUSES if getattr(condition, name) is not None]
    if len(given) != 1:
        what = f"{len(given)} clauses ({', '.join(given)})" if given else "no clause"
        raise BadRequest(
            f"The condition on field {condition.key!r} has {what}: give each field condition exactly one, "
            "and put several conditions into `must` where all must hold.",
            field=condition.key,
        )
    return given[0]


def _clause_kinds(condition: FieldCondition) -> tuple[IndexKind, ...]:
    from qdrant_client import models

    clause = one_clause(condition)
    if clause == "match":
        return _match_kinds(condition.key, condition.match)
    if clause == "range":
        return ("datetime",) if isinstance(condition.range, models.DatetimeRange) else _number(condition)
    if clause in ("values_count", "is_empty", "is_null"):
        return ANY_KIND
    raise BadRequest(
        f"The filter on field {condition.key!r} uses {clause}: Vitrine has no geo index.", field=condition.key
    )


def _number(condition: FieldCondition) -> tuple[IndexKind, ...]:
    bounds = [b for b in (vars(condition.range) if condition.range else {}).values() if b is not None]
    if not all(math.isfinite(bound) for bound in bounds):
        raise BadRequest(
            f"The range on field {condition.key!r} has a NaN or infinite bound: leave that bound out.",
            field=condition.key,
        )
    return NUMBER


def _match_kinds(field: str, match: Any) -> tuple[IndexKind, ...]:
    from qdrant_client import models

    if isinstance(match, models.MatchValue):
        return (_value_kind(match.value),)
    if isinstance(match, models.MatchAny | models.MatchExcept):
        values = match.any if isinstance(match, models.MatchAny) else match.except_
        return (_value_kind(values[0]),) if values else ("keyword", "integer")
    said = ", ".join(match.model_dump(exclude_none=True))
    raise BadRequest(
        f"The filter on field {field!r} matches by {said}: Vitrine has no full-text index. "
        "Match whole values, or search by text.",
        field=field,
    )


def _value_kind(value: object) -> IndexKind:
    kinds: Mapping[type, IndexKind] = {str: "keyword", bool: "bool", int: "integer"}
    return kinds[type(value)]
