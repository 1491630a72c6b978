"""A folder of images, in order of name, and the ``metadata.csv|jsonl|parquet`` that Hugging Face image folders have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from indexer.records import ImageRecord, Source
from indexer.sources.archive import ArchiveSource
from indexer.sources.base import (
    HEAD,
    Passed,
    SourceOptions,
    has_image_extension,
    is_archive,
    is_hidden,
    looks_like_image,
    read_file,
    shown_name,
    utc,
)
from indexer.sources.joining import RowIndex, refused
from indexer.sources.rows import Columns
from indexer.sources.tables import is_table, open_table
from services.errors import BadSource, VitrineError
from services.payload import joined_kinds


class FolderSource(Source):
    """Every picture below a folder.

    Offered, and so indexed or refused by name: files with the extension of any picture format, read here or not (``.svg``,
    ``.heic``, ``.psd``, ``.pdf`` ...), and files that begin as a picture whatever they are called. Archives are opened in
    place. Anything else (texts, tables, licences) is counted but not offered; dot files and dot folders are not looked at.
    Links are followed, except into a folder that is being walked already.

    ``metadata.*`` in the folder, or in a folder directly below it, describes its pictures by ``file_name``; a row that names no
    picture is refused as ``image_missing``.
    """

    def __init__(self, folder: Path, options: SourceOptions) -> None:
        if not folder.is_dir():
            raise BadSource(f"There is no folder {folder}.")
        self._folder = folder
        self._options = options
        self._passed = Passed()
        self.name = folder.resolve().name or "folder"
        self._described = [index for below in ("", *_folders(folder)) for index in self._metadata(below)]
        self.indexes = joined_kinds(columns.indexes for _, columns in self._described)

    def __iter__(self) -> Iterator[ImageRecord]:
        for path in walk(str(self._folder)):
            filename = shown_name(os.path.relpath(path, self._folder))
            if is_archive(path):
                yield from self._archive(path, filename)
            elif _is_offered(path) or os.path.isdir(path):
                yield self._describe(self._record(path, filename))
            else:
                self._passed.add(path)
        for index, _ in self._described:
            for key in index.unused():
                message = f"{index.table.path.name} names it, but it is not there."
                yield refused(ImageRecord(self.name, key), "image_missing", message)

    @cached_property
    def total(self) -> int | None:
        """Counts names on first use, which takes a second a million files."""
        return sum(has_image_extension(path) for path in walk(str(self._folder)))

    def notes(self) -> list[str]:
        return [*self._passed.notes(), *(note for index, _ in self._described for note in index.notes())]

    def _record(self, path: str, filename: str) -> ImageRecord:
        limit = self._options.max_bytes
        created = utc(os.stat(path).st_mtime) if os.path.exists(path) else None
        return ImageRecord(self.name, filename, lambda: read_file(path, limit), created_at=created)

    def _archive(self, path: str, filename: str) -> Iterator[ImageRecord]:
        try:
            yield from ArchiveSource(Path(path), self._options, shown=filename, source=self.name)
        except VitrineError as error:
            yield refused(ImageRecord(self.name, filename), "unreadable_file", error.message)

    def _describe(self, record: ImageRecord) -> ImageRecord:
        for index, _ in self._described:
            record = record if record.refusal else index.apply(record.filename, record)
        return record

    def _metadata(self, below: str) -> Iterator[tuple[RowIndex, Columns]]:
        for suffix in ("csv", "jsonl", "parquet"):
            path = self._folder / below / f"metadata.{suffix}"
            if path.is_file() and path != self._options.metadata:
                table = open_table(path)
                columns = Columns.of(table, self._options)
                yield RowIndex(table, columns, "key", below=f"{below}/" if below else ""), columns


def _folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not is_hidden(entry.name))


def walk(folder: str, above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """Paths of all files below, sorted within each folder; ``above`` are the folders on the way, by device and inode."""
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError:
        yield folder  # refused by name when it is read as a file
        return
    for entry in entries:
        if is_hidden(entry.name):
            continue
        if entry.is_dir():
            yield from walk(entry.path, (*above, here))
        elif entry.is_file() or (entry.is_symlink() and has_image_extension(entry.name)):
            yield entry.path


def _is_offered(path: str) -> bool:
    if has_image_extension(path):
        return True
    if is_table(path):
        return False
    try:
        with open(path, "rb", buffering=0) as file:
            return looks_like_image(file.read(HEAD))
    except OSError:
        return False
