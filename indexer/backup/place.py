"""Where backups lie: a folder, or a prefix of the object store.

    content/ab/<sha256>      pictures, parts and objects, each under the hash of its bytes
    backups/<name>.json      a backup: which of these it consists of; written last

What several backups share is there once.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitrine.indexer.backup.contents import Backup, read_backup
from vitrine.services.errors import AlreadyExists, BadRequest, Conflict, NotFound, StoreDamaged
from vitrine.services.files import expanded, make_folder, unwritable
from vitrine.services.object_store.base import ObjectStore

if TYPE_CHECKING:
    from vitrine.services.settings import Settings

SCHEME = "objects:"
CONTENT, BACKUPS = "content/", "backups/"
LARGE_BYTES = 32 << 20
"""Objects of more are copied by way of a file."""


@dataclass(frozen=True)
class Content:
    """The bytes under a hash."""

    sha256: str
    bytes: int


def hash_of(objects: ObjectStore, key: str) -> str:
    """Return the SHA-256 of an object, which may be larger than memory. ``NotFound``."""
    digest, start, last = hashlib.sha256(), 0, False
    while not last:
        data = objects.get(key, start=start, first=LARGE_BYTES)
        digest.update(data)
        start, last = start + len(data), len(data) < LARGE_BYTES
    return digest.hexdigest()


class Place:
    """One place with backups. Thread-safe, but for ``look``. ``name``: as messages call it; ``files`` and
    ``bytes``: how much content was written so far."""

    def __init__(self, objects: ObjectStore, prefix: str, name: str) -> None:
        self.name = name
        self._objects, self._prefix = objects, prefix
        self._there: dict[str, int] = {}
        self._mutex = threading.Lock()
        self.files, self.bytes = 0, 0

    def look(self) -> None:
        """Read anew what content is there."""
        listed = self._objects.list(f"{self._prefix}{CONTENT}")
        self._there = {stat.key.rpartition("/")[2]: stat.size for stat in listed}

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Return whether there was such content, of this size, at the last ``look`` or was put since."""
        found = self._there.get(sha256)
        return found is not None and size in (None, found)

    def size(self, sha256: str) -> int:
        """Return how many bytes there are under a hash, 0 where there is none."""
        return self._there.get(sha256, 0)

    def put(self, data: bytes) -> Content:
        """Store bytes under their hash, unless they are there, and read them back. ``StoreDamaged`` where
        others come back."""
        content = Content(hashlib.sha256(data).hexdigest(), len(data))
        if not self.has(content.sha256, content.bytes):
            self._objects.put(self._key(content.sha256), data)
            self._written(content)
            self.get(content.sha256)
        return content

    def put_object(self, objects: ObjectStore, key: str, size: int) -> Content:
        """Store the content of an object, which may be larger than memory. ``NotFound``."""
        if size <= LARGE_BYTES:
            return self.put(objects.get(key))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "object"
            objects.get_file(key, file)
            return self.put_file(file)

    def put_file(self, file: Path) -> Content:
        """Store the content of a file, which may be larger than memory, as ``put`` does."""
        content = _content_of(file)
        if not self.has(content.sha256, content.bytes):
            self._objects.put_file(self._key(content.sha256), file)
            self._written(content)
            self.check(content.sha256)
        return content

    def _written(self, content: Content) -> None:
        with self._mutex:
            self._there[content.sha256] = content.bytes
            self.files += 1
            self.bytes += content.bytes

    def get(self, sha256: str) -> bytes:
        """Return the bytes of a hash. ``StoreDamaged`` where they are missing or others."""
        try:
            data = self._objects.get(self._key(sha256))
        except NotFound as error:
            raise self._damaged(sha256, "is missing") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise self._damaged(sha256, "is damaged")
        return data

    def check(self, sha256: str) -> None:
        """Read the bytes of a hash, a piece at a time. ``StoreDamaged`` as ``get``."""
        try:
            found = hash_of(self._objects, self._key(sha256))
        except NotFound as error:
            raise self._damaged(sha256, "is missing") from error
        if found != sha256:
            raise self._damaged(sha256, "is damaged")

    def copy_out(self, sha256: str, size: int, objects: ObjectStore, key: str, media_type: str) -> None:
        """Store the bytes of a hash as an object. ``StoreDamaged`` as ``get``; nothing is stored then."""
        if size <= LARGE_BYTES:
            objects.put(key, self.get(sha256), media_type=media_type)
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "object"
            self.get_file(sha256, file)
            objects.put_file(key, file)

    def get_file(self, sha256: str, file: Path) -> None:
        """Copy the bytes of a hash into a new file. ``StoreDamaged`` as ``get``."""
        try:
            self._objects.get_file(self._key(sha256), file)
        except NotFound as error:
            raise self._damaged(sha256, "is missing") from error
        if _content_of(file).sha256 != sha256:
            raise self._damaged(sha256, "is damaged")

    def names(self) -> list[str]:
        """Return the names of all backups, the latest last."""
        prefix = f"{self._prefix}{BACKUPS}"
        keys = [stat.key[len(prefix) :] for stat in self._objects.list(prefix)]
        return sorted(key.removesuffix(".json") for key in keys if key.endswith(".json"))

    def read(self, name: str | None = None) -> Backup:
        """Return a backup, None: the latest. ``NotFound``, ``StoreDamaged``."""
        if name is None:
            there = self.names()
            if not there:
                raise NotFound(f"There is no backup in {self.name}: `vitrine backup create` makes one.")
            name = there[-1]
        try:
            data = self._objects.get(self._backup_key(name))
        except (NotFound, BadRequest) as error:
            raise NotFound(
                f"There is no backup {name!r} in {self.name}: `vitrine backup list` names those there are."
            ) from error
        return read_backup(data, f"{BACKUPS}{name}.json")

    def latest(self) -> Backup | None:
        """Return the latest backup that can be read; None if there is none."""
        for name in reversed(self.names()):
            try:
                return self.read(name)
            except StoreDamaged:
                continue
        return None

    def write(self, backup: Backup) -> None:
        """Write a backup of which everything else is there. ``AlreadyExists``: one was begun in the same
        millisecond."""
        try:
            self._objects.replace(self._backup_key(backup.name), backup.to_bytes(), None)
        except Conflict as error:
            raise AlreadyExists(f"There is a backup {backup.name} already: try again.") from error

    def delete(self, name: str) -> None:
        """Delete a backup, not its content."""
        self._objects.delete(self._backup_key(name))

    def contents(self) -> Iterable[tuple[str, int, float]]:
        """Return hash, size and time of change (seconds since 1970) of all content."""
        for stat in self._objects.list(f"{self._prefix}{CONTENT}"):
            yield stat.key.rpartition("/")[2], stat.size, stat.modified.timestamp()

    def delete_content(self, sha256: str) -> None:
        """Delete the bytes of a hash."""
        self._objects.delete(self._key(sha256))
        self._there.pop(sha256, None)

    def file(self, sha256: str) -> str:
        """Return what the file of a hash is called, below the place."""
        return f"{CONTENT}{sha256[:2]}/{sha256}"

    def _key(self, sha256: str) -> str:
        return f"{self._prefix}{self.file(sha256)}"

    def _backup_key(self, name: str) -> str:
        return f"{self._prefix}{BACKUPS}{name}.json"

    def _damaged(self, sha256: str, how: str) -> StoreDamaged:
        return StoreDamaged(
            f"The file {self.file(sha256)} of the backup in {self.name} {how}.", file=self.file(sha256)
        )


def open_place(
    text: str | None, settings: Settings, objects: ObjectStore | None = None, *, make: bool
) -> Place:
    """Return the place that ``FOLDER`` or ``objects:PREFIX`` names; None: the one of the settings.

    ``objects``: the store of the categories; None: it is opened where it is needed.

    ``make``: make the folder if it is missing; without, that is ``NotFound``. ``BadRequest`` for a place
    among the images themselves.
    """
    text = text or settings.backups
    if not text:
        raise BadRequest("Name the place of the backups, a folder or objects:PREFIX, or set VITRINE_BACKUPS.")
    if text.startswith(SCHEME):
        from vitrine.services.runtime import open_objects

        prefix = text.removeprefix(SCHEME).strip("/")
        if not prefix or prefix.startswith("_"):
            raise BadRequest(
                f"{text!r} cannot hold backups: name a prefix such as objects:backups, which does not begin "
                "with an underscore."
            )
        return Place(objects or open_objects(settings), f"{prefix}/", text)
    from vitrine.services.object_store.local import LocalObjectStore

    folder = expanded(Path(text))
    own = [settings.data / name for name in ("objects", "vectors")]
    if any(folder.resolve().is_relative_to(each.resolve()) for each in own):
        raise BadRequest(f"{folder} is a folder of the images themselves: choose one outside of it.")
    if not make and not folder.is_dir():
        raise NotFound(f"There is no folder {folder}: name the one that `vitrine backup create` was given.")
    try:
        make_folder(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    return Place(LocalObjectStore(folder, min_free_mb=settings.min_free_mb), "", str(folder))


def _content_of(file: Path) -> Content:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256")
        return Content(digest.hexdigest(), opened.tell())
