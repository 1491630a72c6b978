"""Read a folder of images, in order of name, and the ``metadata.csv|jsonl|parquet`` of Hugging Face image
folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from vitrine.indexer.sources.archives.archive import ArchiveSource
from vitrine.indexer.sources.base import (
    file_record,
    has_image_extension,
    is_archive,
    looks_like_image,
    read_head,
    relative,
    shown_path,
)
from vitrine.indexer.sources.joining import RowIndex
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.records import ImageRecord, Source
from vitrine.indexer.sources.rows import Columns
from vitrine.indexer.sources.skipped import Skipped
from vitrine.indexer.sources.tables import is_table, open_table
from vitrine.services.category.payload import joined_kinds
from vitrine.services.errors import BadSource, VitrineError, because
from vitrine.services.images.walking import Found, is_hidden, walk


class Watch(Protocol):
    """Whoever knows a folder from before: what has not changed is not read again."""

    def unchanged(self, path: str) -> tuple[str, ...] | None:
        """Return the names of the pictures that a file had when it was read; None if it is new or changed."""
        ...

    def passed(self, path: str, pictures: tuple[str, ...]) -> None:
        """A file that has not changed is not read."""
        ...

    def begun(self, path: str) -> None:
        """A file is read: what is offered until ``ended`` is of it."""
        ...

    def offered(self, name: str) -> None:
        """A record of this file name is given to whoever reads the source."""
        ...

    def ended(self) -> None: ...

    def unseen(self, path: str) -> None:
        """A file or folder cannot be looked at, so nobody knows what is in it."""
        ...


class FolderSource(Source):
    """Every picture below a folder.

    Offered, and so indexed or refused by name: files with the extension of any picture format, read here or
    not (``.svg``, ``.heic``, ``.psd``, ``.pdf`` ...), and files that begin as a picture whatever they are
    called. Archives are opened in place. Anything else (texts, tables, licences) is counted but not offered;
    dot files and dot folders are not looked at. Links are followed, to each folder once. ``options.without``,
    Vitrine's own data, is left out where it lies inside. What cannot be read is refused by name.

    ``metadata.*`` in the folder, or in a folder directly below it, describes its pictures by ``file_name``; a
    row that names no picture is refused as ``image_missing``.

    ``watch``: files that it knows to be unchanged are not offered.
    """

    def __init__(self, folder: Path, options: SourceOptions, watch: Watch | None = None) -> None:
        if not folder.is_dir():
            raise BadSource(f"There is no folder {folder}.")
        self._folder = folder
        self._options = options
        self._watch = watch
        self._skipped = Skipped(options.on_skipped)
        self._again = 0
        self._left_out = False
        self.name = shown_path(os.path.basename(os.path.realpath(folder)) or "folder")
        self._described = [index for below in ("", *_folders(folder)) for index in self._metadata(below)]
        self.indexes = joined_kinds(columns.indexes for _, columns in self._described)

    def __iter__(self) -> Iterator[ImageRecord]:
        for record in self._offers():
            if self._watch:
                self._watch.offered(record.filename)
            yield record

    def _offers(self) -> Iterator[ImageRecord]:
        for found in self._walk(self._hidden):
            yield from self._records(found)
        for index, _ in self._described:
            for key in index.unused():
                message = f"{index.table.path.name} names it, but it is not there."
                yield ImageRecord(self.name, key).refused("image_missing", message)

    @cached_property
    def total(self) -> int | None:
        """Looks at every name on first use, which takes a second a million files. None where an archive does
        not know."""
        total = 0
        for found in self._walk():
            if self._known(found) is not None:
                continue
            inside = (
                ArchiveSource(Path(found.path), self._options).total
                if _is_archive(found)
                else int(_is_offered(found))
            )
            if inside is None:
                return None
            total += inside
        return total

    def notes(self) -> list[str]:
        links = f"{self._again} links lead" if self._again > 1 else "1 link leads"
        again = [f"{links} to folders that were read already."] if self._again else []
        own = ["The data folder of Vitrine lies in this folder and was left out."] if self._left_out else []
        return [
            *self._skipped.notes(),
            *again,
            *own,
            *(note for index, _ in self._described for note in index.notes()),
        ]

    @property
    def skipped(self) -> Mapping[str, int]:
        return self._skipped.counts

    @property
    def tables(self) -> list[Path]:
        """Return the tables that describe its pictures."""
        return [index.table.path for index, _ in self._described]

    def _walk(self, hidden: Callable[[str], object] = lambda path: None) -> Iterator[Found]:
        without = self._options.without
        left_out = str(without) if without else None
        return walk(str(self._folder), has_image_extension, without=left_out, hidden=hidden)

    def _shown(self, path: str) -> str:
        return shown_path(relative(path, str(self._folder)))

    def _hidden(self, path: str) -> None:
        self._skipped.add(self._shown(path), "hidden")

    def _known(self, found: Found) -> tuple[str, ...] | None:
        """Return the pictures of a file that has not changed since it was read."""
        if self._watch is None or found.fault or found.again or found.left_out:
            return None
        return self._watch.unchanged(found.path)

    def _records(self, found: Found) -> Iterator[ImageRecord]:
        if found.left_out:
            self._left_out = True
        elif found.again:
            self._again += 1
        elif found.fault:
            if self._watch:
                self._watch.unseen(found.path)
            yield ImageRecord(self.name, self._shown(found.path)).refused("unreadable_file", found.fault)
        elif (pictures := self._known(found)) is not None:
            self._pass(found.path, pictures)
        else:
            if self._watch:
                self._watch.begun(found.path)
            yield from self._read(found, self._shown(found.path))
            if self._watch:
                self._watch.ended()

    def _pass(self, path: str, pictures: tuple[str, ...]) -> None:
        if self._watch:
            self._watch.passed(path, pictures)
        if not pictures:
            self._skipped.add(self._shown(path))
        for index, _ in self._described:
            index.use(pictures)

    def _read(self, found: Found, filename: str) -> Iterator[ImageRecord]:
        if _is_archive(found):
            yield from self._archive(found.path, filename)
        elif _is_offered(found):
            record = file_record(self.name, found.path, filename, self._options.max_bytes)
            yield self._describe(record)
        else:
            self._skipped.add(filename)

    def _archive(self, path: str, filename: str) -> Iterator[ImageRecord]:
        try:
            yield from self._opened(path, filename)
        except VitrineError as error:
            yield ImageRecord(self.name, filename).refused("unreadable_file", error.message)

    def _opened(self, path: str, filename: str) -> ArchiveSource:
        return ArchiveSource(
            Path(path), self._options, shown=filename, source=self.name, skipped=self._skipped
        )

    def _describe(self, record: ImageRecord) -> ImageRecord:
        for index, _ in self._described:
            record = record if record.refusal else index.apply(record.filename, record)
        return record

    def _metadata(self, below: str) -> Iterator[tuple[RowIndex, Columns]]:
        for suffix in ("csv", "jsonl", "parquet"):
            path = self._folder / below / f"metadata.{suffix}"
            if os.path.isfile(path) and path != self._options.metadata:
                table = open_table(path)
                columns = Columns.of(table, self._options)
                yield RowIndex(table, columns, "key", below=f"{below}/" if below else ""), columns


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return sorted(
                entry.name for entry in found if not is_hidden(entry.name) and os.path.isdir(entry.path)
            )
    except OSError as error:
        raise BadSource(f"{shown_path(folder.name)} cannot be read: {because(error)}.") from error


def _is_archive(found: Found) -> bool:
    return not (found.fault or found.again or found.left_out) and is_archive(found.path)


def _is_offered(found: Found) -> bool:
    """Return whether the file is a picture, by its name or by its first bytes; what cannot be read is offered
    too, and refused by name."""
    if found.again or found.left_out:
        return False
    if found.fault or has_image_extension(found.path):
        return True
    if is_table(found.path):
        return False
    try:
        return looks_like_image(read_head(found.path))
    except OSError:
        return not PurePosixPath(found.path).suffix
