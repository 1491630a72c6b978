"""Where the bytes of images live: a folder, or MinIO and any S3 endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

MAX_URL_LIFETIME = timedelta(minutes=15)
BUFFER_BYTES = 1 << 20
"""Read and written at a time where a whole file might not fit into memory."""


@dataclass(frozen=True)
class ObjectStat:
    """``size`` in bytes; ``modified`` is timezone-aware UTC."""

    key: str
    size: int
    media_type: str
    modified: datetime


class ObjectStore(Protocol):
    """Objects by key. Thread-safe. Keys are relative POSIX paths: no leading slash, no empty, ``.`` or ``..``
    part.

    Raises ``BadRequest`` (malformed key), ``NotFound``, ``StorageFull``, ``Unavailable``.
    """

    def put(
        self,
        key: str,
        data: bytes,
        *,
        media_type: str = "application/octet-stream",
        durable: bool = True,
    ) -> None:
        """Write or replace; whole and durable when it returns, never half visible.

        Without ``durable`` a power failure may lose the object, or leave an empty one: for what can be made
        again.
        """
        ...

    def put_file(self, key: str, file: Path) -> None:
        """Store a file's content as ``put`` does, which may be larger than memory."""
        ...

    def get_file(self, key: str, file: Path) -> None:
        """Copy an object into a new file, which may be larger than memory."""
        ...

    def get(self, key: str, *, start: int = 0, first: int | None = None) -> bytes:
        """Return all bytes from ``start`` on, or the ``first`` so many of them: none where it ends before.
        ``NotFound`` if there is no such object."""
        ...

    def read(self, key: str) -> tuple[bytes, str]:
        """Return all bytes, and the version to hand to ``replace``. ``NotFound`` if there is no such
        object."""
        ...

    def replace(self, key: str, data: bytes, version: str | None) -> str:
        """Write only if the object still has this version, or, for None, only if there is none. Returns the
        version that it has now.

        ``Conflict`` if another writer was faster: nothing was written. Of writers at the same moment, in any
        process, exactly one succeeds. Small objects only.
        """
        ...

    def stat(self, key: str) -> ObjectStat | None:
        """Return what is known of an object; None if there is no such object."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that does not exist is no error."""
        ...

    def folders(self, prefix: str = "") -> list[str]:
        """Return the names directly below ``prefix`` ("" or ending in ``/``) with objects below them, sorted;
        deeper ones are not read."""
        ...

    def list(self, prefix: str = "", *, foreign: bool = False) -> Iterator[ObjectStat]:
        """Return all objects whose key starts with ``prefix``, in order of key.

        ``foreign``: also those that other programs wrote under keys which ``put`` does not take. ``get`` and
        ``stat`` take them, or raise ``BadRequest`` for one that cannot be asked for (see ``check_key``).
        """
        ...

    def url(self, key: str, *, lifetime: timedelta = MAX_URL_LIFETIME) -> str | None:
        """Return a presigned GET URL that dies after ``lifetime`` (at most 15 minutes); None where the store
        has no web address."""
        ...

    def check(self) -> None:
        """Raise ``Unavailable`` with what to do unless the store can be reached and written."""
        ...


def list_keys(objects: ObjectStore, prefix: str) -> list[str]:
    """Return the keys under a prefix, read to the end before anything is changed."""
    return [stat.key for stat in objects.list(prefix)]
