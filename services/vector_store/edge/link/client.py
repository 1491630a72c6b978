"""Calls to the engine of a data folder: the one that runs, or one that is started when it is needed, and
again when it has died."""

from __future__ import annotations

import os
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from vitrine.services.errors import BadRequest, StoreLocked, Unavailable
from vitrine.services.vector_store.edge.errors import from_plain
from vitrine.services.vector_store.edge.link.address import is_same_user
from vitrine.services.vector_store.edge.link.lock import locked, read_holder
from vitrine.services.vector_store.edge.link.start import Starting, reason
from vitrine.services.vector_store.edge.link.wire import Arrays, Header, receive, send

T = TypeVar("T")
PROTOCOL: Final = 3
"""What crosses between program and engine. Programs of another version are told so, not misunderstood."""
_ONCE: Final = frozenset({"drop", "optimize"})
"""Not asked again of another engine: what was dropped is gone, and indexing may be what the engine died
of."""
_CONNECT_S: Final = 120.0
_LEAVE_S: Final = 60.0
"""An engine that ends may be flushing, or loading a large shard."""


class Catalogue(NamedTuple):
    """A state of the list of collections: the engine that said so, and how often it had changed there."""

    engine: str
    number: int


class _Connection:
    """A connection to an engine that has said who it is."""

    def __init__(self, sock: socket.socket, hello: Header) -> None:
        self.socket = sock
        self.engine: str = hello["engine"]
        self.pid: int = hello["pid"]

    def is_broken(self) -> bool:
        """Return whether the engine has closed it: nothing else comes unasked."""
        asked = select.poll()  # select itself knows no descriptors over 1,023, which a server may have
        asked.register(self.socket, select.POLLIN)
        return bool(asked.poll(0))

    def call(self, header: Header, arrays: Sequence[Any] = ()) -> tuple[Header, Arrays]:
        """Send a question and return the answer to it. OSError or EOFError if the engine ends."""
        send(self.socket, header, arrays)
        return receive(self.socket)

    def close(self) -> None:
        self.socket.close()


class EngineClient:
    """A pool of connections to the engine of a data folder, which all programs of this user share.
    Thread-safe: each call has a connection of its own while it lasts.

    Where no engine runs, one is started. If it dies under a call, the call is made once more, of another
    engine; ``Unavailable`` if that dies too, or if what was asked cannot be asked twice. ``StoreLocked``
    where another version of Vitrine, or something else, has the folder.
    """

    def __init__(
        self,
        data: Path,
        *,
        min_free_bytes: int,
        auto_optimize: bool,
        command: str,
        source: Path | None = None,
    ) -> None:
        """``source``: the folder whose collections the engine copies to ``data`` as they are asked for."""
        self._data = data
        origin = "" if source is None else str(source.resolve())
        self._settings = [str(min_free_bytes), "1" if auto_optimize else "0", command, origin]
        self._token = secrets.token_hex(8)
        self._owner = os.getpid()
        self._mutex = threading.Lock()
        self._starting: Starting | None = None
        self._session: _Connection | None = None
        self._idle: list[_Connection] = []
        self._closed = False
        self._seen: tuple[Catalogue, float] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the engine that this program talks to; None if it has ended, or there was none
        yet."""
        with self._mutex:
            if self._session is not None:
                return None if self._session.is_broken() else self._session.pid
            starting = self._starting
            return starting.process.pid if starting is not None and starting.process.poll() is None else None

    def catalogue(self, at_most: float) -> Catalogue | None:
        """Return the state of the catalogue that the last answer told of, unless it is older than ``at_most``
        seconds."""
        seen = self._seen
        return None if seen is None or time.monotonic() - seen[1] > at_most else seen[0]

    def start(self) -> None:
        """Connect, or start an engine that gets ready while the program goes on."""
        with self._mutex:
            if not self._closed and not self._is_forked() and self._starting is None and not self._attached():
                self._starting = Starting(self._data, self._settings)

    def unless_started(self, read: Callable[[], T]) -> T | None:
        """Return what ``read`` finds in the files; None if an engine runs, which may be writing them."""
        with self._mutex:
            if self._closed or self._is_forked() or self._starting is not None or self._attached():
                return None
            return read()

    def call(self, header: Header, arrays: Sequence[Any] = ()) -> tuple[Header, Arrays]:
        """Send one question and return the answer, with the ``state`` of the catalogue. Raises what the
        engine raised, as our errors."""
        try:
            answer, blocks = self._exchange(header, arrays)
        except Unavailable:
            if header["op"] in _ONCE or self._closed or self._is_forked():
                raise
            # it was dying when it was asked: whatever is written, writing it again makes it no different
            answer, blocks = self._exchange(header, arrays)
        if "error" in answer:
            raise from_plain(answer["error"])
        return answer, blocks

    def _exchange(self, header: Header, arrays: Sequence[Any]) -> tuple[Header, Arrays]:
        connection = self._borrow()
        try:
            answer, blocks = connection.call(header, arrays)
        except (OSError, EOFError) as error:
            connection.close()
            with self._mutex:
                raise self._ended(connection) from error
        except orjson.JSONEncodeError as error:
            connection.close()
            raise BadRequest(f"A payload or argument is not JSON: {error}.") from error
        except BaseException:  # such as Ctrl-C: the answer would be read by the next call
            connection.close()
            raise
        answer["state"] = Catalogue(connection.engine, answer.pop("catalogue"))
        self._seen = answer["state"], time.monotonic()
        with self._mutex:
            session = self._session
            if session is not None and connection.engine == session.engine and not self._closed:
                self._idle.append(connection)
            else:
                connection.close()
        return answer, blocks

    def _is_forked(self) -> bool:
        return os.getpid() != self._owner

    def _borrow(self) -> _Connection:
        if self._is_forked():
            raise Unavailable(
                "This store was opened before the process forked: open another data folder, or ask "
                "the parent."
            )
        with self._mutex:
            if self._closed:
                raise Unavailable("The store is closed.")
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_broken():
                    return connection
                connection.close()
            deadline = time.monotonic() + _CONNECT_S
            while time.monotonic() < deadline:
                self._have_engine()
                if (fresh := self._reach()) is not None:
                    return fresh
        raise locked(self._data, read_holder(self._data))

    def _attached(self) -> bool:
        """Return whether an engine runs, and stay connected to it from then on. The mutex is held."""
        if self._session is None or self._session.is_broken():
            self._forget_engine()
            self._session = self._reach()
        return self._session is not None

    def _have_engine(self) -> None:
        """Connect to the engine that runs; where none does, start one. The mutex is held."""
        if self._starting is None or self._session is not None:
            if self._attached():
                return
            if self._starting is None:
                self._starting = Starting(self._data, self._settings)
        try:
            self._starting.wait()
        except BaseException:
            self._starting.ended(0)
            self._starting = None
            raise
        if not self._attached():  # what it waited for, or itself, has ended meanwhile
            self._starting.ended()
            self._starting = None

    def _forget_engine(self) -> int | None:
        """Drop all connections to an engine that has ended, and return its exit code, if it was our child.
        The mutex is held."""
        session, self._session = self._session, None
        for connection in [*self._idle, *([session] if session else [])]:
            connection.close()
        self._idle.clear()
        starting, code = self._starting, None
        if session is not None and starting is not None:
            self._starting = None
            code = starting.ended(5.0) if starting.process.pid == session.pid else None
        return code

    def _reach(self) -> _Connection | None:
        """Return a connection to the engine that runs; None if none does, or if it is about to end."""
        path = read_holder(self._data).get("socket")
        if not isinstance(path, str):
            return None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(path)
            if not is_same_user(sock):
                raise ConnectionRefusedError("it is another user's")
            send(
                sock, {"op": "hello", "protocol": PROTOCOL, "client": self._token, "folder": str(self._data)}
            )
            hello, _ = receive(sock)
        except PermissionError as error:
            sock.close()
            raise locked(self._data, read_holder(self._data)) from error
        except (OSError, EOFError):
            sock.close()
            return None
        except BaseException:
            sock.close()
            raise
        if hello.get("protocol") != PROTOCOL:
            sock.close()
            raise StoreLocked(
                f"The engine of {str(self._data)!r} (process {hello.get('pid')}) is another version's: end "
                "the programs that use it, or use their version.",
                pid=hello.get("pid"),
            )
        if self._starting is not None:
            self._starting.done()
        return _Connection(sock, hello)

    def _ended(self, connection: _Connection) -> Unavailable:
        """Return the error for an engine that has broken a connection. The mutex is held."""
        if self._closed:
            return Unavailable("The store was closed during this call.")
        session, code = self._session, None
        if session is not None and session.engine == connection.engine:
            code = self._forget_engine()
        return Unavailable(
            f"The engine process ended ({reason(code)}) during this call. What was acknowledged is safe; the "
            "next call starts it again."
        )

    def close(self) -> None:
        """Leave the engine. Where no other program uses it, it flushes and closes its shards, and has ended
        when this returns. Closing again changes nothing."""
        with self._mutex:
            if self._closed or self._is_forked():
                return
            self._closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()
            if self._session is not None:
                self._leave(self._session)
            if self._starting is not None:
                self._starting.ended(0 if self._session is not None else _LEAVE_S)

    def _leave(self, session: _Connection) -> None:
        session.socket.settimeout(_LEAVE_S)
        with suppress(OSError, EOFError):
            answer, _ = session.call({"op": "leave"})
            if answer["last"]:
                receive(session.socket)  # until it has ended
        session.close()
