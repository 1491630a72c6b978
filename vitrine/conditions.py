"""Conditions on images as Python values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TypeAlias

from vitrine.services.category.filters import Conditions, conditions_from_pairs
from vitrine.services.errors import BadRequest

Words: TypeAlias = str | Sequence[str]
"""One word or several."""
Range: TypeAlias = tuple[float | None, float | None]
"""Least and greatest value, both included; None: open."""
Value: TypeAlias = bool | int | float | str | date
Where: TypeAlias = Mapping[str, "Value | Sequence[Value] | tuple[Value | None, Value | None]"]
"""Values by field, as in ``--where`` of the command line and the query string of HTTP: ``{"class": "mug",
"metadata.year.gte": 1990, "cluster.kinds": "root-3", "tag": ["red", "sale"]}``. A tuple of two is a range:
``{"quality": (0.5, None)}``."""


def to_conditions(
    where: Where | None = None,
    *,
    tags: Words = (),
    any_tags: Words = (),
    not_tags: Words = (),
    class_: Words = (),
    scores: Mapping[str, Range] | None = None,
    quality: Range | None = None,
) -> Conditions:
    """Return the conditions, which must all hold. ``BadRequest`` for a field or value that cannot be asked
    for."""
    for name, given, such in (
        ("where", where, {"class": "mug"}),
        ("scores", scores, {"close_up": (0.5, 1)}),
    ):
        if not isinstance(given, Mapping | None):
            raise BadRequest(f"{name} is a dict, such as {such}, not {given!r}.")
    asked: list[tuple[str, object]] = [
        *(("tag", tag) for tag in words(tags)),
        *(("tag.any", tag) for tag in words(any_tags)),
        *(("tag.none", tag) for tag in words(not_tags)),
        *(("class", name) for name in words(class_)),
        *((f"score.{tag}", span) for tag, span in (scores or {}).items()),
        *(where or {}).items(),
    ]
    asked += [("quality", quality)] if quality is not None else []
    return conditions_from_pairs(pair for field, value in asked for pair in _pairs(field, value))


def words(given: Words) -> list[str]:
    """Return one word or several as a list."""
    return [given] if isinstance(given, str) else list(given)


def _pairs(field: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, tuple):
        if len(value) != 2 or value == (None, None):
            raise BadRequest(f"A range is a least and a greatest value, such as (0.5, 1), not {value!r}.")
        bounds = zip(("gte", "lte"), value, strict=True)
        yield from ((f"{field}.{name}", _text(bound)) for name, bound in bounds if bound is not None)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from ((field, _text(item)) for item in value)
    else:
        yield field, _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)
