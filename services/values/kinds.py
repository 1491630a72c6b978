"""The kinds of metadata columns, and how a value becomes one of its column's kind.

A column holds words, whole numbers, numbers, truths or dates, and has an index of that kind. No filter, order
or facet would find another value, so each value is either cast to its column's kind here or refused with a
sentence. The one exception is a column of whole numbers that gets a fraction: it becomes one of numbers
(``joined``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import orjson

from vitrine.services.errors import BadRequest
from vitrine.services.values.dates import looks_like_date, shown, to_utc
from vitrine.services.values.words import composed

if TYPE_CHECKING:  # the domain's types bring numpy, for which a command line's options need not wait
    from vitrine.services.domain import IndexKind

MAX_TEXT: Final = 10_000
MISSING: Final = frozenset({"", "-", "--", "n/a", "#n/a", "na", "<na>", "nan", "nat", "null"})
"""Marks of a missing value, in any case. ``None`` is one in this spelling only, since "none" may be an
answer."""
KINDS: Final[dict[str, IndexKind]] = {
    "keyword": "keyword", "word": "keyword", "words": "keyword", "text": "keyword", "string": "keyword",
    "integer": "integer", "int": "integer", "float": "float", "number": "float",
    "bool": "bool", "boolean": "bool", "datetime": "datetime", "date": "datetime",
}  # fmt: skip
"""The names of kinds that people may use."""
HELD: Final[dict[IndexKind, str]] = {
    "keyword": "words",
    "integer": "whole numbers",
    "float": "numbers",
    "bool": "true or false",
    "datetime": "dates",
}
"""What a column of a kind holds, for messages."""
_TRUTHS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER: Final = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_CODE: Final = re.compile(r"[-+]?0[0-9]")
_INT64: Final = 2**63
_EXACT: Final = 2**53


class Cell(str):
    """Text of a table's cell or of a command line, which may mean a number or a truth; text in JSON stays
    text."""


def is_missing(value: object) -> bool:
    """Return whether a value means that there is none: null, NaN, an empty list, or a mark such as
    ``n/a``."""
    if isinstance(value, str):
        return value.strip().lower() in MISSING or value.strip() == "None"
    return value is None or value == [] or (isinstance(value, float) and math.isnan(value))


def value_kind(value: object) -> IndexKind | None:
    """Return the narrowest kind that holds a value, or all values of a list. None for a missing value and for
    an object.

    >>> [value_kind(value) for value in (Cell("1.50"), "1.50", [1, 2.5], [1, "a"], Cell("n/a"))]
    ['float', 'keyword', 'float', 'keyword', None]
    """
    if isinstance(value, Cell):
        return _cell_kind(value)
    if isinstance(value, list | tuple):
        return joined(value_kind(item) for item in value)
    if is_missing(value):
        return None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "integer" if -_INT64 <= value < _INT64 else "keyword"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "datetime" if looks_like_date(value) else "keyword"
    return None


def joined(kinds: Iterable[IndexKind | None]) -> IndexKind | None:
    """Return the narrowest kind that holds the values of all these kinds.

    >>> joined(["integer", "float", None]), joined(["integer", "keyword"]), joined([])
    ('float', 'keyword', None)
    """
    found = {kind for kind in kinds if kind is not None}
    if len(found) < 2:
        return next(iter(found), None)
    return "float" if found == {"integer", "float"} else "keyword"


def cast(column: str, value: Any, kind: IndexKind) -> Any:
    """Return the value as a column of that kind holds it; None for a missing value. ``BadRequest`` if it is
    of another kind.

    >>> cast("size", 38, "keyword"), cast("price", "12.50", "float"), cast("price", "NA", "float")
    ('38', 12.5, None)
    >>> cast("on", 2022, "datetime")
    '2022-01-01T00:00:00+00:00'
    """
    if isinstance(value, list | tuple):
        return _cast_list(column, value, kind)
    if kind == "keyword":
        return _word(column, value)
    if is_missing(value):
        return None
    if isinstance(value, str) and (several := _several(value)):
        return _cast_list(column, several, kind)
    try:
        if kind == "datetime":
            return to_utc(value)
        return _truth(value) if kind == "bool" else _number(value, kind)
    except ValueError as error:
        raise _refusal(column, value, kind, error) from None


def number(value: object) -> int | float:
    """Return a finite number, also from its text; whole ones have at most 64 bits. ``ValueError`` with a
    sentence without its full stop."""
    found = value
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        found = int(value) if _INTEGER.fullmatch(value.strip()) else float(value)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"{shown(value)} is not a number")
    if not (-_INT64 <= found < _INT64 if isinstance(found, int) else math.isfinite(found)):
        raise ValueError(f"{shown(value)} is beyond the numbers that can be stored")
    return found


def check_kind(text: str) -> IndexKind:
    """Return the kind that a user names. ``BadRequest`` for another word."""
    kind = KINDS.get(text.strip().lower())
    if kind is None:
        raise BadRequest(
            f"{text!r} is not a kind of column: use keyword, integer, float, bool or datetime.", kind=text
        )
    return kind


def column_kinds(texts: Iterable[str]) -> dict[str, IndexKind]:
    """Return the kinds by column of texts such as ``price:float``, divided at their last colon.
    ``BadRequest`` for another text, and for a column that is given twice."""
    kinds: dict[str, IndexKind] = {}
    for text in texts:
        column, _, kind = composed(text).rpartition(":")
        if not column.strip() or column.strip() in kinds:
            raise BadRequest(
                f"{text!r} does not name a column and its kind, or names a column again: write "
                "COLUMN:KIND, such as price:float."
            )
        kinds[column.strip()] = check_kind(kind)
    return kinds


@lru_cache(maxsize=16_384)
def _cell_kind(text: str) -> IndexKind | None:
    """Return the kind of a cell. Numbers with leading zeros are codes, so words; so are whole numbers of over
    64 bits."""
    if _INTEGER.fullmatch(text):
        return "integer"
    if _NUMBER.fullmatch(text):
        return "keyword" if _CODE.match(text) or not re.search(r"[.eE]", text) else "float"
    if is_missing(text):
        return None
    word = text.lower()
    if word in ("true", "false"):
        return "bool"
    if word.lstrip("+-") in ("inf", "infinity"):
        return "float"  # it is refused by name then, instead of making the column one of words
    return "datetime" if looks_like_date(text) else "keyword"


def _several(text: str) -> list[Any]:
    """Return the values of a list in one cell, as an exported table has them; [] for a single value."""
    if text.startswith("["):
        with suppress(orjson.JSONDecodeError):
            found: list[Any] = orjson.loads(text)
            return found
    return [item.strip() for item in text.split("|")] if "|" in text else []


def _cast_list(column: str, values: Iterable[Any], kind: IndexKind) -> list[Any] | None:
    items = [cast(column, item, kind) for item in values if item is not None]
    if any(isinstance(item, list) for item in items):
        raise BadRequest(
            f"Column {column!r} takes text, numbers, true or false, or a list of them, not lists "
            "within a list."
        )
    return [item for item in items if item is not None] or None


def _word(column: str, value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise BadRequest(
            f"Column {column!r} takes text, numbers, true or false, or a list of them.", field=column
        )
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        value = int(value)  # 3.0 becomes the word "3", as the table has it
    text = composed(str(value))
    if len(text) > MAX_TEXT:
        raise BadRequest(
            f"Column {column!r} has {len(text):,} characters, more than {MAX_TEXT:,}: shorten it.",
            field=column,
        )
    return text


def _number(value: object, kind: IndexKind) -> int | float:
    found = number(value)
    if kind == "float":
        return found if isinstance(found, int) and abs(found) > _EXACT else float(found)
    if found != int(found) or not -_INT64 <= found < _INT64:
        raise ValueError(f"{shown(value)} is not a whole number of 64 bits")
    return int(found)


def _truth(value: object) -> bool:
    word = str(value).strip().lower()
    if word not in _TRUTHS:
        raise ValueError(f"{shown(value)} is neither true nor false")
    return _TRUTHS[word]


def _refusal(column: str, value: object, kind: IndexKind, why: ValueError) -> BadRequest:
    return BadRequest(
        f"Column {column!r} holds {HELD[kind]}: {why}. Correct the value, or have the column hold words "
        f"(--column {column}:keyword; over HTTP the form field columns={column}:keyword; in Python "
        f"columns={{{column!r}: 'keyword'}}).",
        field=column,
        kind=kind,
    )
