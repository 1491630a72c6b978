"""One owner for a data folder: a lock that is taken before any shard is touched.

The engine's own guard is not enough: merely loading a shard that another process has open breaks that
process's flush.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from vitrine.services.errors import StoreLocked

ORPHAN_WAIT_S = 10.0
"""A killed owner's engine process notices at once, but may be inside a flush or a load: give it this long to
let go."""


class DataLock:
    """The exclusive lock on ``<folder>/lock``, held from construction until ``release``.

    The file says who holds it: pid, command, started, url (None unless serving). ``StoreLocked`` names that
    holder; nothing is changed then. ``fd`` may be handed to child processes: the lock lives until all of them
    and the owner are gone.
    """

    def __init__(self, folder: Path, holder: Mapping[str, object] | None = None) -> None:
        self.path = folder / "lock"
        folder.mkdir(parents=True, exist_ok=True)
        self._fd: int | None = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(self._fd)
        except BaseException:
            os.close(self._fd)
            raise
        self._holder: dict[str, object] = {
            "pid": os.getpid(),
            "command": " ".join([Path(sys.argv[0] or "python").name, *sys.argv[1:]])[:200],
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "url": None,
            **(holder or {}),
        }
        self.describe()

    @property
    def fd(self) -> int:
        """The open file that carries the lock."""
        if self._fd is None:
            raise RuntimeError("the lock is released")
        return self._fd

    def describe(self, url: str | None = None) -> None:
        """Write into the lock's file where the store is served, for those who find it locked."""
        if url is not None:
            self._holder["url"] = url
        text = orjson.dumps(self._holder, default=str)
        os.pwrite(self.fd, text, 0)
        os.ftruncate(self.fd, len(text))

    def release(self) -> None:
        """Release the lock, also for copies of ``fd`` in other processes: call it when they no longer write.
        Releasing again changes nothing."""
        if self._fd is not None:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = None

    def _acquire(self, fd: int) -> None:
        deadline = time.monotonic() + ORPHAN_WAIT_S
        while not _try_lock(fd):
            holder = _read_holder(fd)
            if _is_alive(holder.get("pid")) or time.monotonic() > deadline:
                raise _locked(self.path.parent, holder)
            time.sleep(0.02)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(fd: int) -> dict[str, Any]:
    try:
        holder = orjson.loads(os.pread(fd, 65536, 0))
    except orjson.JSONDecodeError:  # it is being written this moment
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_alive(pid: object) -> bool:
    """Return whether the holder runs. One that is not known yet counts as running."""
    if not isinstance(pid, int):
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _locked(folder: Path, holder: Mapping[str, Any]) -> StoreLocked:
    who = f"process {holder.get('pid', 'unknown')} ({holder.get('command', 'unknown command')})"
    url = holder.get("url")
    todo = f"Stop it, or use its API at {url}." if url else "Stop it, or wait until it has ended."
    return StoreLocked(
        f"The data folder {str(folder)!r} is in use by {who}, since "
        f"{holder.get('started', 'unknown')}. {todo}",
        pid=holder.get("pid"),
        command=holder.get("command"),
        url=url,
    )
