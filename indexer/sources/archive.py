"""Images in ZIP and TAR archives, read in place: members are streamed one after another, nothing is extracted to disk.

Python's tar extraction has known holes (CVE-2025-4517); here a member's name is only ever shown. An archive within an archive is
read too, one level deep. Bombs end at two limits: the size of a member, and the size of all members together.
"""

from __future__ import annotations

import lzma
import os
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

from indexer.records import ImageRecord, Source
from indexer.sources.base import (
    HEAD,
    Passed,
    SourceOptions,
    has_image_extension,
    is_archive,
    is_hidden,
    looks_like_image,
    read_stream,
    shown_name,
    utc,
)
from indexer.sources.joining import refused
from services.errors import BadSource, ImageRefused

MAX_RATIO = 200
"""All members together may be this many times the archive: pictures hardly shrink, bombs shrink a thousandfold and more."""
FREE_BYTES = 1_000_000_000
"""No ratio is asked below this size."""
_SPOOLED = 64_000_000
_FAULTS = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class _Member:
    """One file of an archive. ``size`` is what the archive says, which may be a lie. ``fault``: why it cannot be read."""

    name: str
    size: int
    modified: str | None
    open: Callable[[], IO[bytes]]
    fault: str | None = None


class ArchiveSource(Source):
    """The pictures of one archive, in its own order. Which members are offered is the rule of ``FolderSource``.

    ``BadSource`` while iterating if the archive is damaged, cut short or a bomb: what came before stays indexed.
    """

    def __init__(self, path: Path, options: SourceOptions, *, shown: str = "", source: str = "") -> None:
        self._path = path
        self._options = options
        self._prefix = f"{shown}/" if shown else ""
        self._passed = Passed()
        self.name = source or shown_name(path.name)
        self.indexes = {}

    def __iter__(self) -> Iterator[ImageRecord]:
        budget = _Budget(max(FREE_BYTES, MAX_RATIO * self._path.stat().st_size), self._path.name)
        with _faults(self._path.name), open(self._path, "rb") as file:
            yield from self._records(file, self._path.name, self._prefix, budget, nested=bool(self._prefix))

    @property
    def total(self) -> int | None:
        """Known for a ZIP, whose directory lists its members; a TAR would have to be read."""
        try:
            with zipfile.ZipFile(self._path) as archive:
                return sum(has_image_extension(name) and not is_hidden(name) for name in archive.namelist())
        except _FAULTS:
            return None

    def notes(self) -> list[str]:
        return self._passed.notes()

    def _records(self, file: IO[bytes], name: str, prefix: str, budget: _Budget, *, nested: bool) -> Iterator[ImageRecord]:
        for member in _members(file, name):
            budget.take(member.size)
            shown = prefix + shown_name(member.name)
            record = ImageRecord(self.name, shown, created_at=member.modified)
            if is_hidden(shown_name(member.name)):
                continue
            if is_archive(member.name) and not nested:
                yield from self._nested(member, record, budget)
            elif is_archive(member.name):
                yield refused(record, "unsupported_format", "It is an archive in an archive in an archive: unpack it.")
            else:
                yield from self._member(member, record)

    def _member(self, member: _Member, record: ImageRecord) -> Iterator[ImageRecord]:
        offered = has_image_extension(member.name)
        try:
            if member.fault:
                raise ImageRefused("unreadable_file", member.fault)
            data = _read(member, self._options.max_bytes, whole=offered)
            if data is None:
                self._passed.add(member.name)
            else:
                yield ImageRecord(record.source, record.filename, lambda: data, created_at=record.created_at)
        except ImageRefused as error:
            yield refused(record, error.reason, error.message)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError) as error:  # this member; the next may be sound
            yield refused(record, "unreadable_file", f"The archive's member is damaged: {error}.")

    def _nested(self, member: _Member, record: ImageRecord, budget: _Budget) -> Iterator[ImageRecord]:
        """An archive within: spooled, since a ZIP must be read from its end."""
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
                yield from self._records(cast(IO[bytes], file), record.filename, f"{record.filename}/", budget, nested=True)
        except BadSource as error:
            if budget.spent:
                raise
            yield refused(record, "unreadable_file", error.message)


class _Budget:
    """Bytes that an archive may still unfold to."""

    def __init__(self, total: int, name: str) -> None:
        self._left = total
        self._name = name

    @property
    def spent(self) -> bool:
        return self._left < 0

    def take(self, size: int) -> None:
        """``BadSource`` once all is spent."""
        self._left -= size
        if self.spent:
            raise BadSource(f"{self._name} unfolds to more than {MAX_RATIO} times its size, as bombs do: unpack it yourself.")


def _read(member: _Member, max_bytes: int, *, whole: bool) -> bytes | None:
    """The member's bytes; None if it is not ``whole`` wanted and does not begin as a picture."""
    with member.open() as stream:
        head = stream.read(HEAD)
        if not whole and not looks_like_image(head):
            return None
        if member.size > max_bytes:
            read_stream(stream, 0, member.name)
        return head + read_stream(stream, max_bytes - len(head), member.name)


def _members(file: IO[bytes], name: str) -> Iterator[_Member]:
    # by its beginning: a TAR that ends with a ZIP would pass for one by its end
    is_zip = file.read(2) == b"PK"
    file.seek(0)
    if is_zip or name.lower().endswith(".zip"):
        return _zip_members(file)
    if name.lower().endswith((".zst", ".tzst")):
        raise BadSource(f"{name} is compressed with Zstandard, which this Python does not read: unpack it first (zstd -d).")
    return _tar_members(file)


def _zip_members(file: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                fault = "It is encrypted: archives with a password are not read." if info.flag_bits & 1 else None
                yield _Member(info.filename, info.file_size, _zip_time(info), lambda info=info: archive.open(info), fault)  # type: ignore[misc]


def _zip_time(info: zipfile.ZipInfo) -> str | None:
    """ZIP has local times without a zone: taken as UTC. A time before 1981 was never set."""
    try:
        return datetime(*info.date_time, tzinfo=UTC).isoformat(timespec="seconds") if info.date_time[0] > 1980 else None
    except ValueError:
        return None


class _StrictHeader(tarfile.TarInfo):
    """Python ends a TAR silently at a damaged header; here it is an error, since pictures behind it would be lost unseen."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _StrictHeader:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"damaged header ({error})") from error


def _tar_members(file: IO[bytes]) -> Iterator[_Member]:
    with tarfile.open(fileobj=file, mode="r|*", tarinfo=_StrictHeader) as archive:
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # else it remembers every member
            link = "It is a link or a device, not a file." if not info.isreg() and has_image_extension(info.name) else None
            if info.isreg() or link:
                yield _Member(info.name, info.size, utc(info.mtime), lambda info=info: _opened(archive, info), link)  # type: ignore[misc]


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(info)
    if stream is None:
        raise ImageRefused("unreadable_file", "It is not a file.")
    return stream


class _faults:
    """Turn what archives raise into ``BadSource``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _FAULTS):
            raise BadSource(f"{self._name} is no readable archive: {error or type(error).__name__}.") from error


def is_archive_file(path: Path) -> bool:
    """Whether a file is an archive, by name or by content."""
    return is_archive(path.name) or zipfile.is_zipfile(path) or (os.path.getsize(path) >= 512 and tarfile.is_tarfile(path))
