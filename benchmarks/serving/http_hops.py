"""Where the time of a search over HTTP goes, hop by hop.

A server answers searches by vector, one after the other, over the embedded engine. The functions at which a
request passes from one hop to the next are wrapped, so that each notes the time on the clock and the
processor time of the server's process. Printed are medians over all searches: how long each hop takes, and
how much of the processor. A machine that does other work shows in the clock, hardly in the processor. The
notes themselves take about 20 us of a search.

    python -m benchmarks.serving.http_hops [--points 10000] [--dim 128] [--searches 2000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import Message, Receive, Scope, Send

from benchmarks.processor_time import processor_ms
from benchmarks.vectors.search import CATEGORY, Host, Shape, http_bodies, make_vectors, opened
from vitrine.api import route
from vitrine.api.app import create_app
from vitrine.api.routes import search as search_route
from vitrine.services.vector_store.edge.link.client import EngineClient
from vitrine.services.vector_store.edge.store import EdgeVectorStore

HOPS = (
    ("socket, to the server's loop", "arrived"),
    ("HTTP parsed, task begun", "app"),
    ("middlewares and routing", "routed"),
    ("body read", "body"),
    ("body parsed as JSON", "json"),
    ("body validated", "validated"),
    ("to a worker thread", "thread"),
    ("Searcher, before the engine", "asked"),
    ("the engine, over its socket", "answered"),
    ("Searcher and route, after it", "found"),
    ("answer written as JSON", "written"),
    ("back to the loop", "back"),
    ("through the middlewares to the socket", "sent"),
    ("socket, to the client", "received"),
)
"""Each hop, and the note at its end."""
WARM = 100
"""Searches before those that count."""


@dataclass(frozen=True)
class Note:
    """``clock`` and ``processor``, of the server's process, in nanoseconds."""

    name: str
    clock: int
    processor: int


class Notes:
    """The notes of one search after the other."""

    def __init__(self) -> None:
        self.taken: list[Note] = []

    def take(self, name: str) -> None:
        self.taken.append(Note(name, time.perf_counter_ns(), time.process_time_ns()))

    def around(self, owner: object, name: str, before: str = "", after: str = "") -> None:
        """Wrap a function of ``owner`` so that it takes a note before it begins, or when it has returned."""
        inner: Callable[..., Any] = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if before:
                self.take(before)
            found = inner(*args, **kwargs)
            if after:
                self.take(after)
            return found

        setattr(owner, name, wrapped)

    def after_awaiting(self, owner: object, name: str, after: str) -> None:
        """Wrap a coroutine function of ``owner`` so that it takes a note when it has returned."""
        inner: Callable[..., Any] = getattr(owner, name)

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            found = await inner(*args, **kwargs)
            self.take(after)
            return found

        setattr(owner, name, wrapped)

    def app(self, inner: Any) -> Any:
        """Return the application between the note of its beginning and the note of its last send."""

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            async def sending(message: Message) -> None:
                await send(message)
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    self.take("sent")

            if scope["type"] == "http":
                self.take("app")
            await inner(scope, receive, sending if scope["type"] == "http" else send)

        return noted


def serve(pipe: Connection, folder: Path, shape: Shape) -> None:
    """Fill a collection and serve it with notes, until the pipe says that it is over."""
    notes = Notes()
    notes.around(route.LimitedRequest, "check_length", before="routed")
    notes.after_awaiting(route.LimitedRequest, "body", "body")
    notes.after_awaiting(route.LimitedRequest, "json", "json")
    notes.around(search_route, "validated", after="validated")
    notes.around(search_route, "_response", before="thread")
    notes.around(EngineClient, "call", before="asked", after="answered")
    notes.around(route, "dump_json", before="found", after="written")
    notes.after_awaiting(search_route, "run_in_threadpool", "back")
    with opened(folder, shape.dim) as runtime:
        Host(runtime, shape).fill()
        app = notes.app(create_app(runtime.settings, runtime=runtime))
        config = uvicorn.Config(app, port=0, log_level="warning", ws="none")
        config.load()
        notes.around(config.http_protocol_class, "data_received", before="arrived")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port: int = server.servers[0].sockets[0].getsockname()[1]
        engine = runtime.vectors
        assert isinstance(engine, EdgeVectorStore)
        pipe.send((port, config.http_protocol_class.__name__, engine.engine_pid))
        while pipe.recv() is not None:
            pipe.send(notes.taken)
            notes.taken = []
        server.should_exit = True
        thread.join()


class Client:
    """One connection that is kept open; it does as little as can be."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, body: bytes) -> tuple[int, int]:
        """Return when the search was sent and when its answer was there, in nanoseconds of the clock."""
        head = f"POST /v1/categories/{CATEGORY}/search HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        started = time.perf_counter_ns()
        self._socket.sendall(head.encode() + body)
        answer = b""
        while (at := answer.find(b"\r\n\r\n")) < 0:
            answer += self._socket.recv(1 << 16)
        length = int(re.findall(rb"(?i)content-length: (\d+)", answer[:at])[0])
        while len(answer) < at + 4 + length:
            answer += self._socket.recv(1 << 16)
        ended = time.perf_counter_ns()
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"The server answered {answer.decode()}")
        return started, ended


@dataclass(frozen=True)
class Hop:
    """Medians of one hop over all searches, in microseconds."""

    name: str
    clock_us: float
    processor_us: float


def by_search(notes: Sequence[Note]) -> list[list[Note]]:
    """Return the notes of each search; those before the first search begins are of one that does not
    count."""
    found: list[list[Note]] = []
    for note in notes:
        if note.name == "arrived":
            found.append([])
        if found:
            found[-1].append(note)
    return found


def columns(rows: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    return list(zip(*rows, strict=True))


def hops(times: Sequence[tuple[int, int]], notes: Sequence[Note]) -> list[Hop]:
    """Return the medians of each hop. ``times``: when each search was sent and its answer received."""
    ends = [end for _, end in HOPS[:-1]]  # the last one is the client's
    clock: list[list[int]] = []
    processor: list[list[int]] = []
    used = by_search(notes)[0][0].processor
    for (sent, received), own in zip(times, by_search(notes), strict=False):
        if [note.name for note in own] != ends:
            raise SystemExit(f"The notes of a search are {[note.name for note in own]}, not {ends}.")
        clock.append(
            [end - start for start, end in pairwise([sent, *(note.clock for note in own), received])]
        )
        processor.append(
            [end - start for start, end in pairwise([used, *(note.processor for note in own)])] + [0]
        )
        used = own[-1].processor
    return [
        Hop(name, round(statistics.median(clocks) / 1e3, 1), round(statistics.median(used) / 1e3, 1))
        for (name, _), clocks, used in zip(HOPS, columns(clock), columns(processor), strict=True)
    ]


def run(shape: Shape, folder: Path, searches: int) -> dict[str, Any]:
    """Fill, serve, ask; ``folder`` is empty."""
    context = multiprocessing.get_context("spawn")
    pipe, far = context.Pipe()
    process = context.Process(target=serve, args=(far, folder, shape))
    process.start()
    far.close()
    try:
        port, protocol, engine = pipe.recv()
        bodies = http_bodies(make_vectors(shape)[1], range(shape.queries), "plain", "vector", shape.points)
        client = Client(port)
        for body in bodies[:WARM]:
            client.ask(body)
        pipe.send("discard")
        pipe.recv()
        before = processor_ms([engine])
        times = [client.ask(bodies[number % len(bodies)]) for number in range(searches)]
        engine_ms = processor_ms([engine]) - before
        client.ask(bodies[0])  # the last note of the search before it is taken by now
        pipe.send("notes")
        found = hops(times, pipe.recv())
        pipe.send(None)
    finally:
        process.join(60)
        if process.is_alive():
            process.kill()
    took = [(received - sent) / 1e3 for sent, received in times]
    return {
        "parameters": {"points": shape.points, "dim": shape.dim, "searches": searches},
        "protocol": protocol,
        "hops": [asdict(hop) for hop in found],
        "clock_us": round(statistics.median(took), 1),
        "processor_us": round(sum(hop.processor_us for hop in found), 1),
        "engine_processor_us": round(1e3 * engine_ms / searches, 1),
    }


def show(result: dict[str, Any]) -> None:
    print(f"{'':42}{'clock us':>10}{'processor us':>14}")
    for hop in result["hops"]:
        print(f"{hop['name']:42}{hop['clock_us']:>10.0f}{hop['processor_us']:>14.0f}")
    print(f"{'a search, seen by its client':42}{result['clock_us']:>10.0f}{result['processor_us']:>14.0f}")
    print(f"Processor of the engine's process: {result['engine_processor_us']:.0f} us a search.")
    print(f"HTTP is read by {result['protocol']}.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--searches", type=int, default=2_000)
    parser.add_argument("--json", type=Path, help="write parameters and figures here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = run(Shape(given.points, given.dim, 200, False), Path(folder), given.searches)
    show(result)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
