"""Where the engine of a data folder listens: a Unix socket that only its own user may use."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from vitrine.services.files import users_folder

_LONGEST: Final = 100
"""Bytes in the path of a socket: Linux takes 107, macOS 103."""
_WAITING: Final = 128


class Listener:
    """A socket that listens at ``path``: in the data folder, or, where its path is too long or its file
    system knows no sockets, in a folder of the user below the temporary one. The folder's lock must be
    held."""

    def __init__(self, data: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        inside = data / "engine.sock"
        try:
            self.path = (
                self._bind(inside) if len(os.fsencode(inside)) <= _LONGEST else self._bind_outside(data)
            )
        except OSError:
            self.path = self._bind_outside(data)
        self.socket.listen(_WAITING)

    def _bind(self, path: Path) -> Path:
        path.unlink(missing_ok=True)  # of an engine that was killed: we hold its lock
        mask = os.umask(0o177)
        try:
            self.socket.bind(str(path))
        finally:
            os.umask(mask)
        return path

    def _bind_outside(self, data: Path) -> Path:
        return self._bind(users_folder() / f"{hashlib.sha256(os.fsencode(data)).hexdigest()[:32]}.sock")

    def close(self) -> None:
        """Take no more callers: those who have not been answered yet find another engine."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        self.socket.close()


def is_same_user(connection: socket.socket) -> bool:
    """Return whether the program at the other end belongs to this user."""
    if not hasattr(socket, "SO_PEERCRED"):  # elsewhere than on Linux the rights of the file have to do
        return True
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", found)
    return bool(uid == os.getuid())
