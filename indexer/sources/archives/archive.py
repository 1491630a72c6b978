"""Read images in ZIP, TAR, 7z and RAR archives in place: members are streamed one after another, nothing is
extracted to disk.

Python's tar extraction has known holes (CVE-2025-4517); here a member's name is only ever shown. An archive
within an archive is read too, one level deep. Bombs end at two limits: the size of a member, and the size of
all members together.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

from vitrine.indexer.sources.archives.members import Member, tar_members, zip_members, zip_name
from vitrine.indexer.sources.archives.rar import rar_members
from vitrine.indexer.sources.archives.sevenzip import sevenzip_members
from vitrine.indexer.sources.base import (
    ARCHIVES,
    HEAD,
    has_image_extension,
    is_archive,
    looks_like_image,
    read_head,
    read_stream,
    shown_name,
    shown_path,
    too_large,
)
from vitrine.indexer.sources.options import SourceOptions
from vitrine.indexer.sources.records import ImageRecord, Source
from vitrine.indexer.sources.skipped import Skipped
from vitrine.services.errors import BadSource, ImageRefused, VitrineError, because
from vitrine.services.images.walking import is_hidden

MAX_RATIO = 200
"""All members together may be this many times the archive: pictures hardly shrink, bombs shrink a
thousandfold and more."""
FREE_BYTES = 1_000_000_000
"""No ratio is asked below this size."""
_SPOOLED = 64_000_000
SEVENZIP, RAR = b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"
"""How these archives begin."""


@dataclass(frozen=True)
class _Place:
    """Where an archive lies: how the names of its members begin, and the folders above them that give tags
    and classes."""

    prefix: str = ""
    folders: tuple[str, ...] = ()


class ArchiveSource(Source):
    """The pictures of one archive, in its own order. Members are offered by the same rule as the files of
    ``FolderSource``.

    ``shown``: its name in the folder that it lies in, where that is the source, which then counts what is not
    offered in its ``skipped``. ``BadSource`` while iterating if the archive is damaged, cut short or a bomb:
    what came before stays indexed.
    """

    def __init__(
        self,
        path: Path,
        options: SourceOptions,
        *,
        shown: str = "",
        source: str = "",
        skipped: Skipped | None = None,
    ) -> None:
        self._path = path
        self._shown = shown_path(path.name)
        self._options = options
        self._place = self._within(shown, tuple(shown.split("/")[:-1])) if shown else _Place()
        self._skipped = Skipped(options.on_skipped) if skipped is None else skipped
        self.name = source or self._shown
        self.indexes = {}

    def __iter__(self) -> Iterator[ImageRecord]:
        with _faults(self._shown), open(self._path, "rb") as file:
            budget = _Budget(max(FREE_BYTES, MAX_RATIO * os.fstat(file.fileno()).st_size), self._shown)
            yield from self._records(file, self._shown, self._place, budget, nested=False)

    @property
    def total(self) -> int | None:
        """Return the number of pictures of a ZIP without archives in it, whose directory lists its members;
        None for anything else, which would have to be read."""
        try:
            with zipfile.ZipFile(self._path) as archive:
                names = [
                    name for name in map(zip_name, archive.infolist()) if not is_hidden(shown_name(name))
                ]
        except Exception:  # a damaged archive says so when it is read
            return None
        return None if any(map(is_archive, names)) else sum(map(has_image_extension, names))

    def notes(self) -> list[str]:
        return self._skipped.notes()

    @property
    def skipped(self) -> Mapping[str, int]:
        return self._skipped.counts

    def _records(
        self, file: IO[bytes], name: str, place: _Place, budget: _Budget, *, nested: bool
    ) -> Iterator[ImageRecord]:
        for member in _members(file, name, self._options.max_bytes):
            budget.take(member.size)
            shown = shown_name(member.name)
            folders = (*place.folders, *shown.split("/")[:-1])
            record = ImageRecord(self.name, place.prefix + shown, created_at=member.modified, folders=folders)
            if is_hidden(shown):
                self._skipped.add(record.filename, "hidden")
                continue
            if is_archive(member.name) and not nested:
                yield from self._nested(member, record, budget)
            elif is_archive(member.name):
                yield record.refused(
                    "unsupported_format", "It is an archive in an archive in an archive: unpack it."
                )
            else:
                yield from self._member(member, record)

    def _member(self, member: Member, record: ImageRecord) -> Iterator[ImageRecord]:
        offered = has_image_extension(member.name)
        try:
            if member.fault:
                raise ImageRefused("unreadable_file", member.fault)
            data = _read(member, self._options.max_bytes, whole=offered)
            if data is None:
                self._skipped.add(record.filename)
            else:
                yield replace(record, read=lambda: data)
        except ImageRefused as error:
            yield record.refused(error.reason, error.message)
        except Exception as error:  # whatever its library raises is of this member; the next may be sound
            yield record.refused("unreadable_file", f"The archive's member is damaged: {because(error)}.")

    def _nested(self, member: Member, record: ImageRecord, budget: _Budget) -> Iterator[ImageRecord]:
        """Yield the pictures of an archive within this one. It is spooled, since a ZIP must be read from its
        end."""
        try:
            if member.fault:
                raise BadSource(member.fault)
            with _faults(record.filename), tempfile.SpooledTemporaryFile(_SPOOLED) as file:
                with member.open() as stream:
                    while block := stream.read(1 << 20):
                        budget.take(len(block))
                        file.write(block)
                file.seek(0)
                # SpooledTemporaryFile is a whole file since Python 3.11, its type stub is older
                within = self._within(record.filename, record.folders or ())
                yield from self._records(cast(IO[bytes], file), record.filename, within, budget, nested=True)
        except BadSource as error:
            if budget.spent:
                raise
            yield record.refused("unreadable_file", error.message)

    def _within(self, shown: str, above: tuple[str, ...]) -> _Place:
        """Return the place of an archive of this name that lies in another source."""
        name = shown.rpartition("/")[2]
        suffix = next((suffix for suffix in ARCHIVES if name.lower().endswith(suffix)), "")
        own = (name[: len(name) - len(suffix)],) if self._options.archives_as_folders else ()
        return _Place(f"{shown}/", (*above, *own))


class _Budget:
    """Counts how many bytes an archive may still unfold to."""

    def __init__(self, total: int, name: str) -> None:
        self._left = total
        self._name = name

    @property
    def spent(self) -> bool:
        return self._left < 0

    def take(self, size: int) -> None:
        """Count bytes; raises ``BadSource`` once all is spent."""
        self._left -= size
        if self.spent:
            raise BadSource(
                f"{self._name} unfolds to more than {MAX_RATIO} times its size, as bombs do: unpack it "
                "yourself."
            )


def _read(member: Member, max_bytes: int, *, whole: bool) -> bytes | None:
    """Return the bytes of a member; None if not all of it is wanted (``whole``) and it does not begin as a
    picture."""
    with member.open() as stream:
        head = stream.read(HEAD)
        if not whole and not looks_like_image(head):
            return None
        if member.size > max_bytes:
            raise too_large(member.name, max_bytes)
        return head + read_stream(stream, max_bytes - len(head), member.name)


def _members(file: IO[bytes], name: str, max_bytes: int) -> Iterator[Member]:
    # by its beginning: a TAR that ends with a ZIP would pass for one by its end
    head = file.read(len(SEVENZIP))
    file.seek(0)
    if head.startswith(SEVENZIP) or name.lower().endswith(".7z"):
        return sevenzip_members(file, max_bytes)
    if head.startswith(RAR) or name.lower().endswith(".rar"):
        return rar_members(file)
    if head.startswith(b"PK") or name.lower().endswith(".zip"):
        return zip_members(file)
    if name.lower().endswith((".zst", ".tzst")):
        raise BadSource(
            f"{name} is compressed with Zstandard, which this Python does not read: unpack it first "
            "(zstd -d)."
        )
    return tar_members(file, max_bytes)


@contextmanager
def _faults(name: str) -> Iterator[None]:
    """Turn what archives raise into ``BadSource``."""
    try:
        yield
    except VitrineError:
        raise
    except Exception as error:
        raise BadSource(f"{name} is no readable archive: {because(error)}.") from error


def is_archive_file(path: Path) -> bool:
    """Return whether a file is an archive, by name or by content."""
    return (
        is_archive(path.name)
        or read_head(str(path)).startswith((SEVENZIP, RAR))
        or zipfile.is_zipfile(path)
        or (os.path.getsize(path) >= 512 and tarfile.is_tarfile(path))
    )
