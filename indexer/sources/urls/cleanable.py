"""Read a list or table of URLs row by row, so that the rows that are kept can be written as they were."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import orjson

from vitrine.indexer.sources.rows import PATH_COLUMNS
from vitrine.indexer.sources.urls.lists import url_lines
from vitrine.indexer.sources.urls.named import URL_COLUMNS
from vitrine.services.errors import BadSource
from vitrine.services.values.delimited import Cells, find_any, find_column, open_text, readable

_COLUMNS = (*URL_COLUMNS, *PATH_COLUMNS)
_DELIMITED, _LINES = (".csv", ".tsv"), (".jsonl", ".ndjson")


@dataclass(frozen=True)
class UrlRow:
    """One row: its ``number`` as an editor counts, the URL in it ("" where it has none), and the row as it is
    written again, with its line end."""

    number: int
    url: str
    text: str


@dataclass(frozen=True)
class UrlRows:
    """An open list: what stands before its first row, and the rows."""

    heading: str
    rows: Iterator[UrlRow]


@contextmanager
def open_rows(path: Path, column: str | None) -> Iterator[UrlRows]:
    """Open a text with a URL a line, a CSV table, or JSON lines. ``column``: the one with the URLs; None:
    url, image_url, or one that names pictures by path. Raises ``BadSource`` if there is no such column, or
    the file cannot be read."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        raise BadSource(f"{path.name}: save the table as CSV or JSON lines to clean its URLs.")
    with readable(path), open_text(path) as file:
        if suffix in _DELIMITED:
            cells = Cells(file)
            found = _column(path, column, cells.header)
            yield UrlRows(_delimited(cells.header, cells.separator), _table_rows(cells, found))
        elif suffix in _LINES:
            yield UrlRows("", _json_rows(path, column))
        else:
            yield UrlRows("", (UrlRow(number, line, f"{line}\n") for number, line in url_lines(path)))


def _table_rows(cells: Cells, column: str) -> Iterator[UrlRow]:
    for row in cells:
        named = dict(zip_longest(cells.header, row[: len(cells.header)], fillvalue=""))
        yield UrlRow(cells.number, named[column], _delimited(row, cells.separator))


def _json_rows(path: Path, column: str | None) -> Iterator[UrlRow]:
    for number, line in url_lines(path):
        try:
            tree = orjson.loads(line)
        except orjson.JSONDecodeError:
            tree = None
        columns = tree if isinstance(tree, dict) else {}
        name = find_any(_COLUMNS, columns) if column is None else find_column(column, columns)
        url = columns.get(name) if name is not None else None
        yield UrlRow(number, url if isinstance(url, str) else "", f"{line}\n")


def _column(path: Path, wanted: str | None, columns: list[str]) -> str:
    found = find_any(_COLUMNS, columns) if wanted is None else find_column(wanted, columns)
    if found is None:
        asked = f"column {wanted!r}" if wanted else f"column {' or '.join(URL_COLUMNS)}"
        shown = ", ".join(filter(None, columns)) or "none"
        raise BadSource(f"{path.name} has no {asked} (--path-column names another one); it has: {shown}.")
    return found


def _delimited(cells: list[str], separator: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=separator, lineterminator="\n").writerow(cells)
    return line.getvalue()
