"""Tables of any format, read as rows of typed values: CSV, JSON lines and Parquet.

A table is read twice. The first time infers what each column holds over the whole file, so that a column has one type and its
payload index fits every row: an integer column with one 5.5 is a float column; with one word it is text. The second gives rows.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Literal

import orjson

from services.domain import IndexKind
from services.errors import BadSource
from services.payload import value_kind

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
Kind = IndexKind | Literal["nonfinite"]
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?")
_NONFINITE = ("nan", "inf", "-inf", "+inf", "infinity", "-infinity", "+infinity")
_MAX_CELL = 10_000_000


@dataclass(frozen=True)
class Row:
    """One row: ``number`` counts from 1 as an editor does (with the CSV header as 1). ``fault`` says why ``values`` is empty."""

    number: int
    values: Mapping[str, Any]
    fault: str | None = None


@dataclass(frozen=True)
class Table:
    """A table whose first reading is done. ``kinds`` has every column that holds anything; ``count`` rows, faulty ones too."""

    path: Path
    kinds: Mapping[str, IndexKind]
    columns: tuple[str, ...]
    count: int

    def rows(self, text: Collection[str] = ()) -> Iterator[Row]:
        """Rows in order, values of their column's type, without empty cells. Columns in ``text`` stay as written."""
        kinds: dict[str, IndexKind] = {column: "keyword" if column in text else kind for column, kind in self.kinds.items()}
        for row in _raw_rows(self.path):
            yield row if row.fault else _typed(row, kinds)


def _typed(row: Row, kinds: Mapping[str, IndexKind]) -> Row:
    try:
        return Row(row.number, {column: _cast(column, value, kinds[column]) for column, value in row.values.items()})
    except ValueError as error:
        return Row(row.number, {}, str(error))


def open_table(path: Path) -> Table:
    """Read a table for the first time. ``BadSource`` if it is none, is not UTF-8 or UTF-16, or names a column twice."""
    kinds: dict[str, Kind] = {}
    count = 0
    for row in _raw_rows(path):
        count += 1
        for column, value in row.values.items():
            kind = _kind(value)
            if kind is not None and kinds.get(column) != kind:
                kinds[column] = _join(kinds.get(column), kind)
    columns = tuple(kinds) if path.suffix.lower() in (".jsonl", ".ndjson") else tuple(_header(path))
    whole: dict[str, IndexKind] = {column: "keyword" if kind == "nonfinite" else kind for column, kind in kinds.items()}
    for column in columns:
        whole.setdefault(column, "keyword")
    return Table(path, whole, columns, count)


def is_table(name: str) -> bool:
    return name.lower().endswith(TABLES)


# What a column holds ------------------------------------------------------------------------------------------------------


def _kind(value: Any) -> Kind | None:
    """What one cell speaks for; None for an empty one or an object."""
    if isinstance(value, _Cell):
        return _cell_kind(value)
    if isinstance(value, list):
        kind: Kind | None = None
        for item in value:
            found = _kind(item)
            kind = _join(kind, found) if found else kind
        return kind
    if isinstance(value, float) and not math.isfinite(value):
        return "nonfinite"
    return "keyword" if isinstance(value, dict) else value_kind(value)


class _Cell(str):
    """Text of a CSV cell, which may stand for a number or a truth; text from other formats is text."""


def _cell_kind(text: str) -> Kind:
    """Numbers with leading zeros are codes, so text."""
    lower = text.lower()
    if lower in ("true", "false"):
        return "bool"
    if _INTEGER.fullmatch(text):
        return "integer"
    if _FLOAT.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text) and math.isfinite(float(text)):
        return "float" if re.search(r"[.eE]", text) else "keyword"
    return "nonfinite" if lower in _NONFINITE else value_kind(str(text)) or "keyword"


def _join(one: Kind | None, other: Kind) -> Kind:
    """The narrowest kind that holds both."""
    if one is None or one == other:
        return other
    pair = {one, other}
    if pair <= {"integer", "float", "nonfinite"}:
        return "integer" if pair == {"integer", "nonfinite"} else "float"
    return "keyword"


def _cast(column: str, value: Any, kind: IndexKind) -> Any:
    """The value as its column's kind has it; ``ValueError`` with a sentence."""
    if isinstance(value, list):
        return [_cast(column, item, kind) for item in value if item is not None]
    if isinstance(value, dict | bytes):
        return value
    if kind == "integer" or kind == "float":
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(f"column {column!r} holds numbers, but here {str(value)!r}")
        return number if kind == "float" else int(value)
    if kind == "bool":
        return value if isinstance(value, bool) else value.lower() == "true"
    return str(value).lower() if isinstance(value, bool) else str(value)


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
            yield Row(reader.line_num, {name: _Cell(cell.strip()) for name, cell in named if name and cell.strip()})


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
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return Row(number, {}, f"no JSON: {error}")
    if not isinstance(tree, dict):
        return Row(number, {}, "no JSON object")
    return Row(number, {name.strip(): value for name, value in tree.items() if value not in (None, "", []) and name.strip()})


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
