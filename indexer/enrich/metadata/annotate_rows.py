"""The rows of a table that is joined to a category, in a temporary file on disk: what each says, and which
images it names."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator

import orjson

from vitrine.indexer.enrich.metadata.annotate_report import SHOWN, AnnotateReport
from vitrine.indexer.enrich.metadata.options import JoinOn as JoinOn
from vitrine.indexer.job.payloads import check_record
from vitrine.indexer.sources.columns import ColumnKinds
from vitrine.indexer.sources.hashtags import FIELD as HASHTAGS
from vitrine.indexer.sources.joining import join_key
from vitrine.indexer.sources.records import ImageRecord
from vitrine.indexer.sources.rows import HASH_COLUMNS, Columns, name_columns
from vitrine.indexer.sources.tables import Table, TableRow
from vitrine.services.category.catalog import Category
from vitrine.services.category.payload import index_kinds, joined_kinds
from vitrine.services.domain import IndexKind, Payload
from vitrine.services.errors import BadRequest, ImageRefused
from vitrine.services.values.field_paths import field_path

_TOLD_EVERY = 1_000
_SCHEMA = (
    "PRAGMA journal_mode=OFF",
    "PRAGMA temp_store=FILE",
    # times: rows of that key; differ: they do not all say the same; images: that it meets
    "CREATE TABLE rows (key TEXT PRIMARY KEY, number INT, said BLOB, times INT, differ INT, images "
    "INT, applied INT)",
    "CREATE TABLE matches (id TEXT PRIMARY KEY, key TEXT) WITHOUT ROWID",
)
_INSERT = """INSERT INTO rows VALUES (?, ?, ?, 1, 0, 0, 0)
    ON CONFLICT (key) DO UPDATE SET times = times + 1, differ = differ OR said != excluded.said"""


class Rows:
    """Rows by what they name: ``read`` the table, ``match`` the images, ``judge`` the rows, then go through
    ``pages``. ``close`` removes the file."""

    def __init__(self, columns: Columns, kinds: ColumnKinds, on: JoinOn, category: Category) -> None:
        self._columns = columns
        self._kinds = kinds
        self._on: JoinOn = on
        self._category = category
        self._rows = sqlite3.connect("", check_same_thread=False)
        for statement in _SCHEMA:
            self._rows.execute(statement)
        self._fields: dict[str, IndexKind] = {}
        self._malformed = 0
        self._faults: list[tuple[int, str]] = []

    @property
    def indexes(self) -> dict[str, IndexKind]:
        """The payload indexes that the rows ask for; hashtags first, since a category indexes a limited
        number columns."""
        first = field_path("metadata", HASHTAGS)
        return dict(sorted(self._fields.items(), key=lambda item: item[0] != first))

    def read(self, table: Table, advance: Callable[[int, int], None]) -> None:
        """Read all rows; of malformed ones the number and the reason are kept."""
        self._rows.executemany(_INSERT, self._said(table, advance))

    def match(self, images: Iterable[tuple[str, str]]) -> None:
        """Keep the images, given as (key, id), that a row names."""
        self._rows.executemany(
            "INSERT OR IGNORE INTO matches SELECT ?2, key FROM rows WHERE key = ?1", images
        )

    def judge(self, report: AnnotateReport, *, all_of_a_name: bool) -> None:
        """Decide which rows are applied, and count them in the report: each is malformed, unmatched,
        conflicting, ambiguous or matched."""
        self._rows.execute("CREATE INDEX by_key ON matches (key)")
        self._rows.execute(
            "UPDATE rows SET images = (SELECT count(*) FROM matches WHERE matches.key = rows.key)"
        )
        most = "" if all_of_a_name else "AND images = 1"
        self._rows.execute(f"UPDATE rows SET applied = 1 WHERE NOT differ AND images > 0 {most}")
        report.malformed, report.malformed_first = self._malformed, self._faults
        report.matched, _ = self._counted("applied")
        report.unmatched, report.unmatched_first = self._counted("images = 0")
        report.conflicting, report.conflicting_first = self._counted("differ AND images > 0")
        report.ambiguous, report.ambiguous_first = self._counted("NOT applied AND NOT differ AND images > 1")
        report.images = self._number("SELECT count(*) FROM matches JOIN rows USING (key) WHERE applied")

    def pages(self, size: int) -> Iterator[dict[str, Payload]]:
        """Yield what the rows say of the images that they are applied to, by id and in order of id."""
        cursor = self._rows.execute(
            "SELECT id, said FROM matches JOIN rows USING (key) WHERE applied ORDER BY id"
        )
        while page := cursor.fetchmany(size):
            yield {id: orjson.loads(said) for id, said in page}

    def close(self) -> None:
        self._rows.close()

    def _counted(self, condition: str) -> tuple[int, list[str]]:
        """Return the number of rows that meet an SQL condition, and their first few names in order."""
        rows = self._number(f"SELECT coalesce(sum(times), 0) FROM rows WHERE {condition}")
        first = self._rows.execute(f"SELECT key FROM rows WHERE {condition} ORDER BY number LIMIT {SHOWN}")
        return rows, [key for (key,) in first]

    def _number(self, query: str) -> int:
        return int(self._rows.execute(query).fetchone()[0])

    def _said(self, table: Table, advance: Callable[[int, int], None]) -> Iterator[tuple[str, int, bytes]]:
        for count, row in enumerate(self._columns.rows(table), 1):
            if count % _TOLD_EVERY == 0:
                advance(count, table.count)
            try:
                key, said, kinds = self._checked(row)
            except ValueError as error:
                self._fault(row, str(error))
            except (BadRequest, ImageRefused) as error:
                self._fault(row, error.message)
            else:
                self._fields = joined_kinds([self._fields, kinds, index_kinds(said)])
                yield key, row.number, orjson.dumps(said, option=orjson.OPT_SORT_KEYS)

    def _checked(self, row: TableRow) -> tuple[str, Payload, dict[str, IndexKind]]:
        """Return what a row names, what it says as payload fields, and the kinds of its metadata columns."""
        if row.fault:
            raise ValueError(row.fault)
        name = row.values.get(self._columns.key)
        if name is None or isinstance(name, dict | list | bytes):
            raise ValueError(f"column {self._columns.key!r} names no image")
        said = self._columns.read(row.values, ImageRecord("", str(name)))
        payload, kinds = check_record(said, self._category, self._kinds)
        if said.created_at:
            payload["created_at"] = said.created_at
        return join_value(str(name), self._on), payload, kinds

    def _fault(self, row: TableRow, reason: str) -> None:
        self._malformed += 1
        if len(self._faults) < SHOWN:
            self._faults.append((row.number, reason.rstrip(".")))


def join_value(name: str, on: JoinOn) -> str:
    """Return the form in which the name, hash or id of an image is compared with a cell."""
    return name.strip().lower() if on == "id" else join_key(name, on)


def key_columns(on: JoinOn) -> tuple[str, ...]:
    """Return the columns that may name the image, the likeliest first."""
    if on == "id":
        return ("id", "image_id")
    return HASH_COLUMNS if on == "hash" else name_columns(on)
