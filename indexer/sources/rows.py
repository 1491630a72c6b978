"""From a row of a table to what is said of an image: which column means what."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from vitrine.indexer.sources.base import SourceOptions
from vitrine.indexer.sources.hashtags import FIELD as HASHTAGS
from vitrine.indexer.sources.hashtags import hashtags_of
from vitrine.indexer.sources.records import ImageRecord
from vitrine.indexer.sources.tables import Row, Table
from vitrine.services.category.payload import clean_name, clean_tags
from vitrine.services.domain import IndexKind
from vitrine.services.errors import BadRequest, BadSource
from vitrine.services.values.dates import to_utc
from vitrine.services.values.delimited import find_any, find_column
from vitrine.services.values.field_paths import field_path, path_keys
from vitrine.services.values.kinds import is_missing, number

PATH_COLUMNS = ("path", "file", "file_name", "filename", "image", "key")
HASH_COLUMNS = ("sha256", "hash")
_FILE_COLUMNS = ("file_name", "filename", "file", "path")
_OWN = ("tags", "class", "caption", "quality", "created_at", "scores")
"""Columns that say of an image what they are called."""
_KINDS: Mapping[str, tuple[IndexKind, ...]] = {
    "quality": ("integer", "float"),
    "created_at": ("integer", "datetime"),
}
_SCORE = re.compile(r"scores?\.(.+)", re.IGNORECASE)
_METADATA = re.compile(r"metadata\.(.+)", re.IGNORECASE)
_COMPUTED = re.compile(r"(clusters?|maps?|scored_by)\..+|similarity")
_EXPORT = frozenset({"id", "sha256", "indexed_at"})
"""Columns by which a table is known as one that `vitrine export table` wrote."""
_KNOWN = frozenset(
    {
        *_EXPORT,
        "filename",
        "phash",
        "source",
        "media_type",
        "width",
        "height",
        "bytes",
        "duplicate_group",
        "machine_tags",
        "rejected_tags",
    }
)
"""What such a table says of an image and no table can set; in any other these are columns like all."""


@dataclass(frozen=True)
class Said:
    """What one row says of its image."""

    tags: tuple[str, ...] = ()
    class_: str | None = None
    caption: str | None = None
    quality: float | None = None
    created_at: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def of(self, record: ImageRecord) -> ImageRecord:
        """The record with what is said here; tags are united, and what is not said stays."""
        return replace(
            record,
            tags=tuple(dict.fromkeys([*record.tags, *self.tags])),
            class_=self.class_ or record.class_,
            caption=self.caption or record.caption,
            quality=record.quality if self.quality is None else self.quality,
            created_at=self.created_at or record.created_at,
            scores={**record.scores, **self.scores},
            metadata={**record.metadata, **self.metadata},
        )


@dataclass(frozen=True)
class Columns:
    """Which column of a table means what. ``own``: the table's columns for tags, class, caption and the like,
    in whatever case they are written. ``scores`` and ``metadata`` map columns to payload keys.

    ``hashtags``: columns whose hashtags go to the metadata column of that name as well. ``computed``: columns
    that are passed over, since Vitrine itself says what they do: those of runs, maps and similarity, and in
    an exported table what it knows of a file.
    """

    key: str
    own: Mapping[str, str]
    scores: Mapping[str, str]
    metadata: Mapping[str, str]
    indexes: Mapping[str, IndexKind]
    hashtags: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    written: frozenset[str] = frozenset()
    """Columns whose cells are never taken as missing: the key, and those that are to hold words."""
    commas: frozenset[str] = frozenset()
    """Columns of numbers with a decimal comma."""

    @property
    def text(self) -> frozenset[str]:
        """Columns whose words are taken as written: a class 2 beside a class 1.5 is not 2.0."""
        return frozenset(
            (self.key, *(self.own.get(name, name) for name in ("class", "tags", "caption", "created_at")))
        )

    @classmethod
    def of(cls, table: Table, options: SourceOptions, *, keys: tuple[str, ...] = PATH_COLUMNS) -> Columns:
        """Find the columns; ``keys`` may name the picture. ``BadSource`` if none does, or a name cannot be a
        payload field."""
        key = _key_column(table, options.path_column, keys)
        others = [column for column in table.columns if column != key]
        own = {
            name: column
            for name in _OWN
            if (column := find_column(name, others)) and _fits(table, name, column)
        }
        if class_from := options.class_from and find_column(options.class_from, table.columns):
            own["class"] = class_from
        scores = {c: _name(table, _member(m[1])) for c in table.columns if (m := _SCORE.fullmatch(c))}
        known = _KNOWN if set(table.columns) >= _EXPORT else frozenset[str]()
        rest = [column for column in others if column not in (*own.values(), *scores)]
        named = [column for column in rest if _COMPUTED.fullmatch(column)]
        computed = (*named, *(column for column in rest if column in known))
        metadata = {column: _name(table, _column(column)) for column in rest if column not in computed}
        _check_doubles(table, metadata)
        asked = {
            column: kind for column in table.columns if (kind := _asked(column, metadata, options.kinds))
        }
        indexes = {
            field_path("metadata", name): asked.get(column, table.kinds[column])
            for column, name in metadata.items()
        }
        hashtags = tuple(column_named(table, name) for name in options.hashtags)
        if hashtags:
            indexes[field_path("metadata", HASHTAGS)] = "keyword"
        written = frozenset([key, *(column for column, kind in asked.items() if kind == "keyword")])
        numbers = {
            column
            for column in table.columns
            if asked.get(column, table.kinds[column]) in ("integer", "float")
        }
        return cls(key, own, scores, metadata, indexes, hashtags, computed, written, table.commas & numbers)

    def rows(self, table: Table) -> Iterator[Row]:
        """The table's rows, as ``read`` takes them."""
        return table.rows(self.text, self.written, self.commas - self.text)

    def read(self, values: Mapping[str, Any]) -> Said:
        """What a row says. ``ValueError`` or ``BadRequest`` with a sentence if a value is out of its
        range."""
        scores = {
            tag: _unit(column, values[column]) for column, tag in self.scores.items() if column in values
        }
        said = {name: values[column] for name, column in self.own.items() if column in values}
        nested = said.get("scores", {})
        if not isinstance(nested, dict):
            raise ValueError("scores is an object of numbers by tag")
        scores |= {
            clean_name(tag): _unit(f"scores.{tag}", value)
            for tag, value in nested.items()
            if not is_missing(value)
        }
        metadata = {
            name: _stored(values[column]) for column, name in self.metadata.items() if column in values
        }
        if found := hashtags_of(values.get(column) for column in self.hashtags):
            metadata[HASHTAGS] = found
        return Said(
            tags=tuple(clean_tags(split_tags(said.get("tags", ())))),
            class_=_text(said.get("class")),
            caption=_text(said.get("caption")),
            quality=_unit("quality", said["quality"]) if "quality" in said else None,
            created_at=_created(said["created_at"]) if "created_at" in said else None,
            scores=scores,
            metadata={name: value for name, value in metadata.items() if value is not None},
        )


def name_columns(on: str) -> tuple[str, ...]:
    """Columns that may name a file, the likeliest first; ``on``: what of its name is compared. A column
    ``name`` often holds the name of a thing, so one that can only be a file's goes before it."""
    return tuple(dict.fromkeys((*_FILE_COLUMNS, on, *PATH_COLUMNS) if on == "name" else (on, *PATH_COLUMNS)))


def split_tags(value: Any) -> list[str]:
    """Tags of a cell: a list, a JSON list, or words between ``|``, else ``;``, else commas.

    >>> split_tags("red | mug, small"), split_tags('["a, b", "c"]'), split_tags("red, mug")
    (['red ', ' mug, small'], ['a, b', 'c'], ['red', ' mug'])
    """
    if isinstance(value, str) and value.startswith("["):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise ValueError(f"tags {value[:40]!r} is no JSON list") from None
    if isinstance(value, str):
        return value.split(next((mark for mark in "|;" if mark in value), ","))
    items = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(item, dict | list) for item in items):
        raise ValueError("tags is a list of words")
    return [str(item) for item in items if item is not None]


def _created(value: Any) -> str:
    try:
        return to_utc(value)
    except ValueError as error:
        raise ValueError(f"created_at {error}") from None


def _asked(column: str, metadata: Mapping[str, str], kinds: Mapping[str, IndexKind]) -> IndexKind | None:
    """The kind that a user names for a column, as the table or as the category has its name."""
    return kinds.get(column) or kinds.get(metadata.get(column, column))


def column_named(table: Table, name: str) -> str:
    """The column that a user names, in whatever case. ``BadSource`` if there is none."""
    column = find_column(name, table.columns)
    if column is None:
        shown = ", ".join(table.columns) or "none"
        raise BadSource(f"{table.path.name} has no column {name!r}; it has: {shown}.", column=name)
    return column


def _column(name: str) -> str:
    """The column of the category that a column of a table is: ``metadata.colour`` is ``colour``."""
    prefixed = _METADATA.fullmatch(name)
    return _member(prefixed[1]) if prefixed else name


def _member(name: str) -> str:
    """The tag or column behind its prefix, which may be quoted as in a field's path."""
    keys = path_keys(name)
    return keys[0] if len(keys) == 1 else name


def _fits(table: Table, name: str, column: str) -> bool:
    """Whether a column of another case can be what it is called: a column ``Quality`` may hold words."""
    return column == name or name not in _KINDS or table.kinds[column] in _KINDS[name]


def _key_column(table: Table, wanted: str | None, keys: tuple[str, ...]) -> str:
    key = find_any(keys, table.columns) if wanted is None else column_named(table, wanted)
    if key is None:
        raise BadSource(
            f"No column of {table.path.name} names the picture: call it {', '.join(keys[:-1])} or "
            f"{keys[-1]}, or name it with --path-column. It has: {', '.join(table.columns) or 'none'}."
        )
    return key


def _check_doubles(table: Table, metadata: Mapping[str, str]) -> None:
    """``metadata.colour`` and ``colour`` are the same column."""
    first: dict[str, str] = {}
    for column, name in metadata.items():
        if first.setdefault(name, column) != column:
            raise BadSource(
                f"{table.path.name} names the column {name!r} twice, as {first[name]!r} and as "
                f"{column!r}: leave one out.",
                column=name,
            )


def _name(table: Table, column: str) -> str:
    try:
        return clean_name(column)
    except BadRequest as error:
        raise BadSource(f"{table.path.name}: {error.message}", column=column) from error


def _unit(column: str, value: Any) -> float:
    """A number in 0..1."""
    try:
        found = float(number(value))
    except ValueError:
        found = math.nan
    if not 0.0 <= found <= 1.0:
        raise ValueError(f"{column} is a number in 0..1, not {str(value)[:40]!r}")
    return found


def _text(value: Any) -> str | None:
    if isinstance(value, dict | list):
        raise ValueError("class and caption are text")
    return None if value is None else str(value)


def _stored(value: Any) -> Any:
    """A metadata value fit for the payload; an object is kept as its JSON text, bytes are left out."""
    if isinstance(value, bytes):
        return None
    if isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, dict | list) for item in value)
    ):
        try:
            return orjson.dumps(value).decode()
        except TypeError:  # bytes inside
            return None
    return value
