"""Read tables of any format as rows of typed values: CSV, JSON lines and Parquet.

A table is read twice. The first time infers what each column holds over the whole file, so that a column has
one kind and its payload index fits every row: a column of whole numbers with one 5.5 is one of numbers; with
one word it is one of words. The second gives rows, whose values are cast where it is known what the
category's column holds (services/category/payload.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from vitrine.services.domain import IndexKind
from vitrine.services.errors import BadSource
from vitrine.services.extras import from_extra
from vitrine.services.values.delimited import Cells, comma_says, open_text, readable, with_point
from vitrine.services.values.kinds import HELD, Cell, cast, is_missing, joined, value_kind
from vitrine.services.values.words import composed

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
_METADATA = "metadata"


@dataclass(frozen=True)
class TableRow:
    """One row: ``number`` counts from 1 as an editor does (with the CSV header as 1). ``fault`` says why
    ``values`` is empty."""

    number: int
    values: Mapping[str, Any]
    fault: str | None = None


@dataclass(frozen=True)
class Table:
    """A table whose first reading is done. ``kinds`` has every column that holds anything; ``count`` rows,
    faulty ones too.

    ``notes``: by column, what of its cells a user should know.
    """

    path: Path
    kinds: Mapping[str, IndexKind]
    columns: tuple[str, ...]
    count: int
    notes: Mapping[str, Sequence[str]]
    commas: frozenset[str] = frozenset()
    """Columns whose numbers have a decimal comma."""

    def rows(
        self, text: Collection[str] = (), written: Collection[str] = (), commas: Collection[str] = ()
    ) -> Iterator[TableRow]:
        """Yield the rows in order, without cells that are empty or say that they are, such as ``n/a``: those
        stay in ``written`` columns.

        Columns in ``text`` give words, all others what the table has: text of a CSV table may stand for a
        number, which in ``commas`` has a decimal comma.
        """
        for row in _raw_rows(self.path):
            if row.fault:
                yield row
            else:
                pointed = {
                    column: Cell(with_point(row.values[column])) for column in commas if column in row.values
                }
                yield TableRow(row.number, _said({**row.values, **pointed}, text, written))

    def notes_but(self, written: Collection[str]) -> list[str]:
        """Return the notes, except on columns in ``written``."""
        return [note for column, notes in self.notes.items() if column not in written for note in notes]


def _said(values: Mapping[str, Any], text: Collection[str], written: Collection[str]) -> dict[str, Any]:
    return {
        column: cast(column, value, "keyword")
        if column in text and not isinstance(value, dict | list | bytes)
        else value
        for column, value in values.items()
        if column in written or not is_missing(value)
    }


def open_table(path: Path) -> Table:
    """Read a table for the first time. Raises ``BadSource`` if it is not a table, is not UTF-8 or UTF-16, or
    names a column twice."""
    seen: dict[str, _Seen] = {}
    count = 0
    for row in _raw_rows(path):
        count += 1
        for column, value in row.values.items():
            if column not in seen:
                seen[column] = _Seen()
            seen[column].see(row.number, value)
    header, separator = _header(path)
    columns = tuple(seen) if header is None else tuple(header)
    proven = separator != "," and any(column.says["comma"] for column in seen.values())
    commas = frozenset(name for name, column in seen.items() if proven and column.has_commas)
    sights = {name: column.pointed if name in commas else column.plain for name, column in seen.items()}
    unclear = [
        name
        for name, column in seen.items()
        if separator != "," and name not in commas and column.is_unclear(proven)
    ]
    kinds: dict[str, IndexKind] = {
        name: "keyword" if name in unclear else sight.kind for name, sight in sights.items()
    }
    notes = {name: list(_notes(path.name, name, sight)) for name, sight in sights.items()}
    for name in unclear:
        notes[name] = [f"{path.name}: {_unclear(name, seen[name])}"]
    return Table(path, {**dict.fromkeys(columns, "keyword"), **kinds}, columns, count, notes, commas)


def is_table(name: str) -> bool:
    return name.lower().endswith(TABLES)


# What a column holds
# ------------------------------------------------------------------------------------------------------


class _Seen:
    """What the first reading finds in one column: as it is written, and if its commas are decimal ones."""

    def __init__(self) -> None:
        self.plain, self.pointed = _Sight(), _Sight()
        self.says: Counter[str] = Counter()
        self.either: dict[str, str] = {}

    def see(self, number: int, value: Any) -> None:
        kind = self.plain.see(number, value)
        if not isinstance(value, Cell) or not ("," in value or "." in value):
            self.pointed.note(number, value, kind)
        else:
            self.pointed.see(number, Cell(with_point(value)))
            says = comma_says(value)
            self.says[says] += 1
            if says == "either":
                self.either.setdefault("," if "," in value else ".", value)

    @property
    def has_commas(self) -> bool:
        """Return whether its numbers have decimal commas, once it is proven that some of the table have."""
        return not self.says["point"] and bool(self.says["comma"] or "," in self.either)

    def is_unclear(self, proven: bool) -> bool:
        """Return whether nobody can say what its numbers are: 1,234 where nothing proves the comma, 1.234
        next to proven commas."""
        numeric = self.pointed.kind in ("integer", "float") and not self.says["point"]
        return numeric and ("," in self.either or (proven and "." in self.either))


class _Sight:
    """What the first reading finds in one column."""

    def __init__(self) -> None:
        self.kinds: Counter[IndexKind] = Counter()
        self.first: dict[IndexKind, tuple[int, str]] = {}
        self.missing: Counter[str] = Counter()

    def see(self, number: int, value: Any) -> IndexKind | None:
        """Count a cell and return the kind that it stands for, None if it says that there is no value."""
        kind = "keyword" if isinstance(value, dict) else value_kind(value)
        self.note(number, value, kind)
        return kind

    def note(self, number: int, value: Any, kind: IndexKind | None) -> None:
        """Count a cell whose kind is known."""
        if kind is not None:
            self.kinds[kind] += 1
            if kind not in self.first:
                self.first[kind] = (number, str(value)[:40])
        elif isinstance(value, str):
            self.missing[value.strip()] += 1

    @property
    def kind(self) -> IndexKind:
        return joined(self.kinds) or "keyword"

    @property
    def misfits(self) -> tuple[int, int, str] | None:
        """Return how many cells make a column of other things one of words, and the first of them: (cells,
        row, text)."""
        words, others = self.kinds["keyword"], joined(kind for kind in self.kinds if kind != "keyword")
        if not words or others in (None, "keyword") or 2 * words >= self.kinds.total():
            return None
        return (words, *self.first["keyword"])


def _unclear(column: str, seen: _Seen) -> str:
    number = next(iter(seen.either.values()))
    whole, fraction = number.replace(",", "").replace(".", ""), number.replace(",", ".")
    return (
        f"column {column!r} holds numbers such as {number}, which may be {whole} or {fraction}, so it "
        "is one of words: write them without separated thousands, and fractions with a point."
    )


def _notes(name: str, column: str, sight: _Sight) -> Iterator[str]:
    if sight.missing:
        marks = ", ".join(f"{count} {mark}" for mark, count in sight.missing.most_common(4))
        words = sight.kind == "keyword" and column != "created_at"
        keep = f" (--column {column}:keyword keeps them as words)" if words else ""
        yield f"{name}: cells of column {column!r} that mean that there is no value: {marks}{keep}."
    if sight.misfits:
        cells, row, text = sight.misfits
        kind = joined(kind for kind in sight.kinds if kind != "keyword") or "keyword"
        yield (
            f"{name}: column {column!r} holds {HELD[kind]}, except in {_cells(cells)}, such as {text!r} "
            f"in row {row}. If the column is new, all of it becomes words: correct the table, or say "
            f"--column {column}:{kind} to have such rows refused."
        )


def _cells(count: int) -> str:
    return "one cell" if count == 1 else f"{count} cells"


# Formats
# ------------------------------------------------------------------------------------------------------------


def _raw_rows(path: Path) -> Iterator[TableRow]:
    """Yield the rows without empty cells, before typing."""
    suffix = path.suffix.lower()
    with _readable(path):
        if suffix in (".csv", ".tsv"):
            yield from _csv_rows(path)
        elif suffix == ".parquet":
            yield from _parquet_rows(path)
        else:
            yield from _json_rows(path)


def _header(path: Path) -> tuple[list[str] | None, str]:
    """Return the columns, where they are named apart from the rows, and what separates the cells (a comma
    where nothing does)."""
    with _readable(path):
        if path.suffix.lower() == ".parquet":
            return [name for name in map(_name, _parquet(path).schema_arrow.names) if name], ","
        if path.suffix.lower() not in (".csv", ".tsv"):
            return None, ","
        with open_text(path) as file:
            cells = Cells(file)
            return [name for name in cells.header if name], cells.separator


def _csv_rows(path: Path) -> Iterator[TableRow]:
    """Yield the rows by column; an index column without a name, as pandas writes it, is left out."""
    with open_text(path) as file:
        rows = Cells(file)
        _check_header([name for name in rows.header if name], path)
        for cells in rows:
            if len(cells) != len(rows.header):
                yield TableRow(
                    rows.number, {}, f"{len(cells)} cells in a table of {len(rows.header)} columns"
                )
                continue
            named = zip(rows.header, cells, strict=True)
            yield TableRow(rows.number, {name: Cell(cell) for name, cell in named if name and cell})


def _json_rows(path: Path) -> Iterator[TableRow]:
    with open_text(path, errors="surrogateescape") as file:  # a line that is no text is a fault of its own
        for number, line in enumerate(file, 1):
            if text := line.strip():
                yield _json_row(number, text)


def _json_row(number: int, text: str) -> TableRow:
    try:
        tree = _json(text)
    except UnicodeError:
        return TableRow(number, {}, "no text in UTF-8")
    except ValueError as error:
        return TableRow(number, {}, f"no JSON: {error}")
    if not isinstance(tree, dict):
        return TableRow(number, {}, "no JSON object")
    return TableRow(number, _named(tree))


def _named(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are there, by column. The members of an object ``metadata`` are columns
    ``metadata.<name>``, unless one of that very name says otherwise."""
    metadata = tree.get(_METADATA)
    if isinstance(metadata, dict):
        rest = {name: value for name, value in tree.items() if name != _METADATA}
        tree = {**{f"{_METADATA}.{name}": value for name, value in metadata.items()}, **rest}
    named = ((_name(name), value) for name, value in tree.items() if value not in (None, "", []))
    return {name: value for name, value in named if name}


def _name(name: str) -> str:
    return composed(name.strip())


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(
            text.encode()
        )  # Python and pandas write NaN, which JSON does not have, for a number that is missing


def _parquet(path: Path) -> Any:
    with from_extra("parquet"):
        import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path)


def _parquet_rows(path: Path) -> Iterator[TableRow]:
    file = _parquet(path)
    _check_header([_name(name) for name in file.schema_arrow.names], path)
    number = 0
    for batch in file.iter_batches(batch_size=256):
        for values in batch.to_pylist():
            number += 1
            yield TableRow(number, _named({name: _plain(value) for name, value in values.items()}))


def _plain(value: Any) -> Any:
    """Return a Parquet value in JSON's types. Bytes stay: a picture may be stored in the row."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
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
        raise BadSource(
            f"{path.name} names the column {doubles[0]!r} twice: rename one of them.", column=doubles[0]
        )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what the readers raise into ``BadSource``."""
    try:
        with readable(path):
            yield
    except ValueError as error:  # pyarrow's ArrowInvalid is one
        raise BadSource(f"{path.name} is not a table: {str(error)[:200]}") from error
