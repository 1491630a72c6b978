"""The files below a folder, whatever lies there: links, circles of links, folders that may not be entered or
that vanish."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from vitrine.services.errors import because


@dataclass(frozen=True)
class Found:
    """A file, or something with a ``fault`` that keeps it from being read.

    ``again``: a link to a folder walked already. ``left_out``: the folder that is not to be walked.
    """

    path: str
    fault: str | None = None
    again: bool = False
    left_out: bool = False


def is_hidden(name: str) -> bool:
    """Return whether a file is to be ignored: dot files, and what macOS adds to archives."""
    return any(
        (part.startswith(".") and part not in (".", "..")) or part == "__MACOSX" for part in name.split("/")
    )


def walk(
    folder: str,
    likely: Callable[[str], bool],
    *,
    without: str | None = None,
    hidden: Callable[[str], object] = lambda path: None,
) -> Iterator[Found]:
    """Yield the files below a folder, sorted within each; ``hidden`` is called with the hidden files and
    folders, which are left out.

    ``likely``: whether a name is one that is looked for, so that something that is not a file gets a
    ``fault``. ``without``: a folder that is left out, by whatever name it is met, unless it is the one to
    walk.

    Every folder is walked once, by its device and inode, however many links lead to it. Linked folders come
    after all others, so that pictures have the names by which they lie there.
    """
    seen: set[tuple[int, int]] = set()
    left_out = _identity(without) - _identity(folder)
    roots = deque([folder])
    while roots:
        open_folders = [_entered(roots.popleft(), seen, left_out, likely, hidden)]
        while open_folders:
            found = next(open_folders[-1], None)
            if found is None:
                open_folders.pop()
            elif isinstance(found, Found):
                yield found
            elif found.is_symlink():
                roots.append(found.path)
            else:
                open_folders.append(_entered(found.path, seen, left_out, likely, hidden))


def _identity(folder: str | None) -> set[tuple[int, int]]:
    """Return device and inode of a folder; an empty set if it does not exist."""
    try:
        status = os.stat(folder) if folder is not None else None
    except OSError:
        return set()
    return {(status.st_dev, status.st_ino)} if status else set()


def _entered(
    folder: str,
    seen: set[tuple[int, int]],
    left_out: set[tuple[int, int]],
    likely: Callable[[str], bool],
    hidden: Callable[[str], object],
) -> Iterator[Found | os.DirEntry[str]]:
    """Yield the files and folders (as entries) of a folder that is not yet in ``seen``."""
    try:
        status = os.stat(folder)
        identity = (status.st_dev, status.st_ino)
        if identity in seen or identity in left_out:
            return iter([Found(folder, again=identity in seen, left_out=identity in left_out)])
        seen.add(identity)
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        return iter([Found(folder, f"The folder cannot be read: {because(error)}.")])
    for entry in entries:
        if is_hidden(entry.name):
            hidden(entry.path)
    looked_at = (_looked_at(entry, likely) for entry in entries if not is_hidden(entry.name))
    return (found for found in looked_at if found is not None)


def _looked_at(entry: os.DirEntry[str], likely: Callable[[str], bool]) -> Found | os.DirEntry[str] | None:
    """Return a file, or the entry itself if it is a folder; None for what nobody would look for."""
    try:
        if entry.is_dir():
            return entry
        if entry.is_file():
            return Found(entry.path)
        if not os.path.exists(entry.path):
            perhaps_picture = likely(entry.name) or not PurePosixPath(entry.name).suffix
            return Found(entry.path, "It is a link that leads nowhere.") if perhaps_picture else None
    except OSError as error:  # a link in a circle, or into a folder that may not be entered
        return Found(entry.path, f"It cannot be read: {because(error)}.")
    return Found(entry.path, "It is a pipe or a device, not a file.") if likely(entry.name) else None
