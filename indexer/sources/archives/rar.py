"""Read the members of RAR archives one by one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import IO, Any

from vitrine.indexer.sources.archives.members import ENCRYPTED, Member, unread
from vitrine.indexer.sources.base import has_image_extension
from vitrine.services.errors import ImageRefused
from vitrine.services.extras import load_extra


def rar_members(file: IO[bytes]) -> Iterator[Member]:
    """Yield the files of a RAR archive. ``MissingExtra``.

    Files that are stored as they are need nothing else; what is compressed is unfolded by a program of the
    machine: unrar, unar, 7-Zip or bsdtar. Links are not followed.
    """
    library = load_extra("rarfile", "archives")
    path = getattr(file, "name", None)  # of a file that has no name, each compressed member copies it whole
    with library.RarFile(path if isinstance(path, str) and os.path.isfile(path) else file) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            when = info.mtime.isoformat(timespec="seconds") if info.mtime else None
            if info.is_symlink() or info.file_redir is not None:
                if has_image_extension(info.filename):
                    yield unread(info.filename, when, "It is a link: links in RAR archives are not followed.")
                continue
            fault = ENCRYPTED if info.needs_password() else None
            yield Member(info.filename, info.file_size, when, _opener(library, archive, info), fault)


def _opener(library: Any, archive: Any, info: Any) -> Callable[[], IO[bytes]]:
    def opened() -> IO[bytes]:
        try:
            stream: IO[bytes] = archive.open(info)
        except library.RarCannotExec as error:
            raise ImageRefused(
                "unreadable_file",
                "It is compressed: to read it, install unrar, unar, 7-Zip or bsdtar on this machine, or "
                "unpack the archive.",
            ) from error
        return stream

    return opened
