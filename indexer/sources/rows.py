"""Read what a row of a table says about an image: which column means what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from vitrine.indexer.sources.hashtags import FIELD as HASHTAGS
from vitrine.indexer.sources.hashtags import hashtags_of
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.records import ImageRecord
from vitrine.indexer.sources.tables import Table, TableRow
from vitrine.services.category.fields import PLAIN, SAID, read_unit, read_value
from vitrine.services.category.payload import clean_name, clean_tags
from vitrine.services.domain import IndexKind
from vitrine.services.errors import BadRequest, BadSource
from vitrine.services.values.delimited import find_any, find_column
from vitrine.services.values.field_paths import field_path, path_keys
from vitrine.services.values.kinds import is_missing

PATH_COLUMNS = ("path", "file", "file_name", "filename", "image", "key")
HASH_COLUMNS = ("sha256", "hash")
_FILE_COLUMNS = ("file_name", "filename", "file", "path")
_OWN = {field.name: field for field in PLAIN if field.from_tables}
"""Columns that say of an image what they are called, and ``scores``, an object of them."""
_AS_WRITTEN = tuple(name for name, field in _OWN.items() if field.holds in ("keyword", "datetime"))
_SCORE = re.compile(r"scores?\.(.+)", re.IGNORECASE)
_METADATA = re.compile(r"metadata\.(.+)", re.IGNORECASE)
_COMPUTED = re.compile(r"(clusters?|maps?|scored_by)\..+|similarity")
_EXPORT = frozenset({"id", "sha256", "indexed_at"})
"""Columns by which a table is known as one that `vitrine export table` wrote."""
_KNOWN = frozenset({"id", *(field.name for field in PLAIN if field.export and not field.from_tables)})
"""What such a table says of an image and no table can set; in any other these are columns like all."""


@dataclass(frozen=True)
class Columns:
    """Which column of a table means what. ``own``: the table's columns for tags, class, caption and the like,
    in whatever case they are written. ``scores`` and ``metadata`` map columns to payload keys.

    ``hashtags``: columns whose hashtags go to the metadata column of that name as well. ``computed``: columns
    that are passed over, since Vitrine computes them itself: runs, maps, similarity, and in an exported
    table what it knows of a file.
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
        """Return the columns whose words are taken as written: a class 2 next to a class 1.5 is not 2.0."""
        return frozenset((self.key, *(self.own.get(name, name) for name in _AS_WRITTEN)))

    @classmethod
    def of(cls, table: Table, options: SourceOptions, *, keys: tuple[str, ...] = PATH_COLUMNS) -> Columns:
        """Find the columns; ``keys`` may name the picture. Raises ``BadSource`` if none does, or a name
        cannot be a payload field."""
        key = _key_column(table, options.path_column, keys)
        others = [column for column in table.columns if column != key]
        own = {
            name: column
            for name in (*_OWN, "scores")
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

    def rows(self, table: Table) -> Iterator[TableRow]:
        """Yield the table's rows, as ``read`` takes them."""
        return table.rows(self.text, self.written, self.commas - self.text)

    def read(self, values: Mapping[str, Any], record: ImageRecord) -> ImageRecord:
        """Return the record with what a row says: tags are united, and what the row does not say stays.
        Raises ``ValueError`` or ``BadRequest`` with a sentence if a value is out of its range."""
        said = {name: values[column] for name, column in self.own.items() if column in values}
        fields = {name: read_value(_OWN[name], said[name]) for name in SAID if name in said}
        created = read_value(_OWN["created_at"], said["created_at"]) if "created_at" in said else None
        return replace(
            record,
            tags=tuple(dict.fromkeys([*record.tags, *clean_tags(split_tags(said.get("tags", ())))])),
            fields={**record.fields, **{name: value for name, value in fields.items() if value is not None}},
            created_at=created or record.created_at,
            scores={**record.scores, **self._scores(values, said.get("scores", {}))},
            metadata={**record.metadata, **self._metadata(values)},
        )

    def _scores(self, values: Mapping[str, Any], nested: Any) -> dict[str, float]:
        """Return scores by tag: the columns ``scores.<tag>``, and the members of an object ``scores``."""
        if not isinstance(nested, dict):
            raise ValueError("scores is an object of numbers by tag")
        scores = {tag: read_unit(name, values[name]) for name, tag in self.scores.items() if name in values}
        members = {tag: value for tag, value in nested.items() if not is_missing(value)}
        return scores | {clean_name(tag): read_unit(f"scores.{tag}", members[tag]) for tag in members}

    def _metadata(self, values: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: _stored(values[column]) for column, name in self.metadata.items() if column in values}
        if hashtags := hashtags_of(values.get(column) for column in self.hashtags):
            found[HASHTAGS] = hashtags
        return {name: value for name, value in found.items() if value is not None}


def name_columns(on: str) -> tuple[str, ...]:
    """Return the columns that may name a file, the likeliest first. ``on``: which part of its name is
    compared. A column ``name`` often holds the name of a thing, so one that can only be a file's comes before
    it."""
    return tuple(dict.fromkeys((*_FILE_COLUMNS, on, *PATH_COLUMNS) if on == "name" else (on, *PATH_COLUMNS)))


def split_tags(value: Any) -> list[str]:
    """Split the tags of a cell: a list, a JSON list, or words between ``|``, else ``;``, else commas.

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


def _asked(column: str, metadata: Mapping[str, str], kinds: Mapping[str, IndexKind]) -> IndexKind | None:
    """Return the kind that a user names for a column, as the table or as the category calls it."""
    return kinds.get(column) or kinds.get(metadata.get(column, column))


def column_named(table: Table, name: str) -> str:
    """Return the column that a user names, in whatever case. Raises ``BadSource`` if there is none."""
    column = find_column(name, table.columns)
    if column is None:
        shown = ", ".join(table.columns) or "none"
        raise BadSource(f"{table.path.name} has no column {name!r}; it has: {shown}.", column=name)
    return column


def _column(name: str) -> str:
    """Return the column of the category that a column of a table is: ``metadata.colour`` is ``colour``."""
    prefixed = _METADATA.fullmatch(name)
    return _member(prefixed[1]) if prefixed else name


def _member(name: str) -> str:
    """Return the tag or column behind its prefix, which may be quoted as in a field's path."""
    keys = path_keys(name)
    return keys[0] if len(keys) == 1 else name


def _fits(table: Table, name: str, column: str) -> bool:
    """Return whether a column in another case can be what it is called: a column ``Quality`` may hold
    words."""
    held = _OWN[name].holds if name in _OWN else "keyword"
    return column == name or held == "keyword" or table.kinds[column] in ("integer", held)


def _key_column(table: Table, wanted: str | None, keys: tuple[str, ...]) -> str:
    key = find_any(keys, table.columns) if wanted is None else column_named(table, wanted)
    if key is None:
        raise BadSource(
            f"No column of {table.path.name} names the picture: call it {', '.join(keys[:-1])} or "
            f"{keys[-1]}, or name it with --path-column. It has: {', '.join(table.columns) or 'none'}."
        )
    return key


def _check_doubles(table: Table, metadata: Mapping[str, str]) -> None:
    """Raise ``BadSource`` for two columns that are the same one, such as ``metadata.colour`` and
    ``colour``."""
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


def _stored(value: Any) -> Any:
    """Return a metadata value fit for the payload; an object is kept as its JSON text, bytes are left out."""
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
