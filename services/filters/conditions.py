"""Filters on the points of a collection, as everything above the engines holds them.

They mean what Qdrant's filters mean, clause by clause: https://qdrant.tech/documentation/concepts/filtering.
All are frozen and hold tuples, so that they compare and hash by what they say. ``key`` is always a field path
(``vitrine.services.values.field_paths``), as it is written in the index. Each engine translates them once,
from the JSON of ``vitrine.services.filters.write``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias


@dataclass(frozen=True)
class Filter:
    """All of ``must``, none of ``must_not``, and one of ``should`` where there are any. An empty filter lets
    every point through."""

    must: tuple[Condition, ...] = ()
    should: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()
    min_should: MinShould | None = None

    def conditions(self) -> Iterator[Condition]:
        """Yield the direct conditions, whatever clause they are in."""
        yield from self.must
        yield from self.should
        yield from self.must_not
        if self.min_should is not None:
            yield from self.min_should.conditions


@dataclass(frozen=True)
class MinShould:
    """At least ``min_count`` of the conditions."""

    conditions: tuple[Condition, ...]
    min_count: int


@dataclass(frozen=True)
class MatchValue:
    """The field holds this very value: text, a whole number or a bool (1 is not true); any item of a
    list may."""

    key: str
    value: str | int | bool


@dataclass(frozen=True)
class MatchAny:
    """The field holds one of the values, which are all texts or all whole numbers."""

    key: str
    values: tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True)
class MatchExcept:
    """The field holds a value that is none of these, which are all texts or all whole numbers."""

    key: str
    values: tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True)
class Range:
    """The field holds a number within the bounds; without any bound: a number."""

    key: str
    gte: float | None = None
    lte: float | None = None
    gt: float | None = None
    lt: float | None = None


@dataclass(frozen=True)
class DatetimeRange:
    """The field holds a moment within the bounds. A bound without a zone is in UTC."""

    key: str
    gte: datetime | None = None
    lte: datetime | None = None
    gt: datetime | None = None
    lt: datetime | None = None


@dataclass(frozen=True)
class ValuesCount:
    """The field holds so many values: the length of a list, 1 for a single value, 0 for none."""

    key: str
    gte: int | None = None
    lte: int | None = None
    gt: int | None = None
    lt: int | None = None


@dataclass(frozen=True)
class IsEmpty:
    """The field is missing, null or an empty list; ``empty=False``: it holds something."""

    key: str
    empty: bool = True


@dataclass(frozen=True)
class IsNull:
    """The field is there and null, or a list with a null; ``null=False``: it is not."""

    key: str
    null: bool = True


@dataclass(frozen=True)
class HasId:
    """The point is one of these."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class HasVector:
    """The point has the named vector."""

    name: str


@dataclass(frozen=True)
class Nested:
    """One object of the list at ``key`` meets the whole filter, whose keys are paths within the object."""

    key: str
    filter: Filter


OnField: TypeAlias = (
    MatchValue | MatchAny | MatchExcept | Range | DatetimeRange | ValuesCount | IsEmpty | IsNull
)
"""A condition on the values of one field."""
Condition: TypeAlias = OnField | HasId | HasVector | Nested | Filter
