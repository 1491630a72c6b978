"""Exports the payloads of images as one file: JSON, CSV, Parquet or SQLite. Images are read page by page."""

from __future__ import annotations

import csv
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from vitrine.indexer.export.common import ExportReport, pages
from vitrine.indexer.export.sqlite import ENDINGS, write_sqlite
from vitrine.indexer.job.job import Job
from vitrine.indexer.job.progress import Progress
from vitrine.services.artifacts.maps import AXES
from vitrine.services.category.fields import FIELDS, INTERNAL
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Payload
from vitrine.services.errors import BadRequest, Unavailable
from vitrine.services.extras import from_extra
from vitrine.services.files import make_folder, unwritable
from vitrine.services.runtime import Runtime
from vitrine.services.search.score_validity import explained
from vitrine.services.values.field_paths import field_path, path_keys, value_at

FORMATS = (".json", ".csv", ".parquet", *ENDINGS)
ROW_GROUP = 5_000
"""Rows of a Parquet row group."""
SEPARATOR = "|"
"""Between the values of a list in one CSV cell; `vitrine index add` reads it in the same way."""
FIRST = ("id", "filename", "class", "tags", "scores", "quality")
_OPEN = (*(field.family for field in FIELDS if field.family and field.export), "cluster", "map")
_FRACTIONS = frozenset(field.family or field.name for field in FIELDS if field.holds == "float")
Row = dict[str, Any]
Rows = Iterator[list[Row]]


def export_table(
    runtime: Runtime,
    category: str,
    path: Path,
    *,
    conditions: Conditions,
    by_tag: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> ExportReport:
    """Write a row for each image, in order of id, in the format of the path's ending: .json, .csv, .parquet
    or .sqlite.

    JSON: a list of ``{"id", "filename", "class", "tags", "scores": {tag: 0..1}, "quality", ..., "cluster":
    {run: node}, "map": {name: {"x", "y"}}}``. CSV and Parquet have columns such as ``scores.<tag>``,
    ``metadata.<column>``, ``cluster.<run>`` (the id of the leaf) and ``map.<name>.x``, with the names that
    filters use, of the runs and maps in service; a list is one cell of CSV with ``|`` between, and a list in
    Parquet. For the tables of SQLite see sqlite.py. ``by_tag``: a JSON object ``{tag: [sha256, ...]}``
    instead. An existing file is replaced at the end, in one step, and stays if the export is interrupted.
    """
    if by_tag and path.suffix.lower() != ".json":
        raise BadRequest(f"Hashes by tag are JSON: let the name of {path} end in .json.")
    if path.suffix.lower() not in FORMATS:
        raise BadRequest(f"The format of {path} is not known: let its name end in {', '.join(FORMATS)}.")
    report = ExportReport(category, str(path))
    total = runtime.searcher.count(category, conditions)
    writers: dict[str, Callable[[Path, Callable[[bool], Rows]], None]] = {
        ".json": _write_by_tag if by_tag else _write_json,
        ".csv": _write_csv,
        ".parquet": _write_parquet,
        **dict.fromkeys(ENDINGS, lambda path, rows: write_sqlite(path, rows(True))),
    }
    job = Job(runtime, category, report, progress, stop)
    places = _Places(
        {run.run: run.payload_field for run in runtime.clusters.in_service(category)},
        {made.name: made.payload_field for made in runtime.maps.in_service(category)},
    )
    unsettled = runtime.taggers.unsettled(category)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")

    def rows(counting: bool) -> Rows:
        """Yield the rows, a page at a time; with ``counting`` they count as exported."""
        for page in pages(runtime, category, conditions):
            job.check()
            yield [_row(hit.id, explained(hit.payload, unsettled), places) for hit in page]
            if counting:
                report.images += len(page)
                advance(report.images, total)

    with job.running(keep_errors=True), job.stage("exporting", total) as advance:
        try:
            make_folder(path.parent)
            writers[path.suffix.lower()](temporary, rows)
            os.replace(temporary, path)
        except (ValueError, TypeError) as error:  # a column holds other values than when its kind was found
            raise Unavailable("Images were changed while they were exported: run it again.") from error
        except InterruptedError:  # an OSError, but not of the file
            raise
        except OSError as error:
            raise unwritable(path, error) from error
        finally:
            with suppress(OSError):
                temporary.unlink()
    return report


@dataclass(frozen=True)
class _Places:
    """The payload fields of the runs and maps in service, by name."""

    runs: Mapping[str, str]
    maps: Mapping[str, str]

    def of(self, payload: Payload) -> Row:
        """Return the leaf of an image in each run, and its place on each map."""
        paths = {name: value_at(payload, field) for name, field in self.runs.items()}
        points = {name: value_at(payload, field) for name, field in self.maps.items()}
        return {
            "cluster": {name: path[-1] for name, path in paths.items() if path},
            "map": {name: point for name, point in points.items() if point},
        }


def _row(id: str, payload: Payload, places: _Places) -> Row:
    row: Row = {"id": id} | {name: payload.get(name) for name in FIRST[1:]}
    row["tags"], row["scores"] = row["tags"] or [], row["scores"] or {}
    rest = sorted(payload.keys() - row.keys() - INTERNAL)
    return row | {name: payload[name] for name in rest} | places.of(payload)


# JSON
# ------------------------------------------------------------------------------------------------------------


def _write_json(path: Path, rows: Callable[[bool], Rows]) -> None:
    with path.open("wb") as file:
        file.write(b"[")
        for number, page in enumerate(rows(True)):
            for position, row in enumerate(page):
                file.write(b"\n" if number == position == 0 else b",\n")
                file.write(orjson.dumps(row))
        file.write(b"\n]\n")


def _write_by_tag(path: Path, rows: Callable[[bool], Rows]) -> None:
    """Write the SHA-256 of the files by tag, as taggers of older systems read them. Memory: one hash for each
    tag of each image."""
    hashes: dict[str, list[str]] = {}
    for page in rows(True):
        for row in page:
            for tag in row["tags"]:
                hashes.setdefault(tag, []).append(row["sha256"])
    path.write_bytes(orjson.dumps(hashes, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


# Columns
# ------------------------------------------------------------------------------------------------------------


@dataclass
class _Column:
    """The types of the values in one column, and whether there are lists."""

    kinds: set[type] = field(default_factory=set)
    lists: bool = False

    def see(self, value: Any) -> None:
        self.lists |= isinstance(value, list)
        self.kinds |= {type(item) for item in (value if isinstance(value, list) else [value])}


def _flat(row: Row) -> Row:
    """Return a row with one level of columns: ``scores.<tag>``, ``cluster.<run>``, ``map.<name>.x`` ..."""
    flat: Row = {}
    for name, value in row.items():
        if name in _OPEN and isinstance(value, Mapping):
            for key, inner in value.items():
                if name == "map":
                    flat |= {f"{name}.{key}.{axis}": inner.get(axis) for axis in AXES}
                else:
                    flat[_column_name(name, key)] = inner
        elif value is not None:
            flat[name] = value
    return flat


def _column_name(name: str, key: str) -> str:
    """Return ``scores.St. Moritz``. A name that has quotes of its own is quoted as in a path, since it would
    be read back without them."""
    keys = path_keys(key)
    return field_path(name, key) if len(keys) == 1 and keys != (key,) else f"{name}.{key}"


def _columns(rows: Rows) -> dict[str, _Column]:
    """Return all columns, in the order of a row, with the columns of one object next to each other."""
    seen: dict[str, _Column] = {name: _Column() for name in FIRST if name != "scores"}
    seen["tags"].lists = True
    for page in rows:
        for row in page:
            for name, value in _flat(row).items():
                seen.setdefault(name, _Column()).see(value)
    plain = [name for name in seen if name.partition(".")[0] not in _OPEN]
    opened = sorted(
        (name for name in seen if name not in plain),
        key=lambda name: (_OPEN.index(name.partition(".")[0]), name),
    )
    return {name: seen[name] for name in [*plain, *opened]}


def _write_csv(path: Path, rows: Callable[[bool], Rows]) -> None:
    columns = list(_columns(rows(False)))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for page in rows(True):
            writer.writerows({name: _cell(value) for name, value in _flat(row).items()} for row in page)


def _cell(value: Any) -> Any:
    if isinstance(value, list) and all(not isinstance(item, list | dict) for item in value):
        joined = SEPARATOR.join(str(item) for item in value)
        # a lone value with a comma, and one with a bar, would be read as several
        clear = (len(value) > 1 and joined.count(SEPARATOR) == len(value) - 1) or not any(
            mark in joined for mark in "|;,"
        )
        return joined if clear and not joined.startswith("[") else orjson.dumps(value).decode()
    if isinstance(value, list | dict):
        return orjson.dumps(value).decode()
    return str(value).lower() if isinstance(value, bool) else value


# Parquet
# ------------------------------------------------------------------------------------------------------------


def _write_parquet(path: Path, rows: Callable[[bool], Rows]) -> None:
    with from_extra("parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

    kinds = {name: _kind(name, column) for name, column in _columns(rows(False)).items()}
    schema = pa.schema([pa.field(name, _arrow(pa, kind)) for name, kind in kinds.items()])
    with path.open("wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(rows(True)):
            arrays = [
                pa.array([_fitted(row.get(name), kind) for row in group], field.type)
                for (name, kind), field in zip(kinds.items(), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=ROW_GROUP)


def _groups(rows: Rows) -> Iterator[list[Row]]:
    group: list[Row] = []
    for page in rows:
        group += map(_flat, page)
        if len(group) >= ROW_GROUP:
            yield group
            group = []
    if group:
        yield group


def _kind(name: str, column: _Column) -> str:
    """Return bool, integer, float, text, texts (a list) or json (anything else, as text)."""
    if column.lists:
        return "texts" if column.kinds <= {str} else "json"
    if name.partition(".")[0] in _FRACTIONS:
        return "float"
    if column.kinds == {bool}:
        return "bool"
    if column.kinds == {int}:
        return "integer"
    if column.kinds and column.kinds <= {int, float}:
        return "float"
    return "text" if column.kinds <= {str} else "json"


def _arrow(pa: Any, kind: str) -> Any:
    plain = {"bool": pa.bool_(), "integer": pa.int64(), "float": pa.float64(), "texts": pa.list_(pa.string())}
    return plain.get(kind, pa.string())


def _fitted(value: Any, kind: str) -> Any:
    if value is None or kind in ("bool", "integer", "text"):
        return value
    if kind == "texts":
        return value if isinstance(value, list) else [value]
    return float(value) if kind == "float" else orjson.dumps(value).decode()
