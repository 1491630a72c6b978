"""A server on this machine that answers byte by byte as a test says: for what a well-behaved server never
sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Speak = Callable[[str, socket.socket], None]
"""Given the path that was asked for and the connection, sends what it likes."""


class RawServer:
    """A listening socket. ``paths``: what was asked for, in order; ``heads``: the requests as they came."""

    def __init__(self, speak: Speak) -> None:
        self._speak = speak
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._lock = threading.Lock()
        self.paths: list[str] = []
        self.heads: list[str] = []
        self.accepted = 0
        self.port: int = self._socket.getsockname()[1]

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with self._lock:
                    self.accepted += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(20)
            left = b""
            while True:
                while b"\r\n\r\n" not in left:
                    more = connection.recv(65_536)
                    if not more:
                        return
                    left += more
                head, _, left = left.partition(b"\r\n\r\n")
                path = head.split(b" ")[1].decode()
                with self._lock:
                    self.heads.append(head.decode())
                    self.paths.append(path)
                self._speak(path, connection)


@contextmanager
def raw_server(speak: Speak) -> Iterator[RawServer]:
    """A server that is listening while the block runs."""
    server = RawServer(speak)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(5)


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """An answer with a ``Content-Length``: that of the body, or a lie."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body
