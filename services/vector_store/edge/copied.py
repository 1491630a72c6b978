"""Collections of a data folder that must not be written, copied to where the engine may write: opening a
shard changes its files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from vitrine.services.errors import Unavailable
from vitrine.services.files import try_lock
from vitrine.services.vector_store.edge.files import (
    MEGABYTE,
    CollectionFiles,
    check_space,
    copy_sparse,
    disk_bytes,
)
from vitrine.services.vector_store.edge.link.lock import locked, read_holder

_RESERVE: Final = 64 * MEGABYTE


def copy_collection(source: Path, data: Path, name: str) -> None:
    """Copy a collection from ``source`` to ``data``, unless it is there.

    ``StoreLocked`` while an engine has ``source``: what it writes meanwhile would be copied in part.
    ``StorageFull``, ``StoreDamaged``, ``Unavailable``.
    """
    theirs, ours = CollectionFiles(source, name), CollectionFiles(data, name)
    if ours.folder.is_dir():
        return
    shard = theirs.shard
    check_space(data, disk_bytes(shard) + _RESERVE)
    partial = ours.trash / ours.folder.name
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with _unused(source):
            copy_sparse(shard, partial / shard.name)
            for file in theirs.folder.iterdir():
                if file.is_file():
                    shutil.copyfile(file, partial / file.name)
        os.replace(partial, ours.folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise Unavailable(
            f"Collection {name!r} cannot be copied from {theirs.folder} to {data} ({error.strerror}): check "
            "that this user may read it, and that there is space.",
            collection=name,
        ) from error


@contextmanager
def _unused(source: Path) -> Iterator[None]:
    """Keep engines from the folder, as far as this user can see its lock."""
    lock: int | None = None
    with suppress(FileNotFoundError, PermissionError):
        lock = os.open(source / "lock", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if lock is not None and not try_lock(lock, shared=True):
            raise locked(source, read_holder(source))
        yield
    finally:
        if lock is not None:
            os.close(lock)
