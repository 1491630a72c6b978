"""What a sync remembers of a folder: how each file looked when it was read, and which images came of it.

It is one object, ``_sync/<category>/<hash of the folder's path>.json.gz``. It goes with the category.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from vitrine.indexer.sources.base import relative
from vitrine.services.errors import NotFound
from vitrine.services.object_store.base import list_keys
from vitrine.services.object_store.damage import check_format, readable
from vitrine.services.object_store.keys import SYNC

if TYPE_CHECKING:
    from vitrine.services.object_store.base import ObjectStore

FORMAT = 1
_ADVICE = "It only says what was read before: --reread makes it anew."
_NOTHING: Mapping[str, Any] = {}
Stamp = tuple[int, int, int]
"""Size in bytes, time of the last change in nanoseconds, inode: a file with the same has not changed."""


@dataclass(frozen=True, slots=True)
class FileSeen:
    """One file as it was when it was read. ``stamp`` is None where it has to be read again in any case.

    ``images``: ids by the names that they have in the folder: one of a picture, several of an archive, none
    of a text. ``refused``: reason and message by name.
    """

    stamp: Stamp | None
    images: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    refused: Mapping[str, tuple[str, str]] = field(default_factory=lambda: _NOTHING)


@dataclass
class Memory:
    """What is remembered of a folder.

    ``source``: what its images have as their source. ``said``: a digest of what is said of all of them,
    options and tables; ``readers``: one of what decides whether a picture can be read here. ``files``: by
    ``file_key``. ``waiting``: images whose file has gone or changed, and that were not dealt with yet: name
    by id.
    """

    source: str
    said: str = ""
    readers: str = ""
    files: dict[str, FileSeen] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        files = [
            [key, seen.stamp, seen.images.get(key) if seen.images.keys() == {key} else seen.images]
            + ([seen.refused] if seen.refused else [])
            for key, seen in self.files.items()
        ]
        tree = {"format": FORMAT, "source": self.source, "said": self.said, "readers": self.readers}
        return gzip.compress(orjson.dumps(tree | {"waiting": self.waiting, "files": files}), 1, mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes, key: str, category: str) -> Memory:
        tree = orjson.loads(gzip.decompress(data))
        check_format(tree["format"], FORMAT, f"The object {key!r}", _ADVICE, category=category)
        files = {
            name: FileSeen(
                None if stamp is None else (stamp[0], stamp[1], stamp[2]),
                {name: images} if isinstance(images, str) else images or _NOTHING,
                {each: (why[0], why[1]) for each, why in refused[0].items()} if refused else _NOTHING,
            )
            for name, stamp, images, *refused in tree["files"]
        }
        return cls(tree["source"], tree["said"], tree["readers"], files, tree["waiting"])


class MemoryStore:
    """The memory of one folder for one category, as it lies in the object store."""

    def __init__(self, objects: ObjectStore, category: str, folder: Path) -> None:
        path = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()
        self._objects, self._category = objects, category
        self._key = f"{SYNC}{category}/{path[:32]}.json.gz"

    def load(self) -> Memory | None:
        """Return what is remembered; None of a folder that was never synced. ``StoreDamaged``."""
        try:
            data = self._objects.get(self._key)
        except NotFound:
            return None
        return self._parsed(self._key, data)

    def save(self, data: bytes) -> None:
        """Write what ``Memory.to_bytes`` gave; durable when it returns."""
        self._objects.put(self._key, data, media_type="application/gzip")

    def others(self) -> Iterator[Memory]:
        """Yield what is remembered of other folders of the category."""
        for key in list_keys(self._objects, f"{SYNC}{self._category}/"):
            if key != self._key:
                yield self._parsed(key, self._objects.get(key))

    def _parsed(self, key: str, data: bytes) -> Memory:
        with readable(self._category, key, _ADVICE):
            try:
                return Memory.from_bytes(data, key, self._category)
            except (OSError, EOFError) as error:  # gzip's
                raise ValueError(str(error)) from error


def file_key(path: str, folder: Path) -> str:
    """Return a file's path in its folder as text; bytes that are no text are written out."""
    below = relative(path, str(folder))
    return below if below.isascii() else os.fsencode(below).decode("utf-8", "backslashreplace")


def stamp_of(path: str) -> Stamp | None:
    """Return how a file looks now; None if it cannot be looked at."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
