"""Read a table that names the images to index, one a row: CSV, JSON lines or Parquet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vitrine.indexer.sources.base import file_record, shown_name, shown_path
from vitrine.indexer.sources.joining import described
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.paths import ImagePaths
from vitrine.indexer.sources.patience import Patience
from vitrine.indexer.sources.records import ImageRecord, Source
from vitrine.indexer.sources.rows import PATH_COLUMNS, Columns
from vitrine.indexer.sources.tables import open_table
from vitrine.indexer.sources.urls.named import URL_COLUMNS, url_record
from vitrine.services.download.downloader import Downloader
from vitrine.services.download.urls import is_url
from vitrine.services.errors import BadRequest, BadSource, because
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.values.delimited import find_any
from vitrine.services.values.words import spellings


class ManifestSource(Source):
    """The pictures that a table names by path, relative to its folder or ``options.root``, by URL, or by
    object key (column ``key``).

    A Parquet column may hold the picture itself, as ``{"bytes", "path"}``. A path that leads out of the
    folder is ``bad_row``, a picture that is not there ``image_missing``. Windows paths are understood;
    see ``ImagePaths``.
    """

    def __init__(
        self,
        path: Path,
        options: SourceOptions,
        objects: ObjectStore | None = None,
        patience: Patience | None = None,
        downloads: Downloader | None = None,
    ) -> None:
        if options.root is not None and not options.root.is_dir():
            raise BadSource(
                f"There is no folder {options.root}, which the paths of {path.name} are to be relative "
                "to (--root)."
            )
        self._table = open_table(path)
        self._columns = Columns.of(self._table, options, keys=(*PATH_COLUMNS, *URL_COLUMNS))
        self._paths = ImagePaths(os.path.abspath(options.root or path.parent))
        self._max_bytes = options.max_bytes
        self._patience = patience or Patience(0)
        self._downloads = downloads
        self._objects = objects if self._columns.key == "key" and options.path_column is None else None
        if self._columns.key == "key" and options.path_column is None and objects is None:
            raise BadSource(
                f"{path.name} names objects by key, but there is no object store: use a path column."
            )
        self.name = shown_name(path.name)
        self.indexes = self._columns.indexes
        self.columns = self._table.columns

    def __iter__(self) -> Iterator[ImageRecord]:
        for row in self._columns.rows(self._table):
            try:
                record = self._record(row.values, row.number)
            except (OSError, ValueError, TypeError) as error:  # a path or an object that no system could have
                unnamed = ImageRecord(self.name, f"row-{row.number}")
                record = unnamed.refused("bad_row", f"{self.name}, row {row.number}: {because(error)}.")
            yield (
                record
                if record.refusal and not row.fault
                else described(record, row, self._columns, self._table)
            )

    @property
    def total(self) -> int | None:
        return self._table.count

    @property
    def readers(self) -> int:
        first = next(iter(self._columns.rows(self._table)), None)
        cell = None if first is None else first.values.get(self._columns.key)
        named = isinstance(cell, str) and self._is_url(cell)
        return self._downloads.readers if self._downloads is not None and named else super().readers

    def notes(self) -> list[str]:
        return self._table.notes_but(self._columns.written)

    def _record(self, values: Mapping[str, Any], number: int) -> ImageRecord:
        cell = values.get(self._columns.key)
        if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes):
            data: bytes = cell["bytes"]
            return ImageRecord(self.name, shown_name(cell.get("path") or f"row-{number}"), lambda: data)
        if not isinstance(cell, str) or not cell:
            unnamed = ImageRecord(self.name, f"row-{number}")
            return unnamed.refused("bad_row", f"{self.name}, row {number} names no picture.")
        if self._objects:
            return self._object(cell, self._objects)
        if self._is_url(cell):
            return url_record(self.name, cell, self._downloads, self._patience.ended)
        return self._file(cell, number)

    def _is_url(self, cell: str) -> bool:
        return is_url(cell) or find_any(URL_COLUMNS, [self._columns.key]) is not None

    def _file(self, cell: str, number: int) -> ImageRecord:
        path = self._paths.find(cell)
        if path is None:
            reason = f"{self.name}, row {number}: {self._paths.refusal(cell)}."
            return ImageRecord(self.name, shown_name(cell)).refused("bad_row", reason)
        filename = shown_path(os.path.relpath(path, self._paths.root))
        record = file_record(self.name, path, filename, self._max_bytes)
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            message = f"{self.name}, row {number} names it, but it is not there."
            return record.refused("image_missing", message)
        except OSError as error:
            message = f"{self.name}, row {number} names it, but it cannot be read: {because(error)}."
            return record.refused("unreadable_file", message)
        return record

    def _object(self, cell: str, objects: ObjectStore) -> ImageRecord:
        record, refused = ImageRecord(self.name, shown_name(cell)), ""
        for key in spellings(cell):
            try:
                stat = self._patience.call(partial(objects.stat, key))
            except BadRequest as error:
                refused = refused or error.message
                continue
            if stat is not None:
                created = stat.modified.isoformat(timespec="seconds")
                return replace(record, read=partial(objects.get, key), created_at=created)
        if refused:
            return record.refused("bad_row", refused)
        return record.refused("image_missing", f"There is no object {cell!r}.")
