"""One engine for a data folder: a lock that it takes before it touches a shard.

The library's own guard is not enough: merely loading a shard that another process has open breaks that
process's flush.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from vitrine.services.errors import StoreLocked
from vitrine.services.files import try_lock

ORPHAN_WAIT_S = 10.0
"""The processes of a killed engine notice at once, but may be inside a load: give them this long to let
go."""
ENDING_WAIT_S = 75.0
"""An engine that nobody uses any more flushes and closes its shards, which takes a while where they are
large."""


class DataLock:
    """The exclusive lock on ``<folder>/lock``, held from construction until ``release``.

    The file says who holds it: pid, command, started, and what ``holder`` and ``describe`` add.
    ``StoreLocked`` names that holder; nothing is changed then. An engine that is about to end is waited for,
    unless ``give_up`` says that nobody needs the lock any more. ``fd`` may be handed to child processes: the
    lock lives until all of them and the owner are gone.
    """

    def __init__(
        self,
        folder: Path,
        holder: Mapping[str, object] | None = None,
        *,
        give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self.path = folder / "lock"
        folder.mkdir(parents=True, exist_ok=True)
        self._fd: int | None = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(self._fd, give_up)
        except BaseException:
            os.close(self._fd)
            raise
        self._holder: dict[str, object] = {
            "pid": os.getpid(),
            "command": " ".join([Path(sys.argv[0] or "python").name, *sys.argv[1:]])[:200],
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            **(holder or {}),
        }
        self.describe()

    @property
    def fd(self) -> int:
        """The open file that carries the lock."""
        if self._fd is None:
            raise RuntimeError("the lock is released")
        return self._fd

    def describe(self, **said: object) -> None:
        """Write more into the lock's file, for those who read it: where the store is served, and by whom."""
        self._holder.update(said)
        text = orjson.dumps(self._holder, default=str)
        # in one write that leaves nothing of what was there: others read it at any moment
        os.pwrite(self.fd, text.ljust(os.fstat(self.fd).st_size), 0)

    def release(self) -> None:
        """Release the lock, also for copies of ``fd`` in other processes: call it when they no longer write.
        Releasing again changes nothing."""
        if self._fd is not None:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = None

    def _acquire(self, fd: int, give_up: Callable[[], bool]) -> None:
        started = time.monotonic()
        while not try_lock(fd):
            holder = _parsed(os.pread(fd, 65536, 0))
            waited = time.monotonic() - started
            patient = ENDING_WAIT_S if "socket" in holder else ORPHAN_WAIT_S
            other = "socket" not in holder and _is_alive(holder.get("pid"))
            if other or waited > patient or give_up():
                raise locked(self.path.parent, holder)
            time.sleep(0.02)


def read_holder(folder: Path) -> dict[str, Any]:
    """Return what the lock's file says of who holds it, or held it last; nothing where there is none."""
    for _ in range(3):
        try:
            text = (folder / "lock").read_bytes()
        except OSError:
            return {}
        if (found := _parsed(text)) or not text:
            return found
        time.sleep(0.005)  # it is being written this moment
    return {}


def locked(folder: Path, holder: Mapping[str, Any]) -> StoreLocked:
    """Return the error that names who has the folder."""
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


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        holder = orjson.loads(text)
    except orjson.JSONDecodeError:
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
