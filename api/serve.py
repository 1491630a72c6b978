"""Serve the API until a signal stops the process."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import uvicorn

from vitrine.api.app import create_app
from vitrine.api.auth import refuse_open_bind
from vitrine.api.warmup import warming_up
from vitrine.services.jobs.jobs import Jobs
from vitrine.services.jobs.supervisor import jobs_run_in_background
from vitrine.services.runtime import open_runtime
from vitrine.services.settings import Settings

_GRACE_SECONDS = 10
"""Requests that run when the server is stopped get this long to end."""


def serve(settings: Settings, *, started: Callable[[str], None] = print) -> None:
    """Serve on ``VITRINE_HOST``:``VITRINE_PORT`` (port 0: any free one) until SIGINT or SIGTERM; then end
    what runs and close.

    ``started`` gets the address once the port is bound. Raises ``RefusedToStart`` (see api/auth.py) and
    what ``open_runtime`` raises; exits with 1 if the port cannot be bound.
    """
    refuse_open_bind(settings)
    with open_runtime(settings, command="vitrine serve") as runtime, closing(Jobs(settings)) as jobs:
        # the embedded engine writes the URL to its lock, so that other processes can say who holds the data
        # and where to ask
        serving_at: Callable[[str], None] | None = getattr(runtime.vectors, "serving_at", None)

        def bound(url: str) -> None:
            if serving_at is not None:
                serving_at(url)
            started(f"Vitrine serves {url} (documentation: {url}/docs)")

        app = create_app(settings, runtime=runtime, work=jobs)
        config = uvicorn.Config(
            app,
            host=settings.host.strip("[]"),
            port=settings.port,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ws="none",
        )
        server = _Server(config, bound, app.state.ending)
        with warming_up(runtime), _ended_by_signals(server), jobs_run_in_background(jobs):
            server.run()


class _Server(uvicorn.Server):
    """Uvicorn, which reports its address once it serves, and sets ``ending`` when it is to end."""

    def __init__(self, config: uvicorn.Config, bound: Callable[[str], None], ending: threading.Event) -> None:
        super().__init__(config)
        self._bound = bound
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._bound(f"http://{f'[{host}]' if ':' in host else host}:{port}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending.set()
        await super().shutdown(sockets)


@contextmanager
def _ended_by_signals(server: _Server) -> Iterator[None]:
    """Have signals end the server, and nothing else, until the stores are closed.

    One may come before uvicorn has handlers of its own. And it raises the signal that ended it once more, for
    the handlers that stood before: SIGTERM's would kill the process before the stores are closed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
