"""Objects as files below one folder: the store of the embedded setup."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import secrets
import shutil
import stat as stat_module
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from vitrine.services.errors import BadRequest, Conflict, NotFound, StorageFull, Unavailable
from vitrine.services.files import sync
from vitrine.services.object_store.base import BUFFER_BYTES, MAX_URL_LIFETIME, ObjectStat
from vitrine.services.object_store.keys import MAX_PART_BYTES, RESERVED, check_key, is_key, media_type_of
from vitrine.services.read_only import read_only_error

_REPLACING = "replacing.lock"
STALE_SECONDS = 3600.0
"""A temporary file untouched for this long belongs to a process that died."""


class LocalObjectStore:
    """An ``ObjectStore`` in ``folder``: the object ``a/b.jpg`` is the file ``folder/a/b.jpg``.

    Writes that would leave less than ``min_free_mb`` MiB free raise ``StorageFull``. The media type follows
    from the key's extension, not from ``put``. Unlike S3 a folder cannot hold both ``a`` and ``a/b``: the
    second is ``BadRequest``. ``read_only``: nothing is written below the folder, and what would is
    ``ReadOnly``.
    """

    def __init__(self, folder: Path, *, min_free_mb: int = 512, read_only: bool = False) -> None:
        self._read_only = read_only
        self._folder = str(folder)
        self._min_free = min_free_mb * 1024 * 1024
        self._durable: set[str] = set()
        self._durable_lock = threading.Lock()
        self._root = os.path.realpath(self._folder)
        self._temporary = os.path.join(self._root, RESERVED)
        if not read_only:
            with self._errors():
                os.makedirs(self._temporary, exist_ok=True)
                self._wipe_stale()

    def put(
        self,
        key: str,
        data: bytes,
        *,
        media_type: str = "application/octet-stream",
        durable: bool = True,
    ) -> None:
        """Write or replace; ``media_type`` is not stored (see the class)."""
        self._put(key, io.BytesIO(data), len(data), durable=durable)

    def put_file(self, key: str, file: Path) -> None:
        with file.open("rb") as source:
            self._put(key, source, os.fstat(source.fileno()).st_size)

    def get_file(self, key: str, file: Path) -> None:
        with file.open("xb") as target, self._errors(key), open(self._path_to_read(key), "rb") as source:
            shutil.copyfileobj(source, target, BUFFER_BYTES)

    def _put(self, key: str, data: BinaryIO, size: int, *, durable: bool = True) -> None:
        self._check_writable()
        path = self._path(key)
        self._guard_space(size)
        with self._errors():
            temporary = self._write_temporary(data, durable)
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.replace(temporary, path)
            except OSError as error:
                os.unlink(temporary)
                if isinstance(error, FileExistsError | IsADirectoryError | NotADirectoryError):
                    raise BadRequest(
                        f"The key {key!r} lies below another object, or others lie below it.", key=key
                    ) from error
                raise
            if durable:
                self._sync_folders(os.path.dirname(path))

    def get(self, key: str, *, start: int = 0, first: int | None = None) -> bytes:
        with self._errors(key), open(self._path_to_read(key), "rb") as file:
            file.seek(start)
            return file.read(-1 if first is None else first)

    def read(self, key: str) -> tuple[bytes, str]:
        """Return content and version, which is a hash of the content: what was changed and changed back
        counts as unchanged."""
        data = self.get(key)
        return data, _version(data)

    def replace(self, key: str, data: bytes, version: str | None) -> str:
        """Replace the object if its version is still the given one. Writers take turns by a lock file, which
        a killed process gives up; a plain ``put`` does not wait for them."""
        self._check_writable()
        with self._taking_turns():
            try:
                present: str | None = self.read(key)[1]
            except NotFound:
                present = None
            if present != version:
                raise Conflict(f"The object {key!r} was changed meanwhile.", key=key)
            self.put(key, data)
        return _version(data)

    def stat(self, key: str) -> ObjectStat | None:
        try:
            with self._errors(key):
                status = os.stat(self._path_to_read(key), follow_symlinks=False)
        except NotFound:
            return None
        return _object_stat(key, status) if stat_module.S_ISREG(status.st_mode) else None

    def delete(self, key: str) -> None:
        """Remove an object. Folders stay when they become empty: removing them would race with a write of
        another thread."""
        self._check_writable()
        path = self._path(key)
        with suppress(NotFound), self._errors(key):
            os.unlink(path)
            sync(os.path.dirname(path))

    def folders(self, prefix: str = "") -> list[str]:
        """Return the folders in which there are files, however deep; empty ones stay behind when objects are
        deleted."""
        with self._errors():
            path = os.path.join(self._root, prefix)
            names = (
                [name[:-1] for name, _ in _entries(path) if name.endswith("/")] if os.path.isdir(path) else []
            )
        return [
            name
            for name in names
            if f"{prefix}{name}" != RESERVED and next(self.list(f"{prefix}{name}/"), None)
        ]

    def list(self, prefix: str = "", *, foreign: bool = False) -> Iterator[ObjectStat]:
        """Yield the objects in order of the keys' UTF-8 bytes, as S3 lists. Read as it goes: writes meanwhile
        may or may not appear."""
        return (stat for stat in self._walk("", prefix) if foreign or is_key(stat.key))

    def url(self, key: str, *, lifetime: timedelta = MAX_URL_LIFETIME) -> str | None:
        """Return None: a folder has no web address."""
        return None

    def local_path(self, key: str) -> Path:
        """Return the file that holds an object: to be read or linked to, never changed. ``NotFound``."""
        path = self._path(key)
        if not os.path.isfile(path):
            raise NotFound(f"There is no object {key!r}.", key=key)
        return Path(path)

    def check(self) -> None:
        """Write and remove a small file, or look into a folder that is only read, or raise ``Unavailable`` or
        ``StorageFull``."""
        if self._read_only:
            with self._errors(), os.scandir(self._root):
                return
        self._guard_space(0)
        with self._errors():
            os.unlink(self._write_temporary(io.BytesIO(b"vitrine")))

    def _check_writable(self) -> None:
        if self._read_only:
            raise read_only_error()

    def _path_to_read(self, key: str) -> str:
        """Return ``_path``, also of a file that others put there under a name with a backslash. ``NotFound``
        for what no file has."""
        parts = check_key(key, foreign=True).split("/")
        if "" in parts or any(len(part.encode()) > MAX_PART_BYTES for part in parts):
            raise NotFound(f"There is no object {key!r}.", key=key)
        return self._within(key)

    def _path(self, key: str) -> str:
        return self._within(check_key(key))

    def _within(self, key: str) -> str:
        path = os.path.join(self._root, key)
        # A link below the folder could lead anywhere; we make none, so any link is refused.
        if os.path.realpath(path) != path:
            raise BadRequest(f"The object key {key!r} leads through a symbolic link; remove it.", key=key)
        return path

    @contextmanager
    def _taking_turns(self) -> Iterator[None]:
        with self._errors(), open(os.path.join(self._temporary, _REPLACING), "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write_temporary(self, data: BinaryIO, durable: bool = True) -> str:
        """Write to a new file in the reserved folder (the same file system, never listed) and return its
        path."""
        path = os.path.join(self._temporary, secrets.token_hex(16))
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        try:
            with open(descriptor, "wb") as file:
                shutil.copyfileobj(data, file, BUFFER_BYTES)
                file.flush()
                # Content before name: without this a crash can leave the final name on a file of zeros.
                if durable:
                    os.fsync(file.fileno())
        except OSError:
            os.unlink(path)
            raise
        return path

    def _sync_folders(self, folder: str) -> None:
        """Make the new name durable, and the names of folders above that this process has not yet seen
        durable.

        Every put needs one sync of its own folder, because the name is an entry there. A folder's own entry
        lies in the folder above and is synced once: another thread's ``makedirs`` may have made it a moment
        ago without having synced it yet, so "it exists" is no proof and the set of those known to be durable
        is kept.
        """
        sync(folder)
        while folder != self._root:
            with self._durable_lock:
                if folder in self._durable:
                    return
            parent = os.path.dirname(folder)
            sync(parent)
            with self._durable_lock:
                self._durable.add(folder)
            folder = parent

    def _guard_space(self, size: int) -> None:
        with self._errors():
            free = shutil.disk_usage(self._root).free
        if free - size < self._min_free:
            raise StorageFull(
                f"Only {free // 2**20} MiB are free for {self._folder} and {self._min_free // 2**20} "
                "MiB are kept free: free space there or lower VITRINE_MIN_FREE_MB.",
                free_bytes=free,
            )

    def _wipe_stale(self) -> None:
        oldest = time.time() - STALE_SECONDS
        for entry in os.scandir(self._temporary):
            with suppress(FileNotFoundError):  # another process may wipe at the same time
                if entry.name != _REPLACING and entry.stat(follow_symlinks=False).st_mtime < oldest:
                    os.unlink(entry.path)

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectStat]:
        with self._errors():
            entries = _entries(os.path.join(self._root, folder))
        for name, entry in entries:
            key = folder + name
            if entry.is_dir(follow_symlinks=False):
                if (key.startswith(prefix) or prefix.startswith(key)) and key != RESERVED + "/":
                    yield from self._walk(key, prefix)
            elif key.startswith(prefix) and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # deleted since the folder was read
                    yield _object_stat(key, entry.stat(follow_symlinks=False))

    @contextmanager
    def _errors(self, key: str | None = None) -> Iterator[None]:
        """Turn errors of the operating system into those of the object store; with ``key`` a missing file
        means a missing object."""
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            # a folder that is gone as a whole, such as a disk that is no longer mounted, says nothing about
            # its objects
            if key is None or not os.path.isdir(self._root if self._read_only else self._temporary):
                raise self._unusable(error) from error
            raise NotFound(f"There is no object {key!r}.", key=key) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(f"The disk of {self._folder} is full: free space there.") from error
            if error.errno == errno.ELOOP:
                raise BadRequest(
                    f"The object key {key!r} leads through links in a circle; remove them.", key=key
                ) from error
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"{self._folder} cannot be used ({error.strerror}): check that VITRINE_DATA is a folder "
            "this user may write."
        )


def _object_stat(key: str, status: os.stat_result) -> ObjectStat:
    return ObjectStat(key, status.st_size, media_type_of(key), _moment(status.st_mtime))


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _moment(seconds: float) -> datetime:
    """Return the time as a date, 1970 for one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(0, UTC)


def _entries(folder: str) -> list[tuple[str, os.DirEntry[str]]]:
    """Return the entries of a folder, sorted so that whole keys come in order: folders by their name with the
    slash ('a-b' < 'a/' < 'a0')."""
    with os.scandir(folder) as found:
        named = [
            (entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name, entry)
            for entry in found
        ]
    return sorted(named, key=lambda pair: os.fsencode(pair[0]))
