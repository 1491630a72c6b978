"""Where a job finds and leaves files: its folder below the data folder, and the folders that jobs may
read."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vitrine.services.errors import BadRequest, Forbidden, NotFound, because
from vitrine.services.files import hold_lock, make_folder, try_lock, unwritable

FOLDER: Final = "folder:"
"""Begins what names a file below one of the folders of ``VITRINE_ROOTS``: ``folder:pictures/2024``."""
UPLOAD: Final = "upload:"
"""Begins what names a file that came with the job."""
MADE: Final = "made"
TAIL_BYTES: Final = 65_536
_PLAIN: Final = re.compile(r"[^/\\\0]{1,120}")


class JobFolder:
    """The files of one job: its log, what came with it, and what it makes. Jobs without any have no
    folder."""

    def __init__(self, jobs: Path, id: str) -> None:
        self.path = jobs / id

    @property
    def log(self) -> Path:
        """What its process said on standard error."""
        return self.path / "log.txt"

    @property
    def answer(self) -> Path:
        """What its process said on standard output: one JSON document."""
        return self.path / "answer.json"

    @property
    def sent(self) -> Path:
        return self.path / "sent"

    @property
    def made(self) -> Path:
        """The folder that it fills with what is to be downloaded."""
        return self.path / MADE

    def make(self) -> None:
        try:
            make_folder(self.path)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def send(self, name: str, data: bytes) -> str:
        """Put a file next to the job and return the argument that names it. ``BadRequest`` for a name that
        is a path."""
        check_plain(name)
        try:
            make_folder(self.sent)
            (self.sent / name).write_bytes(data)
        except OSError as error:
            raise unwritable(self.sent / name, error) from error
        return UPLOAD + name

    def tail(self, most: int = TAIL_BYTES) -> str:
        """Return the end of the log, from the beginning of a line; empty where there is none."""
        try:
            with open(self.log, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - most))
                text = file.read(most)
        except FileNotFoundError:
            return ""
        if size > most:
            text = text.partition(b"\n")[2]
        return text.decode("utf-8", "replace")

    def clear(self) -> None:
        """Remove what the job has made."""
        shutil.rmtree(self.made, ignore_errors=True)

    def remove(self) -> None:
        """Remove all of it. OSError."""
        if self.path.is_dir():
            shutil.rmtree(self.path)

    @contextmanager
    def running(self) -> Iterator[bool]:
        """Hold the job while this block runs it; yields False where another process does."""
        self.make()
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield hold_lock(lock)
        finally:
            os.close(lock)

    def holder(self) -> int | None:
        """Return the process that runs the job; None where none does. Its group is called as it is."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if try_lock(lock):
                return None
            return int(os.pread(lock, 20, 0) or b"0") or None
        finally:
            os.close(lock)


def is_made_by_job(data: Path, path: Path) -> bool:
    """Return whether a path is in the folder that a job fills to be downloaded: no store is there."""
    jobs = data.resolve() / "jobs"
    whole = path.resolve()
    return whole.is_relative_to(jobs) and whole.relative_to(jobs).parts[1:2] == (MADE,)


def check_plain(name: str) -> None:
    """Raise ``BadRequest`` unless it is the name of a file, without a folder."""
    if not _PLAIN.fullmatch(name) or name.startswith("."):
        raise BadRequest(f"{name[:80]!r} is not the plain name of a file: leave out folders.")


def find_below(roots: Sequence[Path], text: str) -> Path:
    """Return the path that ``folder:NAME/...`` names: below the root whose last part is NAME.

    ``Forbidden`` where no such root is, or where the path (links followed) leaves it; ``NotFound`` where
    nothing is there.
    """
    name, _, rest = text.removeprefix(FOLDER).strip("/").partition("/")
    root = next((root for root in roots if root.name == name), None)
    if root is None:
        there = ", ".join(f"{FOLDER}{root.name}" for root in roots) or "there is none"
        raise Forbidden(
            f"{text[:200]!r} is not below a folder that jobs may read ({there}): VITRINE_ROOTS lists them."
        )
    try:
        found = (root / rest).resolve()
        inside = found.is_relative_to(root.resolve())
        there_is = found.exists()
    except (OSError, ValueError) as error:
        raise BadRequest(f"{text[:200]!r} cannot be looked up: {because(error)}.") from error
    if not inside:
        raise Forbidden(f"{text[:200]!r} leads out of the folder {name!r}.")
    if not there_is:
        raise NotFound(f"There is nothing at {text[:200]!r}.")
    return found
