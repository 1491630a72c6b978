"""Tables of text with separators, by whatever program: their encoding, separator, header and numbers."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import IO, Literal

from vitrine.services.errors import BadSource
from vitrine.services.files import reason
from vitrine.services.values.words import composed

SEPARATORS = ",;\t|"
_NONE = "\x1f"
"""The separator of a table with one column: a character that no table contains."""
_HEAD = 64_000
_MAX_CELL = 10_000_000
_DECIMAL = re.compile(r"[-+]?([0-9]*|[0-9]{1,3}(\.[0-9]{3})+),[0-9]+([eE][-+]?[0-9]+)?")
_GROUPED = re.compile(r"[-+]?[1-9][0-9]{0,2}(\.[0-9]{3})+")
_EITHER = re.compile(r"[-+]?[1-9][0-9]{0,2}[.,][0-9]{3}")
_POINT = re.compile(r"[-+]?[0-9]*\.[0-9]+([eE][-+]?[0-9]+)?")


def open_text(path: Path, *, errors: str = "strict") -> IO[str]:
    """Open a text in UTF-8, or in UTF-16 as its mark or the zero byte of its first letter shows. Reading may
    raise ``UnicodeDecodeError``."""
    with open(path, "rb") as file:
        start = file.read(2)
    if start in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif len(start) == 2 and 0 in start:
        encoding = "utf-16-le" if start[1] == 0 else "utf-16-be"
    else:
        encoding = "utf-8-sig"
    return open(path, encoding=encoding, errors=errors, newline="")


class Cells:
    """The rows of an open table. ``header``: the names of its columns, trimmed; some may be empty.
    ``number``: of the last line that was read, from 1."""

    def __init__(self, file: IO[str]) -> None:
        csv.field_size_limit(_MAX_CELL)
        head = file.read(_HEAD)
        file.seek(0)
        self.separator = _separator(head)
        self._reader = csv.reader(file, delimiter=self.separator)
        first = next(self._reader, [])
        if first and first[0].lower().startswith("sep=") and not any(first[1:]):  # Excel names it so
            first = next(self._reader, [])
        self.header = [composed(name.strip()) for name in first]

    def __iter__(self) -> Iterator[list[str]]:
        """Yield the trimmed cells of each row that is not blank, without empty ones past the header."""
        for cells in self._reader:
            while len(cells) > len(self.header) and not cells[-1].strip():
                cells.pop()
            if cells:
                yield [cell.strip() for cell in cells]

    @property
    def number(self) -> int:
        return self._reader.line_num


def named_rows(
    path: Path, needed: Sequence[str], more: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each row, and its cells in the ``needed`` columns and in as many of ``more`` as the
    table has, in whatever case their names are written; missing cells are "". ``BadSource`` for a needed
    column that the table lacks, and for a file that is not a table."""
    with readable(path), open_text(path) as file:
        rows = Cells(file)
        for name in needed:
            if find_column(name, rows.header) is None:
                shown = ", ".join(filter(None, rows.header)) or "none"
                raise BadSource(f"{path.name} has no column {name!r}; it has: {shown}.", column=name)
        columns = {name: column for name in (*needed, *more) if (column := find_column(name, rows.header))}
        for cells in rows:
            row = dict(zip_longest(rows.header, cells[: len(rows.header)], fillvalue=""))
            yield rows.number, {name: row[column] for name, column in columns.items()}


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise ``BadSource`` for what reading such a table raises."""
    try:
        yield
    except UnicodeError as error:
        raise BadSource(
            f"{path.name} is neither in UTF-8 nor in UTF-16, but in an older encoding such as Latin-1: "
            "save it as UTF-8 (in Excel: CSV UTF-8)."
        ) from error
    except csv.Error as error:
        raise BadSource(f"{path.name} is not a CSV table: {error}.") from error
    except OSError as error:
        raise BadSource(f"{path.name} cannot be read: {reason(error)}.") from error


def find_column(name: str, columns: Collection[str]) -> str | None:
    """Return the column of this name: as it is written, else in any case, with or without spaces, hyphens and
    underscores. None: there is none.

    >>> find_column("file_name", ["ID", "File Name"]), find_column("tags", ["Tags", "tags"])
    ('File Name', 'tags')
    """
    name = composed(name.strip())
    if name in columns:
        return name
    return next((column for column in columns if _bare(column) == _bare(name)), None)


def find_any(names: Sequence[str], columns: Collection[str]) -> str | None:
    """Return the column of the first of these names that the table has; one that is written exactly so goes
    first."""
    exact = next((name for name in names if name in columns), None)
    return exact or next((found for name in names if (found := find_column(name, columns))), None)


def with_point(text: str) -> str:
    """Return a number with a decimal comma with a point instead; other text as it is.

    >>> [with_point(text) for text in ("12,5", "1.234,50", "1.234", "1,2,3", "0.5")]
    ['12.5', '1234.50', '1234', '1,2,3', '0.5']
    """
    if _DECIMAL.fullmatch(text) or _GROUPED.fullmatch(text):
        return text.replace(".", "").replace(",", ".")
    return text


def comma_says(text: str) -> Literal["comma", "point", "either", "nothing"]:
    """Return how a cell shows that its table writes numbers; 1,234 and 1.234 may be fractions or thousands.

    >>> [comma_says(text) for text in ("12,5", "1.234,50", "12.5", "1,234", "1.234", "12")]
    ['comma', 'comma', 'point', 'either', 'either', 'nothing']
    """
    if _EITHER.fullmatch(text):
        return "either"
    if _DECIMAL.fullmatch(text):
        return "comma"
    return "point" if _POINT.fullmatch(text) else "nothing"


def _separator(head: str) -> str:
    """Return the separator: the one that the table names, else the most frequent mark outside of quotes in
    its header, which may have several lines."""
    named = re.match(r'"?sep=(.)"?\r?\n', head, re.IGNORECASE)
    if named:
        return named[1]
    bare = re.sub(r'"[^"]*"', "", head)
    header = re.split(r"[\r\n]", bare.lstrip("\r\n"), maxsplit=1)[0]
    return max(SEPARATORS, key=header.count) if any(mark in header for mark in SEPARATORS) else _NONE


def _bare(name: str) -> str:
    return re.sub(r"[\s_-]+", "", composed(name).casefold())
