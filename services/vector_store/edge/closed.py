"""What a collection knew of itself when it was closed. While its files are as they were then, it need not be
opened to tell: opening maps hundreds of megabytes and takes half a second of processor time."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vitrine.services.files import sync
from vitrine.services.vector_store.edge.files import CollectionFiles, read_json, write_json

_NOTE: Final = "closed.json"


@dataclass(frozen=True)
class Closed:
    """``points``: exact; ``indexed``: vectors under HNSW."""

    points: int
    indexed: int


def write_note(files: CollectionFiles, known: Closed) -> None:
    """Note what is known of a collection whose shard has just been closed. A full disk leaves no note."""
    with contextlib.suppress(OSError):
        note = {"points": known.points, "indexed": known.indexed, "files": _state(files.folder)}
        write_json(files.folder / _NOTE, note, durable=False)


def remove_note(files: CollectionFiles) -> None:
    """Remove the note, durably: the collection is about to be opened."""
    with contextlib.suppress(FileNotFoundError):
        (files.folder / _NOTE).unlink()
        sync(files.folder)


def read_note(files: CollectionFiles) -> Closed | None:
    """Return what was noted; None if there is no note, or if a file has changed since."""
    note = read_json(files.folder / _NOTE)
    if not isinstance(note, dict) or note.get("files") != _state(files.folder):
        return None
    return Closed(note["points"], note["indexed"])


def _state(folder: Path) -> str:
    """Return a hash of the names of all folders below this one, and of the names, sizes and moments of change
    of all files."""
    found = hashlib.sha256()
    for path, size, changed in sorted(_files(folder, "")):
        found.update(f"{path}\0{size}\0{changed}\n".encode())
    return found.hexdigest()


def _files(folder: Path | str, prefix: str) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield f"{name}/", 0, 0
                yield from _files(entry.path, f"{name}/")
            elif not name.startswith(_NOTE):
                stat = entry.stat(follow_symlinks=False)
                yield name, stat.st_size, stat.st_mtime_ns
