"""A data folder that nobody may write to, such as a mounted backup: whether it is one, and where a program
writes instead."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from vitrine.services.errors import ReadOnly, Unavailable
from vitrine.services.files import locked, try_lock, users_folder
from vitrine.services.settings import Settings


def is_writable(folder: Path) -> bool:
    """Return whether this user may make files in a folder; also for root this says no of a read-only
    mount."""
    return os.access(folder, os.W_OK | os.X_OK)


def is_read_only(settings: Settings) -> bool:
    """Return whether the data folder is there and opened for reading alone: it cannot be written, or
    ``VITRINE_READ_ONLY`` says so. Never, where vectors and objects are on servers."""
    if settings.qdrant_url and settings.minio_endpoint:
        return False
    return settings.data.is_dir() and (settings.read_only or not is_writable(settings.data))


def read_only_error() -> ReadOnly:
    """Return the error of a change that is asked for where nothing can be written."""
    return ReadOnly(
        "The data folder is open for reading only, so nothing in it can be changed: copy it to where this "
        "user may write, or restore a backup there (`vitrine backup restore`), and name that folder (--data "
        "or VITRINE_DATA). If VITRINE_READ_ONLY is set, unset it."
    )


def check_writable(settings: Settings) -> None:
    """Raise ``ReadOnly`` where nothing can be written, before long work whose result could not be kept."""
    if is_read_only(settings):
        raise read_only_error()


class Scratch:
    """A temporary folder of this program, which is there until ``remove``. One that a killed program left
    behind is removed when the next one is made."""

    def __init__(self) -> None:
        above = users_folder() / "read-only"
        try:
            above.mkdir(mode=0o700, exist_ok=True)
            with locked(above):
                _wipe(above)
                self.path = above / secrets.token_hex(8)
                self.path.mkdir(mode=0o700)
                self._lock: int | None = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                try_lock(self._lock)  # nobody else knows of it yet
        except OSError as error:
            raise Unavailable(
                f"No temporary folder can be made below {above} ({error.strerror}), which a data folder that "
                "is only read needs: name another one by TMPDIR.",
                folder=str(above),
            ) from error
        self._owner = os.getpid()

    def mirror(self, folder: Path, name: str) -> Path:
        """Return a folder ``name`` in this one, with the folders of ``folder`` and links to its files: what
        is there is found, and what is added or replaced is not written there."""
        target = self.path / name
        for above, _, files in os.walk(folder):
            here = target / Path(above).relative_to(folder)
            here.mkdir(parents=True, exist_ok=True)
            for file in files:
                (here / file).symlink_to(Path(above).absolute() / file)
        return target

    def remove(self) -> None:
        """Remove the folder. Removing it again, or in a program that was forked, changes nothing."""
        if self._lock is None or os.getpid() != self._owner:
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = None


def _wipe(above: Path) -> None:
    """Remove the folders whose programs are gone: a lock is given up by a kill."""
    for folder in above.iterdir():
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if try_lock(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
