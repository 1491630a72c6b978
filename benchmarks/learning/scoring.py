"""Images a second whose scores are written: 100,000 images of 512 components by 50 taggers, unless told
otherwise.

The vectors are random, stored and indexed first; the taggers are made by hand. Measured is ``score_images``
as it is served: the rate, the matrix product alone, queries that go on meanwhile, the resident memory of both
processes and the engine's files. A second run over scored images, and one by taggers that were trained again,
follow. ``--compare`` puts ways to write next to each other, each on a copy of the same category. ``--server``
runs on qdrant-client's in-process mode instead, which shows no server's speed but where our own time goes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from vitrine.indexer.enrich.scores.head_sets import by_vector, rounded_scores
from vitrine.indexer.enrich.scores.score_payload import rescored
from vitrine.indexer.enrich.scores.scoring import score_images
from vitrine.indexer.job import payload_writer
from vitrine.indexer.job.progress import make_progress
from vitrine.services.artifacts.taggers import HeadSet, TagHead
from vitrine.services.domain import Embeddings, Near, Payload, Point, Query
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.images.open import point_id
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble, open_runtime
from vitrine.services.settings import Settings
from vitrine.services.vector_store.edge.files import copy_sparse, disk_bytes
from vitrine.services.vector_store.server.store import ServerVectorStore

CATEGORY, MB = "bench", 1e6
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--tags", type=int, default=50)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument(
        "--batch", type=int, default=payload_writer.PAGE, help="images read and written at a time"
    )
    parser.add_argument(
        "--flush-every", type=int, default=payload_writer.FLUSH_EVERY, help="images between two flushes"
    )
    parser.add_argument(
        "--compare", type=int, metavar="IMAGES", help="only compare ways to write to so many of the images"
    )
    parser.add_argument(
        "--server", action="store_true", help="qdrant-client in this process instead of the embedded engine"
    )
    parser.add_argument("--once", action="store_true", help="without the second and the third run")
    parser.add_argument("--work", type=Path, help="folder for the data (default: a temporary one)")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    args = parser.parse_args()
    payload_writer.FLUSH_EVERY = args.flush_every
    with tempfile.TemporaryDirectory(prefix="vitrine-scoring-", dir=args.work) as work:
        figures = compare(args, Path(work)) if args.compare else run(args, Path(work))
    if args.json:
        args.json.write_text(
            json.dumps(
                {"parameters": {k: str(v) for k, v in vars(args).items()}, "figures": figures}, indent=1
            )
        )


def run(args: argparse.Namespace, work: Path) -> dict[str, Figures]:
    """Figures of the runs, by what they are of."""
    found: dict[str, Figures] = {}
    with opened(work / "data", args.dim, server=args.server) as runtime:
        fill(runtime, args.images, args.dim)
        found["before"] = {"file MB": megabytes(work), **queries_alone(runtime, args.dim)}
        show("before", found["before"])
        train(runtime, args.tags, args.dim, seed=1)
        found["scored"] = scored(runtime, args, work)
        if not args.once:
            found["again"] = scored(runtime, args, work)
            train(runtime, args.tags, args.dim, seed=2)
            found["trained again"] = scored(runtime, args, work)
        started = time.perf_counter()
        runtime.vectors.optimize(CATEGORY)
        after = {"optimize s": round(time.perf_counter() - started, 1), "file MB": megabytes(work)}
        found["after"] = after | queries_alone(runtime, args.dim)
        show("after", found["after"])
    return found


def scored(runtime: Runtime, args: argparse.Namespace, work: Path) -> Figures:
    """One run of ``score_images`` beside queries."""
    started = time.perf_counter()
    kinds = {f"scores.tag{number}": "float" for number in range(args.tags)}
    runtime.catalog.ensure_indexes(CATEGORY, kinds)  # type: ignore[arg-type]
    indexing = time.perf_counter() - started
    with watched(runtime, args.dim) as seen, timed_flushes(runtime) as flushes:
        report = score_images(runtime, CATEGORY, batch=args.batch, progress=make_progress())
    figures: Figures = {
        "images/s": round(report.rate),
        "seconds": round(report.seconds, 1),
        "written": report.written,
        "indexes s": round(indexing, 1),
        "product s": round(product(args), 2),
        "flushes": len(flushes),
        "flush s": round(max(flushes, default=0.0), 2),
        **summary(seen),
        "file MB": megabytes(work),
    }
    show(f"{report.written} written", figures)
    return figures


def product(args: argparse.Namespace) -> float:
    """Seconds of the matrix products alone."""
    heads = by_hand(args.tags, args.dim, "colour", "", seed=1)
    rows, heads_of = unit_rows(args.batch, args.dim, 3), HeadSet(heads)
    started = time.perf_counter()
    for _ in range(0, args.images, args.batch):
        heads_of.scores(rows)
    return time.perf_counter() - started


# Ways to write
# ------------------------------------------------------------------------------------------------------------


def compare(args: argparse.Namespace, work: Path) -> dict[str, Figures]:
    """The same scores written in several ways, each on a copy of the same category, twice in turn.

    Indexes on the scores are there before, and their making is not measured, except where it is the last
    step.
    """
    with opened(work / "data", args.dim) as runtime:
        fill(runtime, args.images, args.dim)
        train(runtime, args.tags, args.dim, seed=1)
    found: dict[str, Figures] = {name: {"images/s": [], "engine ms/image": []} for name in WAYS}
    for _ in range(2):
        for name, way in WAYS.items():
            copy_sparse(work / "data", work / "copy")
            with opened(work / "copy", args.dim) as runtime:
                ids, updates = changes(runtime, args.compare)
                if way is not indexed_after:
                    index_scores(runtime, updates)
                engine = psutil.Process(runtime.vectors.engine_pid)  # type: ignore[attr-defined]
                before, started = engine.cpu_times(), time.perf_counter()
                way(runtime, ids, updates)
                seconds, after = time.perf_counter() - started, engine.cpu_times()
            shutil.rmtree(work / "copy")
            spent = after.user + after.system - before.user - before.system
            found[name]["images/s"].append(round(len(ids) / seconds))
            found[name]["engine ms/image"].append(round(1000 * spent / len(ids), 2))
            show(name, {key: values[-1] for key, values in found[name].items()})
    return found


def changes(runtime: Runtime, count: int) -> tuple[list[str], dict[str, Payload]]:
    """What scoring would write to the first images."""
    heads = by_vector(runtime.catalog.get(CATEGORY), runtime.taggers.in_service(CATEGORY))["colour"]
    page = runtime.vectors.scroll(CATEGORY, limit=count, with_vectors=("colour",))
    rows = rounded_scores(heads, np.stack([hit.vectors["colour"] for hit in page.hits]))
    pairs = zip(page.hits, rows, strict=True)
    return [hit.id for hit in page.hits], {
        hit.id: rescored(hit.payload, list(zip(heads.heads, row, strict=True))).set for hit, row in pairs
    }


def index_scores(runtime: Runtime, updates: dict[str, Payload]) -> None:
    tags = next(iter(updates.values()))["scores"]
    runtime.catalog.ensure_indexes(CATEGORY, {f"scores.{tag}": "float" for tag in tags})


def in_parts(updates: dict[str, Payload], size: int) -> Iterator[dict[str, Payload]]:
    items = list(updates.items())
    for start in range(0, len(items), size):
        yield dict(items[start : start + size])


def flushed_late(size: int) -> Callable[[Runtime, list[str], dict[str, Payload]], None]:
    def way(runtime: Runtime, ids: list[str], updates: dict[str, Payload]) -> None:
        for part in in_parts(updates, size):
            runtime.vectors.set_payload(CATEGORY, part, durable=False)
        runtime.vectors.flush(CATEGORY)

    return way


def flushed_each(size: int) -> Callable[[Runtime, list[str], dict[str, Payload]], None]:
    def way(runtime: Runtime, ids: list[str], updates: dict[str, Payload]) -> None:
        for part in in_parts(updates, size):
            runtime.vectors.set_payload(CATEGORY, part)

    return way


def indexed_after(runtime: Runtime, ids: list[str], updates: dict[str, Payload]) -> None:
    for part in in_parts(updates, 500):
        runtime.vectors.set_payload(CATEGORY, part, durable=False)
    runtime.vectors.flush(CATEGORY)
    index_scores(runtime, updates)


def in_two_operations(runtime: Runtime, ids: list[str], updates: dict[str, Payload]) -> None:
    """``scored_by`` apart from the scores, which a kill may come between: for comparison only."""
    for part in in_parts(updates, 500):
        runtime.vectors.set_payload(
            CATEGORY, {id: p["scores"] for id, p in part.items()}, key="scores", durable=False
        )
        runtime.vectors.set_payload(
            CATEGORY, {id: {"scored_by": p["scored_by"]} for id, p in part.items()}, durable=False
        )
    runtime.vectors.flush(CATEGORY)


def whole_points(runtime: Runtime, ids: list[str], updates: dict[str, Payload]) -> None:
    """Read, and upserted with vectors and all."""
    for part in in_parts(updates, 500):
        hits = runtime.vectors.retrieve(CATEGORY, list(part), with_vectors=("colour",))
        points = [Point(hit.id, hit.vectors, {**hit.payload, **part[hit.id]}) for hit in hits if hit]
        runtime.vectors.upsert(CATEGORY, points)


WAYS: dict[str, Callable[[Runtime, list[str], dict[str, Payload]], None]] = {
    "500 at a time, one flush": flushed_late(500),
    "2000 at a time, one flush": flushed_late(2000),
    "500 at a time, a flush each": flushed_each(500),
    "2000 at a time, a flush each": flushed_each(2000),
    "indexed after the data": indexed_after,
    "scores and scored_by apart (unsafe)": in_two_operations,
    "whole points": whole_points,
}

# What is measured beside
# -----------------------------------------------------------------------------------------------------


@contextmanager
def watched(runtime: Runtime, dim: int) -> Iterator[dict[str, list[float]]]:
    """Resident bytes of this process and of the engine's, and seconds of queries, while the block runs."""
    seen: dict[str, list[float]] = {"own": [], "engine": [], "engine's own": [], "query": []}
    over, own = threading.Event(), psutil.Process()

    def watch() -> None:
        rows = unit_rows(64, dim, 9)
        while not over.wait(0.05):
            seen["query"].append(ask(runtime, rows[len(seen["query"]) % 64]))
            seen["own"].append(own.memory_info().rss)
            pid = getattr(runtime.vectors, "engine_pid", None)
            memory = psutil.Process(pid).memory_info() if pid else None
            seen["engine"].append(memory.rss if memory else 0)
            seen["engine's own"].append(
                memory.rss - memory.shared if memory else 0
            )  # without the files it maps

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


@contextmanager
def timed_flushes(runtime: Runtime) -> Iterator[list[float]]:
    """Seconds of each flush."""
    found: list[float] = []
    flush = runtime.vectors.flush

    def timed(collection: str) -> None:
        started = time.perf_counter()
        flush(collection)
        found.append(time.perf_counter() - started)

    runtime.vectors.flush = timed  # type: ignore[method-assign]
    try:
        yield found
    finally:
        runtime.vectors.flush = flush  # type: ignore[method-assign]


def ask(runtime: Runtime, vector: Any) -> float:
    started = time.perf_counter()
    runtime.vectors.query(CATEGORY, Query(Near(vector), using="colour", limit=10, with_payload=("filename",)))
    return time.perf_counter() - started


def queries_alone(runtime: Runtime, dim: int) -> Figures:
    spent = [ask(runtime, row) for row in unit_rows(200, dim, 9)]
    return {"query p50 ms": milliseconds(spent, 50), "query p99 ms": milliseconds(spent, 99)}


def summary(seen: dict[str, list[float]]) -> Figures:
    """Of what was watched; growth is that of the last fifth over the second."""
    if not seen["own"]:
        return {}
    fifth = max(1, len(seen["own"]) // 5)
    growth = {
        f"{who} growth MB": round((max(seen[who][-fifth:]) - max(seen[who][fifth : 2 * fifth] or [0])) / MB)
        for who in ("own", "engine", "engine's own")
    }
    peaks = {f"{who} peak MB": round(max(seen[who]) / MB) for who in ("own", "engine", "engine's own")}
    times = {f"query p{part} ms": milliseconds(seen["query"], part) for part in (50, 99)}
    return times | {"query max ms": milliseconds(seen["query"], 100)} | peaks | growth


def milliseconds(seconds: Sequence[float], percentile: int) -> float:
    return round(float(np.percentile(seconds, percentile)) * 1000, 1)


def megabytes(work: Path) -> int:
    return round(disk_bytes(work) / MB)


def show(name: str, figures: Figures) -> None:
    print(f"{name:<36} " + ", ".join(f"{key} {value}" for key, value in figures.items()), flush=True)


# Data
# ------------------------------------------------------------------------------------------------------------


@contextmanager
def opened(data: Path, dim: int, *, server: bool = False) -> Iterator[Runtime]:
    settings = Settings(data=data, min_free_mb=512, _env_file=None)  # type: ignore[call-arg,unused-ignore]
    if not server:
        with open_runtime(settings) as runtime:
            runtime.encoders.register(ColourEncoder(dim=dim))
            yield runtime
        return
    from qdrant_client import QdrantClient

    pool = EncoderPool(settings)
    pool.register(ColourEncoder(dim=dim))
    store = ServerVectorStore(QdrantClient(":memory:"))
    yield assemble(settings, store, LocalObjectStore(data / "objects", min_free_mb=0), pool)


def fill(runtime: Runtime, images: int, dim: int) -> None:
    """A category of random vectors, with payloads such as indexing writes, under the search index."""
    runtime.catalog.create(
        CATEGORY, [runtime.encoders.get("colour").spec] if dim == 64 else [ColourEncoder(dim=dim).spec]
    )
    for start in range(0, images, 1000):
        rows = unit_rows(min(1000, images - start), dim, start)
        runtime.vectors.upsert(CATEGORY, [_point(start + number, row) for number, row in enumerate(rows)])
    print("building the search index", file=sys.stderr)
    runtime.vectors.optimize(CATEGORY)


def _point(number: int, row: Any) -> Point:
    payload = {
        "sha256": f"{number:064x}",
        "phash": f"{number:016x}",
        "object_key": f"bench/images/{number:064x}.jpg",
        "source": "bench",
        "filename": f"{number}.jpg",
        "media_type": "image/jpeg",
        "width": 500,
        "height": 375,
        "bytes": 40_000 + number % 999,
        "created_at": "2026-11-21T00:00:00+00:00",
        "indexed_at": "2026-11-21T00:00:00+00:00",
        "tags": ["all", f"group{number % 10}"],
        "class": f"class{number % 10}",
    }
    return Point(point_id(payload["sha256"]), {"colour": row}, payload)


def unit_rows(count: int, dim: int, seed: int) -> Embeddings:
    rows = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    unit: Embeddings = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def train(runtime: Runtime, tags: int, dim: int, seed: int) -> None:
    """Put taggers of random weights into service."""
    spec = runtime.catalog.get(CATEGORY).encoder("colour")
    runtime.taggers.save(CATEGORY, by_hand(tags, dim, spec.name, spec.revision, seed))


def by_hand(tags: int, dim: int, using: str, revision: str, seed: int) -> list[TagHead]:
    head = TagHead(
        "", "logistic-regression", using, revision, np.zeros(dim, np.float32), 0.0, trained_at="2026"
    )
    rows = 20 * unit_rows(tags, dim, seed)
    return [replace(head, tag=f"tag{number}", weight=row) for number, row in enumerate(rows)]


if __name__ == "__main__":
    main()
