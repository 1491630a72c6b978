"""Exports the payloads of images as a SQLite database, for tools that read tables of files, tags and scores.

images      a row for each image: id, filename, class, caption, sha256 ...; ``rest``: other fields, as JSON
tags        image_id, tag: what people said
scores      image_id, tag, score in 0..1, scored_by: the tagger, if one gave the score
metadata    image_id, name, value: a number, a text, or JSON where it is a list
clusters    image_id, run, node: the leaf in each cluster run in service
maps        image_id, map, x, y: the place on each map in service
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from vitrine.services.category.fields import PLAIN
from vitrine.services.errors import BadRequest

ENDINGS = (".sqlite", ".sqlite3", ".db")
_TYPES = {"float": "REAL", "integer": "INTEGER", "bool": "INTEGER"}
COLUMNS: Mapping[str, str] = {"id": "TEXT PRIMARY KEY"} | {
    field.name: _TYPES.get(field.holds, "TEXT") for field in PLAIN if field.export and not field.many
}
"""The columns of ``images``, besides ``rest``."""
_APART = frozenset({"tags", "scores", "scored_by", "metadata", "cluster", "map"})
_SCHEMA = f"""
CREATE TABLE images ({", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())}, rest TEXT NOT NULL);
CREATE TABLE tags (image_id TEXT NOT NULL REFERENCES images (id),
    tag TEXT NOT NULL, PRIMARY KEY (image_id, tag));
CREATE TABLE scores (image_id TEXT NOT NULL REFERENCES images (id),
    tag TEXT NOT NULL, score REAL NOT NULL, scored_by TEXT,
    PRIMARY KEY (image_id, tag));
CREATE TABLE metadata (image_id TEXT NOT NULL REFERENCES images (id),
    name TEXT NOT NULL, value, PRIMARY KEY (image_id, name));
CREATE TABLE clusters (image_id TEXT NOT NULL REFERENCES images (id), run TEXT NOT NULL, node TEXT NOT NULL,
    PRIMARY KEY (image_id, run));
CREATE TABLE maps (image_id TEXT NOT NULL REFERENCES images (id),
    map TEXT NOT NULL, x REAL NOT NULL, y REAL NOT NULL,
    PRIMARY KEY (image_id, map));
"""
_INDEXES = """
CREATE INDEX tags_by_tag ON tags (tag);
CREATE INDEX scores_by_tag ON scores (tag, score);
CREATE INDEX metadata_by_name ON metadata (name, value);
"""


def write_sqlite(path: Path, rows: Iterator[list[dict[str, Any]]]) -> None:
    """Write pages of rows, as ``export_table`` makes them, into a new database. ``BadRequest`` if SQLite
    fails."""
    try:
        with closing(sqlite3.connect(path)) as database:
            database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA}")
            for page in rows:
                _write_page(database, page)
                database.commit()
            database.executescript(_INDEXES)
    except sqlite3.Error as error:
        raise BadRequest(
            f"The database cannot be written to {path.parent}: {error}. Free space there, or name another "
            "folder."
        ) from error


def _write_page(database: sqlite3.Connection, page: list[dict[str, Any]]) -> None:
    tables: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in page:
        tables["images"].append(_image(row))
        id, by, metadata = row["id"], row.get("scored_by", {}), row.get("metadata") or {}
        tables["tags"] += ((id, tag) for tag in dict.fromkeys(row["tags"]))
        tables["scores"] += ((id, tag, score, by.get(tag)) for tag, score in row["scores"].items())
        tables["metadata"] += ((id, name, _value(value)) for name, value in metadata.items())
        tables["clusters"] += ((id, run, node) for run, node in row["cluster"].items())
        tables["maps"] += ((id, name, at["x"], at["y"]) for name, at in row["map"].items())
    for table, values in tables.items():
        if values:
            marks = ", ".join("?" * len(values[0]))
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", values)


def _image(row: dict[str, Any]) -> tuple[Any, ...]:
    rest = {name: value for name, value in row.items() if name not in COLUMNS and name not in _APART}
    return (*(_value(row.get(name)) for name in COLUMNS), orjson.dumps(rest).decode())


def _value(value: Any) -> Any:
    """Return a value as SQLite can store it: lists and objects as JSON, whole numbers of over 64 bits as
    text."""
    if isinstance(value, list | dict) or (isinstance(value, int) and value.bit_length() > 63):
        return orjson.dumps(value).decode() if isinstance(value, list | dict) else str(value)
    return value
