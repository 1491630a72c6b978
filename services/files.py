"""Files and folders that people name: the operating system's errors as sentences, and folders made only where
they belong."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vitrine.services.errors import BadRequest, StorageFull, Unavailable, VitrineError, because

SHEETS = (".png", ".jpg", ".jpeg", ".webp")
"""Endings of contact sheets."""
PLOTS = (".png", ".svg", ".pdf")
"""Endings of what matplotlib draws."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def reason(error: OSError) -> str:
    """Return why the operating system refused, in lower case: "permission denied"."""
    text = because(error)
    return text[0].lower() + text[1:]


def expanded(path: Path) -> Path:
    """Return the path with ``~`` and ``~user`` replaced by the home folder, unless a file has exactly that
    name."""
    if not str(path).startswith("~") or os.path.lexists(path):
        return path
    try:
        return path.expanduser()
    except RuntimeError:  # no such user, or no home folder
        return path


def unwritable(path: Path | str, error: OSError) -> VitrineError:
    """Return the error to raise when ``path`` cannot be written: ``StorageFull`` where no space is left, else
    ``BadRequest``."""
    if error.errno in _FULL:
        return StorageFull(
            f"{_short(path)} cannot be written: {reason(error)}. Free space, or write elsewhere."
        )
    return BadRequest(f"{_short(path)} cannot be written: {reason(error)}.")


def unreadable(path: Path | str, error: Exception) -> BadRequest:
    """Return the error to raise when the text file ``path`` cannot be read."""
    if isinstance(error, OSError):
        return BadRequest(f"{_short(path)} cannot be read: {reason(error)}.")
    why = "it is not text in UTF-8: save it as UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
    return BadRequest(f"{_short(path)} cannot be read: {why}.")


def file_error(error: OSError) -> VitrineError:
    """Turn an error of the operating system into a ``VitrineError`` about the file that it names."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if error.errno in _FULL:
        return unwritable(name or "The output", error)
    return BadRequest(
        f"{_short(name or 'A file')} cannot be used: {reason(error)}. Check its name and who may read "
        "and write there."
    )


def any_error(error: Exception) -> VitrineError:
    """Return any error as a ``VitrineError``: the error itself, or a new one with it as the cause."""
    if isinstance(error, VitrineError):
        return error
    if isinstance(error, OSError):
        known = file_error(error)
    else:
        known = VitrineError(
            f"Something went wrong inside Vitrine: {because(error)}. VITRINE_DEBUG=1 shows where; "
            "please report it.",
            type=type(error).__name__,
        )
    known.__cause__ = error
    return known


def make_folder(folder: Path) -> None:
    """Make a folder that a person named, and those above it that are missing; nothing if it is there.

    ``BadRequest`` instead of making a folder at the root of the file system: such a path is nearly always
    mistyped. Raises OSError as ``Path.mkdir`` does.
    """
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    if missing and (top := missing[-1].absolute()).parent == Path(top.anchor):
        raise BadRequest(
            f"There is no folder {top}: check the path {folder}, or make {top} first.", folder=str(folder)
        )
    folder.mkdir(parents=True, exist_ok=True)


def users_folder() -> Path:
    """Return this user's folder below the temporary one, for sockets and scratch files. ``Unavailable`` where
    others have it."""
    from tempfile import gettempdir

    folder = Path(gettempdir()) / f"vitrine-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise Unavailable(
            f"The folder {folder} must be this user's alone, since sockets and scratch files lie there: "
            "remove it, or name another temporary folder by TMPDIR.",
            folder=str(folder),
        )
    return folder


def sync(path: Path | str) -> None:
    """Make the folder's entries, or the file's content, durable. OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file, and return whether that was possible at once. It is locked until it is closed, in
    this process and in those that it was handed to."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def hold_lock(descriptor: int) -> bool:
    """``try_lock``, and write into the file which process has it, for those who find it locked."""
    if not try_lock(descriptor):
        return False
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return True


@contextmanager
def locked(path: Path, flags: int = os.O_RDONLY) -> Iterator[None]:
    """Wait for the lock of a file or folder, and have it inside this block. OSError."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make the folder of the file that is written in this block, and raise what `unwritable` says where the
    operating system refuses."""
    try:
        make_folder(path.parent)
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def check_ending(path: Path, what: str, endings: Sequence[str]) -> None:
    """Raise ``BadRequest`` unless the file's name ends in one of ``endings``; ``what``: "a plot"."""
    if path.suffix.lower() not in endings:
        raise BadRequest(f"{path} cannot be {what}: let its name end in {' or '.join(endings)}.")


def _short(path: Path | str) -> str:
    return text if len(text := str(path)) <= 200 else f"{text[:200]}..."
