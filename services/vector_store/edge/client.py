"""Calls to the engine process, which is started when it is needed, and again when it has died."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

import vitrine
from vitrine.services.errors import BadRequest, Unavailable
from vitrine.services.vector_store.edge.errors import from_plain
from vitrine.services.vector_store.edge.wire import Arrays, Header, receive, send

_MODULE: Final = "vitrine.services.vector_store.edge.process"
_READS: Final = frozenset({"catalogue", "query", "retrieve", "scroll", "facet", "count", "info", "missing"})
_END_S: Final = 60.0
"""A process that was asked to end may be flushing, or loading a large shard."""


class EngineClient:
    """A pool of connections to one engine process. Thread-safe: each call has a connection of its own while
    it lasts.

    ``starts`` counts how often the process was started. ``Unavailable`` if the process dies under a call; the
    next call starts it again.
    """

    def __init__(self, data: Path, *, lock_fd: int, min_free_bytes: int, auto_optimize: bool) -> None:
        self.starts = 0
        self._data = data
        self._lock_fd = lock_fd
        self._settings = [str(min_free_bytes), "1" if auto_optimize else "0"]
        self._owner = os.getpid()
        self._mutex = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._idle: list[socket.socket] = []
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the engine process; None if it does not run."""
        with self._mutex:
            return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> None:
        """Start the process, unless it runs."""
        with self._mutex:
            if not self._closed and self._process is None and os.getpid() == self._owner:
                self._start()

    def call(self, header: Header, arrays: Sequence[Any] = ()) -> tuple[Header, Arrays]:
        """Send one question and return the answer. Raises what the engine process raised, as our errors."""
        try:
            answer, blocks = self._exchange(header, arrays)
        except Unavailable:
            if header["op"] not in _READS:
                raise
            # it was dying when it was asked: reading again harms nothing
            answer, blocks = self._exchange(header, arrays)
        if "error" in answer:
            raise from_plain(answer["error"])
        return answer, blocks

    def _exchange(self, header: Header, arrays: Sequence[Any]) -> tuple[Header, Arrays]:
        connection, process = self._borrow()
        try:
            send(connection, header, arrays)
            answer = receive(connection)
        except (OSError, EOFError) as error:
            connection.close()
            with self._mutex:
                raise self._ended(process) from error
        except orjson.JSONEncodeError as error:
            connection.close()
            raise BadRequest(f"A payload or argument is not JSON: {error}.") from error
        except BaseException:  # such as Ctrl-C: the answer would be read by the next call
            connection.close()
            raise
        with self._mutex:
            if process is self._process:
                self._idle.append(connection)
            else:
                connection.close()
        return answer

    def _borrow(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        if os.getpid() != self._owner:
            raise Unavailable(
                "This store was opened before the process forked: open another data folder, or ask "
                "the parent."
            )
        with self._mutex:
            if self._closed:
                raise Unavailable("The store is closed.")
            if self._process is None or self._process.poll() is not None:
                self._drop_connections()
                self._start()
            assert self._process is not None
            if self._idle:
                return self._idle.pop(), self._process
            return self._connect(self._process), self._process

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        root = str(Path(vitrine.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        numbers = [str(theirs.fileno()), str(self._lock_fd), str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                # -P: what lies in the working directory must not be taken for our packages
                [sys.executable, "-P", "-m", _MODULE, str(self._data.resolve()), *numbers, *self._settings],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self._lock_fd),
                # Ctrl-C goes to the terminal's group: the owner decides what it means
                start_new_session=True,
            )
        finally:
            theirs.close()
        self._control = ours
        self.starts += 1

    def _connect(self, process: subprocess.Popen[bytes]) -> socket.socket:
        ours, theirs = socket.socketpair()
        try:
            assert self._control is not None
            socket.send_fds(self._control, [b"+"], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise self._ended(process) from error
        finally:
            theirs.close()
        return ours

    def _ended(self, process: subprocess.Popen[bytes]) -> Unavailable:
        """Return the error for a process that has broken a connection. The mutex is held."""
        if process is self._process and not self._closed:
            self._drop_connections()
            _reap(process)
            self._process = None
        elif process.poll() is None:
            return Unavailable("The store was closed during this call.")
        return Unavailable(
            f"The engine process ended ({_reason(process.returncode)}) during this call. What was "
            "acknowledged is safe; the next call starts it again."
        )

    def _drop_connections(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        if self._control is not None:
            self._control.close()
            self._control = None

    def close(self) -> None:
        """End the process: it flushes and closes its shards first. Closing again changes nothing."""
        with self._mutex:
            if self._closed or os.getpid() != self._owner:
                return
            self._closed = True
            self._drop_connections()
            if self._process is not None:
                _reap(self._process)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that is about to end."""
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    hint = (
        ": is the disk full?"
        if -code == signal.SIGBUS
        else ": out of memory?"
        if -code == signal.SIGKILL
        else ""
    )
    return f"signal {-code}{hint}"
