"""The engine process: owns every shard of a data folder and answers all programs that use it.

``python -m vitrine.services.vector_store.edge.process DATA READY_FD MIN_FREE_BYTES AUTO_OPTIMIZE COMMAND
SOURCE``; SOURCE: the folder whose collections are copied to DATA as they are asked for; empty for none.

The engine never releases the interpreter, so one loop does everything: it answers all waiting reads, then
does one slice of a write or of an indexing run, and so on. It never waits for a program: what does not cross
at once, since a program is stopped or its frames are large, crosses on a thread. It ends when the last
program has gone, and ignores the terminal's signals: programs decide.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
import socket
import sys
import threading
from collections import defaultdict, deque
from pathlib import Path
from typing import Final

import orjson

from vitrine.services.errors import StoreLocked, VitrineError
from vitrine.services.vector_store.edge.engine import Engine, Reply
from vitrine.services.vector_store.edge.errors import to_plain
from vitrine.services.vector_store.edge.link.address import Listener, is_same_user
from vitrine.services.vector_store.edge.link.client import PROTOCOL
from vitrine.services.vector_store.edge.link.lock import DataLock, read_holder
from vitrine.services.vector_store.edge.link.wire import PIECE, Arrays, Header, pieces, receive, whole

_IDLE_S: Final = 1.0
_NO_FRAME: Final = (ValueError, LookupError, TypeError)
"""What reading raises of bytes that are no frame of ours."""
_Arrived = tuple[socket.socket, "tuple[Header, Arrays] | None"]


class Alarm:
    """Wakes the loop from other threads: ``heard`` becomes readable when ``ring`` is called."""

    def __init__(self) -> None:
        self.heard, self._rung = socket.socketpair()

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the loop has not got up since the last time
            self._rung.send(b"!", socket.MSG_DONTWAIT)


class Loop:
    """The loop of the engine process: takes programs and their questions, and sends answers.

    ``ready``: a socket to the program that has started the process, which keeps it alive until that program
    has connected.
    """

    def __init__(
        self, engine: Engine, lock: DataLock, listener: Listener, ready: socket.socket, alarm: Alarm
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._listener = listener
        self._ready: socket.socket | None = ready
        self._alarm = alarm
        self._name = secrets.token_hex(8)
        self._programs: defaultdict[str, set[socket.socket]] = defaultdict(set)
        self._strangers: set[socket.socket] = set()
        self._served_by: str | None = None
        self._arrived: deque[_Arrived] = deque()
        self._selector = selectors.DefaultSelector()
        for waited in (listener.socket, ready, alarm.heard):
            self._selector.register(waited, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until the last program has gone."""
        while self._programs or self._strangers or self._ready is not None:
            self._watch_runs()
            wait = 0.0 if self._engine.has_work() else _IDLE_S
            events = self._selector.select(wait)
            for key, _ in events:
                self._look_at(key)
            while self._arrived:
                self._take(*self._arrived.popleft())
            self._engine.work(idle=wait > 0 and not events)
        self._listener.close()

    def _look_at(self, key: selectors.SelectorKey) -> None:
        if key.fileobj is self._listener.socket:
            self._accept()
        elif key.fileobj is self._alarm.heard:
            self._alarm.heard.recv(PIECE)
        elif key.fileobj is self._ready:
            self._selector.unregister(self._ready)
            self._ready = None
        elif isinstance(key.fileobj, socket.socket):
            self._read(key.fileobj)
        else:
            self._selector.unregister(key.fileobj)
            self._engine.run_said(key.data)

    def _watch_runs(self) -> None:
        watched = {key.data for key in self._selector.get_map().values()}
        for name, output in self._engine.outputs():
            if name not in watched:
                self._selector.register(output, selectors.EVENT_READ, data=name)

    def _accept(self) -> None:
        connection, _ = self._listener.socket.accept()
        if is_same_user(connection):
            self._strangers.add(connection)
            self._selector.register(connection, selectors.EVENT_READ)
        else:
            connection.close()

    def _read(self, connection: socket.socket) -> None:
        try:
            came = connection.recv(PIECE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            came = b""
        try:
            frame = whole(came) if came else None
        except _NO_FRAME:  # whoever it is, the others are served
            came, frame = b"", None
        if frame is not None or not came:
            self._take(connection, frame)
        else:
            self._selector.unregister(connection)
            threading.Thread(target=self._read_on, args=(connection, came), daemon=True).start()

    def _read_on(self, connection: socket.socket, came: bytes) -> None:
        frame = None
        with contextlib.suppress(OSError, EOFError, *_NO_FRAME):
            frame = receive(connection, came)
        self._arrived.append((connection, frame))
        self._alarm.ring()

    def _take(self, connection: socket.socket, frame: tuple[Header, Arrays] | None) -> None:
        """Take what a program has sent; None: it has closed this connection."""
        watched = connection in self._selector.get_map()
        if frame is None:
            if watched:
                self._selector.unregister(connection)
            self._forget(connection)
            return
        if not watched:
            self._selector.register(connection, selectors.EVENT_READ)
        header, arrays = frame
        reply = ConnectionReply(connection, self._engine)
        if header["op"] == "hello":
            self._welcome(connection, header, reply)
        elif header["op"] == "leave":
            self._leave(connection, reply)
        elif header["op"] == "serving":
            self._served_by = self._program_of(connection)
            self._lock.describe(url=header["url"])
            reply.answer({}, [])
        else:
            self._engine.call(header, arrays, reply)

    # Programs
    # --------------------------------------------------------------------------------------------------------

    def _welcome(self, connection: socket.socket, header: Header, reply: Reply) -> None:
        self._strangers.discard(connection)
        self._programs[header["client"]].add(connection)
        reply.answer({"protocol": PROTOCOL, "engine": self._name, "pid": os.getpid()}, [])

    def _program_of(self, connection: socket.socket) -> str | None:
        return next((name for name, used in self._programs.items() if connection in used), None)

    def _leave(self, connection: socket.socket, reply: Reply) -> None:
        """Let a program go. If it was the last one, its connection stays open until this process has
        ended."""
        name = self._program_of(connection)
        if name is not None:
            self._gone(name)
        if self._ready is not None and _is_left(self._ready):
            self._look_at(self._selector.get_key(self._ready))
        last = not self._programs and not self._strangers and self._ready is None
        reply.answer({"last": last}, [])

    def _forget(self, connection: socket.socket) -> None:
        self._strangers.discard(connection)
        name = self._program_of(connection)
        connection.close()
        if name is not None:
            self._programs[name].discard(connection)
            if not self._programs[name]:
                self._gone(name)

    def _gone(self, name: str) -> None:
        self._programs.pop(name, None)
        if name == self._served_by:
            self._served_by = None
            self._lock.describe(url=None)


class ConnectionReply(Reply):
    """Answers over a connection, with the state of the catalogue. It is not an error if the caller has
    gone."""

    def __init__(self, connection: socket.socket, engine: Engine) -> None:
        self._connection = connection
        self._engine = engine

    def answer(self, header: Header, arrays: Arrays) -> None:
        first, *others = pieces({**header, "catalogue": self._engine.catalogue}, arrays)
        with contextlib.suppress(OSError):
            try:
                sent = self._connection.send(first, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            if rest := [piece for piece in (memoryview(first)[sent:], *others) if len(piece)]:
                threading.Thread(target=self._send_on, args=(rest,), daemon=True).start()

    def _send_on(self, rest: list[bytes | memoryview]) -> None:
        with contextlib.suppress(OSError):
            for piece in rest:
                self._connection.sendall(piece)

    def fail(self, error: VitrineError) -> None:
        self.answer({"error": to_plain(error)}, [])


def main(arguments: list[str]) -> None:
    """Run the engine process; see the module's text."""
    folder, ready_fd, min_free, auto_optimize, command, source = arguments
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    data, ready = Path(folder), socket.socket(fileno=int(ready_fd))
    try:
        lock = DataLock(
            data, {"command": command, "socket": None}, give_up=lambda: _is_served(data) or _is_left(ready)
        )
        listener = Listener(data)
    except VitrineError as error:
        served = isinstance(error, StoreLocked) and _is_served(data)
        ready.send(orjson.dumps({} if served else {"error": to_plain(error)}))
        return
    alarm = Alarm()
    engine = Engine(
        data,
        min_free=int(min_free),
        lock_fd=lock.fd,
        auto_optimize=auto_optimize == "1",
        wake=alarm.ring,
        source=Path(source) if source else None,
    )
    try:
        lock.describe(socket=str(listener.path))
        with contextlib.suppress(OSError):
            ready.send(orjson.dumps({}))
        Loop(engine, lock, listener, ready, alarm).run()
    finally:
        engine.close()
        lock.release()


def _is_served(data: Path) -> bool:
    """Return whether another engine takes callers."""
    path = read_holder(data).get("socket")
    if not isinstance(path, str):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, contextlib.suppress(OSError):
        sock.connect(path)
        return True
    return False


def _is_left(ready: socket.socket) -> bool:
    """Return whether the program that started this process needs it no more."""
    try:
        return not ready.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # everything is closed: to take the interpreter down as well would keep the owner waiting
