"""HTTP servers on this machine that answer what a test says: for what only the other side of a network can
do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, bytes, str]
"""Status, body and media type."""


def serving(answer: Callable[[str, str], Answer]) -> AbstractContextManager[str]:
    """A server that answers each request by ``answer(method, path)``; yields its URL."""
    return receiving(lambda method, path, body: answer(method, path))


@contextmanager
def receiving(answer: Callable[[str, str, bytes], Answer]) -> Iterator[str]:
    """A server that answers each request by ``answer(method, path, body)``; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body, media_type = answer(self.command, self.path, sent)
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = reply

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def answering(status: int, body: bytes, media_type: str = "application/json") -> AbstractContextManager[str]:
    """A server that gives one answer to everything; yields its URL."""
    return serving(lambda method, path: (status, body, media_type))
