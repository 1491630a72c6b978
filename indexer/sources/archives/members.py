"""Read the members of ZIP and TAR archives one by one, with their names as they were meant, and links
followed."""

from __future__ import annotations

import io
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import IO

from vitrine.indexer.sources.base import has_image_extension, is_archive, utc
from vitrine.services.errors import ImageRefused

_UTF8_NAME = 0x800
_UNICODE_PATH = 0x7075
_ENCRYPTED = 1
ENCRYPTED = "It is encrypted: archives with a password are not read."
_LINKS = 40
"""A link may lead to a link, so many times."""
_TARGET_BYTES = 4096


@dataclass(frozen=True)
class Member:
    """One file of an archive. ``size`` is what the archive says, which may be wrong. ``fault``: why it cannot
    be read."""

    name: str
    size: int
    modified: str | None
    open: Callable[[], IO[bytes]]
    fault: str | None = None


# ZIP
# ------------------------------------------------------------------------------------------------------------


def zip_members(file: IO[bytes]) -> Iterator[Member]:
    """Yield the files of a ZIP, and links that stay within it. What this raises concerns the whole archive,
    what ``open`` raises one member."""
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        by_name = {posixpath.normpath(zip_name(info)): info for info in infos}
        for info in infos:
            if info.is_dir():
                continue
            linked = _is_link(info)
            if linked and is_archive(zip_name(info)):  # it is read where it lies
                continue
            name, when = zip_name(info), _zip_time(info)
            try:
                meant = _followed(archive, info, by_name) if linked else info
                fault = ENCRYPTED if meant.flag_bits & _ENCRYPTED else None
                yield Member(name, meant.file_size, when, lambda meant=meant: archive.open(meant), fault)  # type: ignore[misc]
            except ImageRefused as error:
                yield unread(name, when, error.message)


def zip_name(info: zipfile.ZipInfo) -> str:
    """Return the name of a member, by the first that holds: the UTF-8 flag, the Unicode Path field (0x7075)
    that some archivers add, whether the bytes are UTF-8 (as macOS writes them without the flag), and the code
    page of the format."""
    if info.flag_bits & _UTF8_NAME:
        return info.filename
    raw = info.orig_filename.encode("cp437").partition(b"\0")[0]
    try:
        return (_unicode_path(info.extra, raw) or raw).decode("utf-8")
    except UnicodeDecodeError:
        return info.filename


def _unicode_path(extra: bytes, raw: bytes) -> bytes | None:
    """Return the name in UTF-8 that an extra field gives for these bytes of a name, which it knows by their
    CRC."""
    while len(extra) >= 4:
        kind, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        field = extra[4 : 4 + size]
        if (
            kind == _UNICODE_PATH
            and field[:1] == b"\1"
            and int.from_bytes(field[1:5], "little") == zlib.crc32(raw)
        ):
            return field[5:]
        extra = extra[4 + size :]
    return None


def _is_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)


def _followed(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, by_name: Mapping[str, zipfile.ZipInfo]
) -> zipfile.ZipInfo:
    """Return the file that a link leads to. Raises ``ImageRefused`` if there is none in the archive."""
    for _ in range(_LINKS):
        try:
            with archive.open(info) as stream:
                target = stream.read(_TARGET_BYTES).decode("utf-8", "surrogateescape")
        except Exception as error:
            raise ImageRefused("unreadable_file", "It is a damaged link.") from error
        found = by_name.get(_beside(zip_name(info), target))
        if found is None or found.is_dir():
            raise ImageRefused("unreadable_file", _leads_nowhere(target))
        if not _is_link(found):
            return found
        info = found
    raise ImageRefused("unreadable_file", "It is a link in a circle of links.")


def _zip_time(info: zipfile.ZipInfo) -> str | None:
    """Return the time of a member. ZIP has local times without a zone: taken as UTC. A time before 1981 was
    never set."""
    try:
        return (
            datetime(*info.date_time, tzinfo=UTC).isoformat(timespec="seconds")
            if info.date_time[0] > 1980
            else None
        )
    except ValueError:
        return None


# TAR
# ------------------------------------------------------------------------------------------------------------


class _StrictHeader(tarfile.TarInfo):
    """A TAR header that is an error where it is damaged. Python ends a TAR silently there, and pictures
    behind it would be lost unseen."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _StrictHeader:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"damaged header ({error})") from error


@dataclass(frozen=True)
class _Link:
    name: str
    modified: str | None
    target: str


def tar_members(file: IO[bytes], max_bytes: int) -> Iterator[Member]:
    """Yield the files of a TAR as they come, then the links among them, for which it is read once more: only
    files that are linked to are kept in memory, if they have no more than ``max_bytes``."""
    links: dict[str, _Link] = {}
    for archive, info in _tar_infos(file):
        if info.isreg():
            yield Member(info.name, info.size, utc(info.mtime), lambda a=archive, i=info: _opened(a, i))  # type: ignore[misc]
        elif info.islnk() or info.issym():
            target = posixpath.normpath(info.linkname) if info.islnk() else _beside(info.name, info.linkname)
            if _may_be_picture(info.name, target):
                links[posixpath.normpath(info.name)] = _Link(info.name, utc(info.mtime), target)
        elif has_image_extension(info.name):
            yield unread(info.name, utc(info.mtime), "It is a pipe or a device, not a file.")
    if links:
        yield from _tar_links(file, links, max_bytes)


def _tar_links(file: IO[bytes], links: Mapping[str, _Link], max_bytes: int) -> Iterator[Member]:
    waiting: defaultdict[str, list[_Link]] = defaultdict(list)
    for link in links.values():
        waiting[_last(link, links)].append(link)
    file.seek(0)
    for archive, info in _tar_infos(file):
        found = waiting.pop(posixpath.normpath(info.name), []) if info.isreg() else []
        data = _opened(archive, info).read() if found and info.size <= max_bytes else b""
        for link in found:
            yield Member(link.name, info.size, link.modified, lambda data=data: io.BytesIO(data))  # type: ignore[misc]
    for link in (link for left in waiting.values() for link in left if has_image_extension(link.name)):
        yield unread(link.name, link.modified, _leads_nowhere(link.target))


def _tar_infos(file: IO[bytes]) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with tarfile.open(fileobj=file, mode="r|*", tarinfo=_StrictHeader, encoding="utf-8") as archive:
        for info in archive:
            archive.members = []  # type: ignore[attr-defined]  # else it remembers every member
            yield archive, info


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(info)
    if stream is None:
        raise ImageRefused("unreadable_file", "It is not a file.")
    return stream


def _may_be_picture(name: str, target: str) -> bool:
    """Return whether a link may lead to a picture. Links to folders and archives are left out: what is in
    them is read where it lies."""
    likely = has_image_extension(name) or has_image_extension(target) or not PurePosixPath(target).suffix
    return likely and not is_archive(name)


def _last(link: _Link, links: Mapping[str, _Link]) -> str:
    """Return what a chain of links ends at; where it is a circle, one of its links, which is no file."""
    target = link.target
    for _ in range(_LINKS):
        if target not in links:
            return target
        target = links[target].target
    return target


# Both
# ------------------------------------------------------------------------------------------------------------


def _beside(name: str, target: str) -> str:
    """Return the member that a symbolic link means."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target))


def _leads_nowhere(target: str) -> str:
    return f"It is a link to {target[:200]!r}, which is no file of the archive."


def unread(name: str, when: str | None, fault: str) -> Member:
    """Return a member that is there and cannot be read."""
    return Member(name, 0, when, io.BytesIO, fault)
