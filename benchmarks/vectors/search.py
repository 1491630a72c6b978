"""How fast the embedded engine, the Searcher and the HTTP API answer, and how much they find.

One process holds the engine, the Searcher and a uvicorn server; this one asks it over HTTP with a keep-alive
client, or has it time the engine and the Searcher itself. The rounds of all of them alternate, so that a busy
machine slows all alike; medians are over rounds. The processor time of server and engine together is less
noisy than the clock. The vectors lie around centres, as embeddings of pictures
do; ``--pure-noise`` spreads them evenly, which no picture collection does and which is the hardest case for
any index.

    python -m benchmarks.vectors.search --points 100000 --json search.json
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import platform
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from numpy.typing import NDArray

from benchmarks.processor_time import processor_ms
from vitrine.api.app import create_app
from vitrine.services.category.filters import Conditions, NumberRange
from vitrine.services.domain import Near, Point, Query
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ByVector
from vitrine.services.settings import Settings
from vitrine.services.vector_store.edge.store import EdgeVectorStore

CATEGORY, ENCODER = "bench", "bench"
CENTRES, SPREAD, TAGS = 1_000, 0.6, 20
BATCH = 1_000
FILTERS = {
    "plain": Conditions(),
    "tag 5 %": Conditions(tags_all=("tag-07",)),
    "score 10 %": Conditions(scores={"sharp": NumberRange(gte=0.9)}),
}
MAX_HTTP_OVERHEAD_MS, MAX_FILTERED_FACTOR, MIN_RECALL, MAX_OPTIMIZING_P99_MS = 3.0, 2.0, 0.98, 25.0
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """What the collection looks like; the same shape and seed give the same collection in every process."""

    points: int
    dim: int
    queries: int
    pure_noise: bool
    seed: int = 7

    @property
    def extra(self) -> int:
        """Points added before the index is rebuilt under load."""
        return self.points // 10


def make_vectors(shape: Shape) -> tuple[Vectors, Vectors]:
    """(points + extra, dim) and (queries, dim), unit length. A query is a point moved a little."""
    rng = np.random.default_rng(shape.seed)
    count = shape.points + shape.extra
    noise = unit(rng.standard_normal((count, shape.dim), dtype=np.float32))
    centres = unit(rng.standard_normal((CENTRES, shape.dim), dtype=np.float32))
    vectors = noise if shape.pure_noise else unit(centres[rng.integers(0, CENTRES, count)] + SPREAD * noise)
    near = vectors[rng.integers(0, shape.points, shape.queries)]
    return vectors, unit(near + 0.4 * unit(rng.standard_normal(near.shape, dtype=np.float32)))


def make_facts(shape: Shape) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Tag number and score of each point."""
    rng = np.random.default_rng(shape.seed + 1)
    count = shape.points + shape.extra
    return rng.integers(0, TAGS, count), rng.random(count)


def unit(rows: Vectors) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def point_id(row: int) -> str:
    return str(uuid.UUID(int=row + 1, version=5))


def payload(row: int, tag: int, score: float) -> dict[str, Any]:
    """As an indexed picture has it."""
    return {
        "sha256": f"{row:064x}",
        "phash": f"{row:016x}",
        "object_key": f"{CATEGORY}/images/00/00/{row:064x}.jpg",
        "source": "benchmark",
        "filename": f"{row}.jpg",
        "media_type": "image/jpeg",
        "width": 640 + row % 640,
        "height": 480,
        "bytes": 80_000 + row,
        "created_at": "2026-11-20T09:30:00.000+00:00",
        "indexed_at": "2026-11-20T09:30:00.000+00:00",
        "tags": [f"tag-{tag:02d}"],
        "class": f"class-{row % 100}",
        "scores": {"sharp": score},
        "quality": score,
    }


# The process that serves
# -------------------------------------------------------------------------------------------------


@contextmanager
def opened(folder: Path, dim: int) -> Iterator[Runtime]:
    """Open the stores in ``folder``, with an encoder that nobody asks."""
    settings = Settings(_env_file=None, data=folder, min_free_mb=0, encoder="colour", offline=True)
    vectors = EdgeVectorStore(folder / "vectors", min_free_mb=0, auto_optimize=False)
    pool = EncoderPool(settings)
    pool.register(ColourEncoder(ENCODER, dim))
    try:
        yield assemble(settings, vectors, LocalObjectStore(folder / "objects", min_free_mb=0), pool)
    finally:
        pool.close()
        vectors.close()


def serve(pipe: Connection, folder: Path, shape: Shape) -> None:
    """Fill the collection, serve it, and time the engine and the Searcher on command."""
    with opened(folder, shape.dim) as runtime:
        config = uvicorn.Config(
            create_app(runtime.settings, runtime=runtime), port=0, log_level="warning", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        pipe.send(server.servers[0].sockets[0].getsockname()[1])
        host = Host(runtime, shape)
        commands: dict[str, Callable[..., Any]] = {
            "fill": host.fill,
            "engine": host.time_engine,
            "searcher": host.time_searcher,
            "find": host.find,
            "optimizing": host.optimizing,
            "processes": lambda: [os.getpid(), runtime.vectors.engine_pid],
        }
        try:
            while (command := pipe.recv()) is not None:
                pipe.send(commands[command[0]](*command[1:]))
        finally:  # also if the other side is gone
            server.should_exit = True
            thread.join()


class Host:
    def __init__(self, runtime: Runtime, shape: Shape) -> None:
        self._runtime = runtime
        self._shape = shape
        self._vectors, self._queries = make_vectors(shape)
        self._tags, self._scores = make_facts(shape)

    def fill(self) -> dict[str, float]:
        runtime = self._runtime
        runtime.catalog.create(CATEGORY, [runtime.encoders.get(ENCODER).spec])
        runtime.catalog.ensure_indexes(CATEGORY, {"scores.sharp": "float"})
        started = time.perf_counter()
        self._upsert(0, self._shape.points)
        filled = time.perf_counter()
        runtime.vectors.optimize(CATEGORY)
        return {"fill_s": filled - started, "optimize_s": time.perf_counter() - filled}

    def time_engine(self, filter: str, numbers: Sequence[int]) -> list[float]:
        indexes = self._runtime.catalog.get(CATEGORY).indexes
        wanted = FILTERS[filter].to_filter(indexes)
        asks = [Query(Near(self._queries[n]), using=ENCODER, filter=wanted) for n in numbers]
        return [timed(self._runtime.vectors.query, CATEGORY, ask) for ask in asks]

    def time_searcher(self, filter: str, numbers: Sequence[int]) -> list[float]:
        options = SearchOptions(conditions=FILTERS[filter])
        search, asks = self._runtime.searcher.search, [ByVector(self._queries[n]) for n in numbers]
        return [timed(search, CATEGORY, ask, options) for ask in asks]

    def find(self, filter: str, numbers: Sequence[int]) -> list[list[str]]:
        options = SearchOptions(conditions=FILTERS[filter])
        asks = [ByVector(self._queries[n]) for n in numbers]
        found = [self._runtime.searcher.search(CATEGORY, ask, options) for ask in asks]
        return [[hit.id for hit in result.hits] for result in found]

    def optimizing(self) -> dict[str, Any]:
        """Query times while the points added before are being indexed."""
        runtime, found = self._runtime, []
        self._upsert(self._shape.points, self._shape.points + self._shape.extra)
        started = time.perf_counter()
        runtime.vectors.optimize(CATEGORY, wait=False)
        number, indexing = 0, True
        while indexing:
            numbers = [(number + step) % self._shape.queries for step in range(50)]
            found += self.time_engine("plain", numbers)
            number += 50
            info = runtime.vectors.info(CATEGORY)
            indexing = info.status == "indexing" and time.perf_counter() - started < 600
        return {
            "seconds": time.perf_counter() - started,
            "times": found,
            "indexed": info.indexed,
            "points": info.points,
        }

    def _upsert(self, start: int, stop: int) -> None:
        for first in range(start, stop, BATCH):
            rows = range(first, min(first + BATCH, stop))
            points = [
                Point(
                    point_id(row),
                    {ENCODER: self._vectors[row]},
                    payload(row, int(self._tags[row]), float(self._scores[row])),
                )
                for row in rows
            ]
            self._runtime.vectors.upsert(CATEGORY, points)


# The process that asks
# ---------------------------------------------------------------------------------------------------


class _Client:
    """One keep-alive connection; as little of its own as can be."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask(self, body: bytes) -> dict[str, Any]:
        self._connection.request(
            "POST", f"/v1/categories/{CATEGORY}/search", body, {"Content-Type": "application/json"}
        )
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise SystemExit(f"The server answered {answer.status}: {data.decode()}")
        found: dict[str, Any] = json.loads(data)
        return found

    def time(self, bodies: Sequence[bytes]) -> list[float]:
        return [timed(self.ask, body) for body in bodies]


def timed(call: Callable[..., object], *arguments: object) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    call(*arguments)
    return (time.perf_counter() - started) * 1000


def http_bodies(queries: Vectors, numbers: Sequence[int], filter: str, by: str, points: int) -> list[bytes]:
    tree = json.loads(FILTERS[filter].model_dump_json(by_alias=True, exclude_defaults=True))
    asks: list[dict[str, Any]] = [
        {"vector": queries[n].tolist()} if by == "vector" else {"id": point_id((n * 7919) % points)}
        for n in numbers
    ]
    return [json.dumps({**ask, "filter": tree}).encode() for ask in asks]


def recall(
    found: Sequence[Sequence[str]], shape: Shape, vectors: Vectors, queries: Vectors, mask: NDArray[np.bool_]
) -> float:
    """Mean share of the exact ten nearest (among ``mask``) that were found."""
    rows = np.flatnonzero(mask)
    shares = []
    for number, ids in enumerate(found):
        nearest = rows[np.argsort(-(vectors[rows] @ queries[number]), kind="stable")[:10]]
        shares.append(len({point_id(int(row)) for row in nearest} & set(ids)) / max(1, len(nearest)))
    return float(np.mean(shares))


def measure(
    call: Callable[..., Any], client: _Client, shape: Shape, queries: Vectors, rounds: int, size: int
) -> dict[str, Any]:
    """By way and filter, in ms: p50 (median of the rounds'), p99 of all, p50 over that of the engine in the
    same round, and the processor time of server and engine a query."""
    processes = call("processes")
    ways: dict[str, Callable[[str, list[int]], list[float]]] = {
        "engine": lambda filter, numbers: list(call("engine", filter, numbers)),
        "searcher": lambda filter, numbers: list(call("searcher", filter, numbers)),
        "http by vector": lambda filter, numbers: client.time(
            http_bodies(queries, numbers, filter, "vector", shape.points)
        ),
        "http by id": lambda filter, numbers: client.time(
            http_bodies(queries, numbers, filter, "id", shape.points)
        ),
    }
    taken: dict[tuple[str, str], list[list[float]]] = {
        (way, filter): [] for way in ways for filter in FILTERS
    }
    processor: dict[tuple[str, str], list[float]] = {key: [] for key in taken}
    for number in range(-1, rounds):
        numbers = [(max(number, 0) * size + step) % shape.queries for step in range(size)]
        for filter in FILTERS:
            for way, run in ways.items():
                before = processor_ms(processes)
                times = run(filter, numbers)
                if number >= 0:  # the first round only warms up
                    taken[way, filter].append(times)
                    processor[way, filter].append((processor_ms(processes) - before) / size)
    middles = {key: np.median(times, axis=1) for key, times in taken.items()}
    return {
        way: {
            filter: {
                "p50_ms": round(float(np.median(middles[way, filter])), 3),
                "p99_ms": round(float(np.percentile(taken[way, filter], 99)), 3),
                "over_engine_ms": round(
                    float(np.median(middles[way, filter] - middles["engine", filter])), 3
                ),
                "processor_ms": round(float(np.median(processor[way, filter])), 3),
                "times_plain": round(float(np.median(middles[way, filter] / middles[way, "plain"])), 3),
            }
            for filter in FILTERS
        }
        for way in ways
    }


def floors(result: dict[str, Any]) -> dict[str, bool]:
    """What must hold, and whether it does."""
    times = result["times"]
    held = {
        f"{way}: at most {MAX_HTTP_OVERHEAD_MS} ms over the engine": times[way]["plain"]["over_engine_ms"]
        <= MAX_HTTP_OVERHEAD_MS
        for way in ("http by vector", "http by id")
    }
    for filter in FILTERS:
        if filter != "plain":
            factor = times["engine"][filter]["times_plain"]
            held[f"{filter}: at most {MAX_FILTERED_FACTOR} times the plain query"] = (
                factor <= MAX_FILTERED_FACTOR
            )
        held[f"recall@10 {filter}: at least {MIN_RECALL}"] = result["recall_at_10"][filter] >= MIN_RECALL
    held[f"p99 while optimizing: under {MAX_OPTIMIZING_P99_MS} ms"] = (
        result["optimizing"]["p99_ms"] < MAX_OPTIMIZING_P99_MS
    )
    return held


def show(result: dict[str, Any]) -> None:
    print(f"{'':16}" + "".join(f"{filter + ' p50':>18}{'p99 ms':>10}" for filter in FILTERS))
    for way, filters in result["times"].items():
        print(
            f"{way:16}"
            + "".join(
                f"{filters[filter]['p50_ms']:>18.2f}{filters[filter]['p99_ms']:>10.2f}" for filter in FILTERS
            )
        )
    over = {
        way: filters["plain"]["over_engine_ms"] for way, filters in result["times"].items() if way != "engine"
    }
    print(
        "over the engine, in the same round: " + ", ".join(f"{way} {ms:.2f} ms" for way, ms in over.items())
    )
    print(
        "processor, of server and engine a query: "
        + ", ".join(
            f"{way} {filters['plain']['processor_ms']:.2f} ms" for way, filters in result["times"].items()
        )
    )
    print(
        f"{'recall@10':16}"
        + "".join(f"{result['recall_at_10'][filter]:>18.4f}{'':>10}" for filter in FILTERS)
    )
    busy = result["optimizing"]
    print(
        f"while optimizing: p50 {busy['p50_ms']:.2f} ms, p99 {busy['p99_ms']:.2f} ms, max "
        f"{busy['max_ms']:.1f} ms over {busy['queries']} queries in {busy['seconds']:.1f} s"
    )
    print(f"filling {result['build']['fill_s']:.1f} s, optimizing {result['build']['optimize_s']:.1f} s")
    for floor, held in result["floors"].items():
        print(f"  {'held  ' if held else 'BROKEN'}  {floor}")


def run(shape: Shape, folder: Path, rounds: int, size: int) -> dict[str, Any]:
    """Everything, in one go; ``folder`` is empty."""
    context = multiprocessing.get_context("spawn")
    pipe, far = context.Pipe()
    process = context.Process(target=serve, args=(far, folder, shape))
    process.start()
    far.close()

    def call(*command: Any) -> Any:
        pipe.send(command)
        return pipe.recv()

    try:
        client = _Client(pipe.recv())
        vectors, queries = make_vectors(shape)
        tags, scores = make_facts(shape)
        stored = np.arange(len(vectors)) < shape.points
        masks = {"plain": stored, "tag 5 %": stored & (tags == 7), "score 10 %": stored & (scores >= 0.9)}
        build = call("fill")
        numbers = list(range(shape.queries))
        found = {
            filter: recall(call("find", filter, numbers), shape, vectors, queries, masks[filter])
            for filter in FILTERS
        }
        times = measure(call, client, shape, queries, rounds, size)
        busy = call("optimizing")
        pipe.send(None)
    finally:
        process.join(60)
        if process.is_alive():
            process.kill()
    taken = busy.pop("times")
    return {
        "parameters": {
            **asdict(shape),
            "rounds": rounds,
            "queries_a_round": size,
            "centres": 0 if shape.pure_noise else CENTRES,
        },
        "machine": {
            "cpus": os.cpu_count(),
            "processor": platform.machine(),
            "python": platform.python_version(),
        },
        "build": {name: round(seconds, 2) for name, seconds in build.items()},
        "times": times,
        "recall_at_10": {filter: round(value, 4) for filter, value in found.items()},
        "optimizing": {
            "p50_ms": round(float(np.percentile(taken, 50)), 3),
            "p99_ms": round(float(np.percentile(taken, 99)), 3),
            "max_ms": round(max(taken), 3),
            "queries": len(taken),
            **busy,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200, help="different query vectors")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--round-size", type=int, default=50, help="queries of one way and filter in a round")
    parser.add_argument("--pure-noise", action="store_true", help="vectors without centres")
    parser.add_argument(
        "--folder", type=Path, help="where the collection is made (default: a temporary folder)"
    )
    parser.add_argument("--json", type=Path, help="write parameters and figures here")
    given = parser.parse_args()
    shape = Shape(given.points, given.dim, given.queries, given.pure_noise)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        result = run(shape, Path(folder), given.rounds, given.round_size)
    result["floors"] = floors(result)
    show(result)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
