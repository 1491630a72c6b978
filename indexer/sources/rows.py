"""From a row of a table to what is said of an image: which column means what."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from indexer.hashtags import FIELD as HASHTAGS
from indexer.hashtags import hashtags_of
from indexer.records import ImageRecord
from indexer.sources.base import SourceOptions
from indexer.sources.tables import Row, Table
from services.dates import to_utc
from services.domain import IndexKind
from services.errors import BadRequest, BadSource
from services.payload import clean_name, clean_tags, field_path
from services.values import is_missing, number

PATH_COLUMNS = ("path", "file", "file_name", "filename", "image", "key")
HASH_COLUMNS = ("sha256", "hash")
_FILE_COLUMNS = ("file_name", "filename", "file", "path")
_SCORE = re.compile(r"scores?\.(.+)")
_METADATA = "metadata."
_COMPUTED = re.compile(r"(clusters?|maps?|scored_by)\..+|similarity")
_EXPORT = frozenset({"id", "sha256", "indexed_at"})
"""Columns by which a table is known as one that `vitrine export table` wrote."""
_KNOWN = frozenset(
    {
        *_EXPORT, "filename", "phash", "source", "media_type", "width", "height", "bytes", "duplicate_group", "machine_tags",
        "rejected_tags",
    }
)  # fmt: skip
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
    """Which column of a table means what. ``scores`` and ``metadata`` map columns to payload keys.

    ``hashtags``: columns whose hashtags go to the metadata column of that name as well. ``computed``: columns that are passed
    over, since Vitrine itself says what they do: those of runs, maps and similarity, and in an exported table what it knows of a
    file.
    """

    key: str
    class_: str
    scores: Mapping[str, str]
    metadata: Mapping[str, str]
    indexes: Mapping[str, IndexKind]
    hashtags: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    written: frozenset[str] = frozenset()
    """Columns whose cells are never taken as missing: the key, and those that are to hold words."""

    @property
    def text(self) -> frozenset[str]:
        """Columns whose words are taken as written: a class 2 beside a class 1.5 is not 2.0."""
        return frozenset((self.key, self.class_, "tags", "caption", "created_at"))

    @classmethod
    def of(cls, table: Table, options: SourceOptions, *, keys: tuple[str, ...] = PATH_COLUMNS) -> Columns:
        """Find the columns; ``keys`` may name the picture. ``BadSource`` if none does, or a name cannot be a payload field."""
        key = _key_column(table, options.path_column, keys)
        class_ = options.class_from if options.class_from in table.columns else "class"
        scores = {c: _name(table, m[1]) for c in table.columns if (m := _SCORE.fullmatch(c))}
        own = {key, class_, "tags", "caption", "quality", "created_at", "scores", *scores}
        known = _KNOWN if set(table.columns) >= _EXPORT else frozenset[str]()
        rest = [column for column in table.columns if column not in own]
        named = [column for column in rest if _COMPUTED.fullmatch(column)]
        computed = (*named, *(column for column in rest if column in known))
        metadata = {column: _name(table, column.removeprefix(_METADATA)) for column in rest if column not in computed}
        _check_doubles(table, metadata)
        asked = {column: kind for column in table.columns if (kind := _asked(column, metadata, options.kinds))}
        indexes = {field_path("metadata", name): asked.get(column, table.kinds[column]) for column, name in metadata.items()}
        if options.hashtags:
            _check_columns(table, options.hashtags)
            indexes[field_path("metadata", HASHTAGS)] = "keyword"
        written = frozenset([key, *(column for column, kind in asked.items() if kind == "keyword")])
        return cls(key, class_, scores, metadata, indexes, options.hashtags, computed, written)

    def rows(self, table: Table) -> Iterator[Row]:
        """The table's rows, as ``read`` takes them."""
        return table.rows(self.text, self.written)

    def read(self, values: Mapping[str, Any]) -> Said:
        """What a row says. ``ValueError`` or ``BadRequest`` with a sentence if a value is out of its range."""
        scores = {tag: _unit(column, values[column]) for column, tag in self.scores.items() if column in values}
        nested = values.get("scores", {})
        if not isinstance(nested, dict):
            raise ValueError("scores is an object of numbers by tag")
        scores |= {clean_name(tag): _unit(f"scores.{tag}", value) for tag, value in nested.items() if not is_missing(value)}
        metadata = {name: _stored(values[column]) for column, name in self.metadata.items() if column in values}
        if found := hashtags_of(values.get(column) for column in self.hashtags):
            metadata[HASHTAGS] = found
        return Said(
            tags=tuple(clean_tags(split_tags(values.get("tags", ())))),
            class_=_text(values.get(self.class_)),
            caption=_text(values.get("caption")),
            quality=_unit("quality", values["quality"]) if "quality" in values else None,
            created_at=_created(values["created_at"]) if "created_at" in values else None,
            scores=scores,
            metadata={name: value for name, value in metadata.items() if value is not None},
        )


def name_columns(on: str) -> tuple[str, ...]:
    """Columns that may name a file, the likeliest first; ``on``: what of its name is compared. A column ``name`` often holds the
    name of a thing, so one that can only be a file's goes before it."""
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


def _key_column(table: Table, wanted: str | None, keys: tuple[str, ...]) -> str:
    if wanted is not None:
        _check_columns(table, (wanted,))
    key = wanted or next((name for name in keys if name in table.columns), None)
    if key is None:
        raise BadSource(
            f"No column of {table.path.name} names the picture: call it {', '.join(keys[:-1])} or {keys[-1]}, or name it "
            f"with --path-column. It has: {', '.join(table.columns) or 'none'}."
        )
    return key


def _check_columns(table: Table, wanted: Iterable[str]) -> None:
    for name in wanted:
        if name not in table.columns:
            raise BadSource(
                f"{table.path.name} has no column {name!r}; it has: {', '.join(table.columns) or 'none'}.", column=name
            )


def _check_doubles(table: Table, metadata: Mapping[str, str]) -> None:
    """``metadata.colour`` and ``colour`` are the same column."""
    for column, name in metadata.items():
        if column != name and name in metadata:
            raise BadSource(f"{table.path.name} names the column {name!r} twice, also as {column!r}: leave one out.", column=name)


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
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict | list) for item in value)):
        try:
            return orjson.dumps(value).decode()
        except TypeError:  # bytes inside
            return None
    return value
