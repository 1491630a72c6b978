"""The engine process: owns every shard of a data folder and answers one call after the other.

``python -m vitrine.services.vector_store.edge.process DATA CONTROL_FD LOCK_FD PARENT MIN_FREE_BYTES
AUTO_OPTIMIZE``

The engine never releases the interpreter, so one loop does everything: it answers all waiting reads, then
does one slice of a write or of an indexing run, and so on. New connections arrive over the control socket;
when that closes, or the parent is gone, the process closes its shards and ends. It ignores the terminal's
signals: its parent decides.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from vitrine.services.errors import VitrineError
from vitrine.services.vector_store.edge.engine import Engine, Reply
from vitrine.services.vector_store.edge.errors import to_plain
from vitrine.services.vector_store.edge.wire import Arrays, Header, receive, send

_LOOK_FOR_PARENT_S: Final = 1.0


class Loop:
    """The loop of the engine process: takes connections and questions, and sends answers. ``Reply`` holds
    what is answered later."""

    def __init__(self, engine: Engine, control: socket.socket, parent: int) -> None:
        self._engine = engine
        self._control = control
        self._parent = parent
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until the parent closes the control socket, or has died."""
        while os.getppid() == self._parent:
            self._watch_runs()
            for key, _ in self._selector.select(0 if self._engine.has_work() else _LOOK_FOR_PARENT_S):
                if key.fileobj is self._control:
                    if not self._accept():
                        return
                elif isinstance(key.fileobj, socket.socket):
                    self._serve(key.fileobj)
                else:
                    self._selector.unregister(key.fileobj)
                    self._engine.run_said(key.data)
            self._engine.work()

    def _watch_runs(self) -> None:
        watched = {key.data for key in self._selector.get_map().values()}
        for name, output in self._engine.outputs():
            if name not in watched:
                self._selector.register(output, selectors.EVENT_READ, data=name)

    def _accept(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        for descriptor in descriptors:
            self._selector.register(socket.socket(fileno=descriptor), selectors.EVENT_READ)
        return bool(message)

    def _serve(self, connection: socket.socket) -> None:
        try:
            header, arrays = receive(connection)
        except (EOFError, OSError):
            self._selector.unregister(connection)
            connection.close()
            return
        self._engine.call(header, arrays, ConnectionReply(connection))


class ConnectionReply(Reply):
    """Answers over a connection. It is not an error if the caller has gone away."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def answer(self, header: Header, arrays: Arrays) -> None:
        with contextlib.suppress(OSError):
            send(self._connection, header, arrays)

    def fail(self, error: VitrineError) -> None:
        self.answer({"error": to_plain(error)}, [])


def main(arguments: list[str]) -> None:
    """Run the engine process; see the module's text."""
    data, control_fd, lock_fd, parent, min_free, auto_optimize = arguments
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    control = socket.socket(fileno=int(control_fd))
    engine = Engine(
        Path(data), min_free=int(min_free), lock_fd=int(lock_fd), auto_optimize=auto_optimize == "1"
    )
    try:
        Loop(engine, control, int(parent)).run()
    finally:
        engine.close()


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # everything is closed: to take the interpreter down as well would keep the owner waiting
