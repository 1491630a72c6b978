"""Find rows of a table by key. The table is kept on disk next to the source that it describes, so that memory
does not grow with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any, Literal

import orjson

from vitrine.indexer.sources.base import has_image_extension, shown_name
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.patience import Patience
from vitrine.indexer.sources.records import DescribedSource, ImageRecord, Source
from vitrine.indexer.sources.rows import HASH_COLUMNS, Columns, name_columns
from vitrine.indexer.sources.tables import Table, TableRow, open_table
from vitrine.services.category.payload import joined_kinds
from vitrine.services.errors import BadRequest, BadSource, ImageRefused, NotFound, because
from vitrine.services.images.open import content_hash

JoinOn = Literal["name", "stem", "key", "hash"]


class RowIndex:
    """The rows of a table by a text key, in a temporary SQLite file that goes with the process."""

    def __init__(self, table: Table, columns: Columns, on: JoinOn, *, below: str = "") -> None:
        self._columns = columns
        self._rows = sqlite3.connect("", check_same_thread=False)
        self._rows.execute("PRAGMA journal_mode=OFF")
        self._rows.execute(
            "CREATE TABLE rows (key TEXT PRIMARY KEY, number INT, row BLOB, used INT) WITHOUT ROWID"
        )
        self.faults = 0
        try:
            self._rows.executemany("INSERT INTO rows VALUES (?, ?, ?, 0)", self._keyed(table, on, below))
        except sqlite3.IntegrityError:
            raise BadSource(
                f"{table.path.name} has several rows for one picture (by {on}): keep one of them."
            ) from None
        self.table = table

    def notes(self) -> list[str]:
        """Return what people should know about the table's cells."""
        return self.table.notes_but(self._columns.written)

    def apply(self, key: str, record: ImageRecord) -> ImageRecord:
        """Return the record with what its row says, refused if the row is malformed, unchanged if there is
        none."""
        found = self._rows.execute("SELECT number, row FROM rows WHERE key = ?", (key,)).fetchone()
        if found is None:
            return record
        self._rows.execute("UPDATE rows SET used = 1 WHERE key = ?", (key,))
        return described(record, TableRow(found[0], orjson.loads(found[1])), self._columns, self.table)

    def use(self, keys: Iterable[str]) -> None:
        """Note that there are pictures of these keys, which are not read."""
        self._rows.executemany("UPDATE rows SET used = 1 WHERE key = ?", ((key,) for key in keys))

    @property
    def used(self) -> int:
        """Return how many rows were asked for."""
        return int(self._rows.execute("SELECT count(*) FROM rows WHERE used").fetchone()[0])

    def unused(self) -> Iterator[str]:
        """Yield the keys that were never asked for."""
        for (key,) in self._rows.execute("SELECT key FROM rows WHERE NOT used ORDER BY number"):
            yield key

    def _keyed(self, table: Table, on: JoinOn, below: str) -> Iterable[tuple[str, int, bytes]]:
        for row in self._columns.rows(table):
            value = row.values.get(self._columns.key)
            if row.fault or value is None or isinstance(value, dict | list):
                self.faults += 1
                continue
            kept = {column: value for column, value in row.values.items() if not isinstance(value, bytes)}
            try:
                stored = orjson.dumps(kept, default=_no_json)
            except TypeError:  # a number beyond 64 bits, for one
                self.faults += 1
                continue
            yield join_key(below + str(value), on), row.number, stored


class JoinedSource(DescribedSource):
    """A source whose records take what a row of another table says of them. Rows without a picture are left
    out."""

    def __init__(self, source: Source, options: SourceOptions, patience: Patience) -> None:
        if options.metadata is None:
            raise BadRequest("There is no table to join: name one.")
        super().__init__(source)
        self._patience = patience
        self._on = options.join_on
        table = open_table(options.metadata)
        own = SourceOptions(class_from=options.class_from, hashtags=options.hashtags, kinds=options.kinds)
        columns = Columns.of(table, own, keys=HASH_COLUMNS if self._on == "hash" else name_columns(self._on))
        self._index = RowIndex(table, columns, self._on)
        self.indexes = joined_kinds([source.indexes, columns.indexes])

    def _described(self, record: ImageRecord) -> ImageRecord:
        if self._on != "hash":
            return self._index.apply(join_key(record.filename, self._on), record)
        try:
            return self._index.apply(content_hash(self._patience.call(record.read)), record)
        except (OSError, ImageRefused, NotFound, BadRequest):
            return record  # the loop meets the same error and refuses it by name

    def notes(self) -> list[str]:
        table = self._index.table
        notes = [
            f"{self._index.used} of {table.count} rows of {table.path.name} met a picture (by {self._on})."
        ]
        if self._index.faults:
            notes.append(f"{self._index.faults} rows of {table.path.name} are malformed or name no picture.")
        return [*super().notes(), *notes, *self._index.notes()]


def join_key(name: str, on: JoinOn) -> str:
    """Return what a file's name, or a cell, is compared by.

    >>> join_key("red/Mug 1.JPG", "name"), join_key("red/Mug 1.JPG", "stem"), join_key("./red/1.jpg", "key")
    ('Mug 1.JPG', 'Mug 1', 'red/1.jpg')
    """
    if on == "hash":
        return name.strip().lower()
    shown = shown_name(name)
    if on == "key":
        return shown
    path = PurePosixPath(shown)
    # a bare product number such as "1.25" in a table has no extension to lose
    return path.stem if on == "stem" and has_image_extension(shown) else path.name


def described(record: ImageRecord, row: TableRow, columns: Columns, table: Table) -> ImageRecord:
    """Return the record with what a row says, or refused as ``bad_row``."""
    try:
        if row.fault:
            raise ValueError(row.fault)
        return columns.read(row.values, record)
    except (ValueError, ArithmeticError, TypeError, LookupError) as error:
        reason = f"{because(error)}."
    except BadRequest as error:
        reason = error.message
    return record.refused("bad_row", f"{table.path.name}, row {row.number}: {reason}")


def _no_json(value: Any) -> Any:
    """Leave out bytes that are deep in a row."""
    return None
