"""Tables of any format, read as rows of typed values: CSV, JSON lines and Parquet.

A table is read twice. The first time infers what each column holds over the whole file, so that a column has one kind and its
payload index fits every row: a column of whole numbers with one 5.5 is one of numbers; with one word it is one of words. The
second gives rows, whose values are cast where it is known what the category's column holds (services/payload.py).
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import orjson

from services.domain import IndexKind
from services.errors import BadSource
from services.values import HELD, Cell, cast, is_missing, joined, value_kind

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_MAX_CELL = 10_000_000


@dataclass(frozen=True)
class Row:
    """One row: ``number`` counts from 1 as an editor does (with the CSV header as 1). ``fault`` says why ``values`` is empty."""

    number: int
    values: Mapping[str, Any]
    fault: str | None = None


@dataclass(frozen=True)
class Table:
    """A table whose first reading is done. ``kinds`` has every column that holds anything; ``count`` rows, faulty ones too.

    ``notes``: by column, what of its cells a user should know.
    """

    path: Path
    kinds: Mapping[str, IndexKind]
    columns: tuple[str, ...]
    count: int
    notes: Mapping[str, Sequence[str]]

    def rows(self, text: Collection[str] = (), written: Collection[str] = ()) -> Iterator[Row]:
        """Rows in order, without cells that are empty or say that they are, such as ``n/a``: those stay in ``written`` columns.

        Columns in ``text`` give words, all others what the table has: text of a CSV table may stand for a number.
        """
        for row in _raw_rows(self.path):
            yield row if row.fault else Row(row.number, _said(row.values, text, written))

    def notes_but(self, written: Collection[str]) -> list[str]:
        """The notes, but those of columns in ``written``."""
        return [note for column, notes in self.notes.items() if column not in written for note in notes]


def _said(values: Mapping[str, Any], text: Collection[str], written: Collection[str]) -> dict[str, Any]:
    return {
        column: cast(column, value, "keyword") if column in text and not isinstance(value, dict | list | bytes) else value
        for column, value in values.items()
        if column in written or not is_missing(value)
    }


def open_table(path: Path) -> Table:
    """Read a table for the first time. ``BadSource`` if it is none, is not UTF-8 or UTF-16, or names a column twice."""
    sights: dict[str, _Sight] = {}
    count = 0
    for row in _raw_rows(path):
        count += 1
        for column, value in row.values.items():
            if column not in sights:
                sights[column] = _Sight()
            sights[column].see(row.number, value)
    columns = tuple(sights) if path.suffix.lower() in (".jsonl", ".ndjson") else tuple(_header(path))
    kinds: dict[str, IndexKind] = {column: sight.kind for column, sight in sights.items()}
    notes = {column: list(_notes(path.name, column, sight)) for column, sight in sights.items()}
    return Table(path, {**dict.fromkeys(columns, "keyword"), **kinds}, columns, count, notes)


def is_table(name: str) -> bool:
    return name.lower().endswith(TABLES)


# What a column holds ------------------------------------------------------------------------------------------------------


class _Sight:
    """What the first reading sees of one column."""

    def __init__(self) -> None:
        self.kinds: Counter[IndexKind] = Counter()
        self.first: dict[IndexKind, tuple[int, str]] = {}
        self.missing: Counter[str] = Counter()

    def see(self, number: int, value: Any) -> None:
        if is_missing(value):
            self.missing.update([value.strip()] if isinstance(value, str) else [])
        elif kind := "keyword" if isinstance(value, dict) else value_kind(value):
            self.kinds[kind] += 1
            self.first.setdefault(kind, (number, str(value)[:40]))

    @property
    def kind(self) -> IndexKind:
        return joined(self.kinds) or "keyword"

    @property
    def misfits(self) -> tuple[int, int, str] | None:
        """How many cells make a column of other things one of words, and the first of them: (cells, row, text)."""
        words, others = self.kinds["keyword"], joined(kind for kind in self.kinds if kind != "keyword")
        if not words or others in (None, "keyword") or 2 * words >= self.kinds.total():
            return None
        return (words, *self.first["keyword"])


def _notes(name: str, column: str, sight: _Sight) -> Iterator[str]:
    if sight.missing:
        marks = ", ".join(f"{count} {mark}" for mark, count in sight.missing.most_common(4))
        keep = f" (--column {column}:keyword keeps them as words)" if sight.kind == "keyword" else ""
        yield f"{name}: cells of column {column!r} that mean that there is no value: {marks}{keep}."
    if sight.misfits:
        cells, row, text = sight.misfits
        others = HELD[joined(kind for kind in sight.kinds if kind != "keyword") or "keyword"]
        yield (
            f"{name}: column {column!r} has {others}, but for {_cells(cells)} such as {text!r} in row {row}, so it is one of "
            f"words: correct the table, or say --column {column}:KIND (float, datetime ...) to have such rows refused by name."
        )


def _cells(count: int) -> str:
    return "one cell" if count == 1 else f"{count} cells"


# Formats ------------------------------------------------------------------------------------------------------------------


def _raw_rows(path: Path) -> Iterator[Row]:
    """Rows without empty cells, before typing."""
    suffix = path.suffix.lower()
    with _readable(path):
        if suffix in (".csv", ".tsv"):
            yield from _csv_rows(path)
        elif suffix == ".parquet":
            yield from _parquet_rows(path)
        else:
            yield from _json_rows(path)


def _header(path: Path) -> list[str]:
    with _readable(path):
        if path.suffix.lower() == ".parquet":
            return [name for name in _parquet(path).schema_arrow.names if name.strip()]
        with _open_text(path) as file:
            return [name for name in _csv_header(_reader(file, path), path) if name]


def _csv_rows(path: Path) -> Iterator[Row]:
    with _open_text(path) as file:
        reader = _reader(file, path)
        header = _csv_header(reader, path)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                yield Row(reader.line_num, {}, f"{len(cells)} cells in a table of {len(header)} columns")
                continue
            named = zip(header, cells, strict=True)
            yield Row(reader.line_num, {name: Cell(cell.strip()) for name, cell in named if name and cell.strip()})


def _csv_header(reader: Iterator[list[str]], path: Path) -> list[str]:
    """Column names; an index column without a name, as pandas writes it, keeps the empty name and is left out of the rows."""
    header = [name.strip() for name in next(reader, [])]
    _check_header([name for name in header if name], path)
    return header


def _reader(file: IO[str], path: Path) -> Any:
    first = file.readline()
    file.seek(0)
    separator = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
    csv.field_size_limit(_MAX_CELL)
    return csv.reader(file, delimiter=separator)


def _open_text(path: Path) -> IO[str]:
    with open(path, "rb") as file:
        start = file.read(2)
    encoding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return open(path, encoding=encoding, newline="")


def _json_rows(path: Path) -> Iterator[Row]:
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
            if text:
                yield _json_row(number, text)


def _json_row(number: int, text: bytes) -> Row:
    try:
        tree = _json(text)
    except ValueError as error:
        return Row(number, {}, f"no JSON: {error}")
    if not isinstance(tree, dict):
        return Row(number, {}, "no JSON object")
    return Row(number, {name.strip(): value for name, value in tree.items() if value not in (None, "", []) and name.strip()})


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)  # Python and pandas write NaN, which JSON does not have, for a number that is missing


def _parquet(path: Path) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path)


def _parquet_rows(path: Path) -> Iterator[Row]:
    file = _parquet(path)
    _check_header([name.strip() for name in file.schema_arrow.names], path)
    number = 0
    for batch in file.iter_batches(batch_size=256):
        for values in batch.to_pylist():
            number += 1
            kept = {name.strip(): _plain(value) for name, value in values.items() if value not in (None, "", [])}
            yield Row(number, {name: value for name, value in kept.items() if name})


def _plain(value: Any) -> Any:
    """A Parquet value in JSON's types. Bytes stay: a picture may be stored in the row."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _check_header(names: list[str], path: Path) -> None:
    if not names:
        raise BadSource(f"{path.name} has no header: its first line must name the columns.")
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise BadSource(f"{path.name} names the column {doubles[0]!r} twice: rename one of them.", column=doubles[0])


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what the readers raise into ``BadSource``."""
    try:
        yield
    except UnicodeError as error:
        raise BadSource(f"{path.name} is not UTF-8 (nor UTF-16 with a mark): save it as UTF-8. {error}") from error
    except csv.Error as error:
        raise BadSource(f"{path.name} is not a CSV table: {error}.") from error
    except OSError as error:
        raise BadSource(f"{path.name} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # pyarrow's ArrowInvalid is one
        raise BadSource(f"{path.name} is not a table: {str(error)[:200]}") from error
