"""A collection that grows to a million in the embedded engine: what writing, indexing, searching, opening and
keeping it cost at each size.

The vectors are a mixture of 3,000 Gaussians of unequal weight. Each lies in a space of 48 dimensions (one of
eight) around a centre, and the centres in one of 64, as embeddings of pictures do; all are of unit length.
Evenly spread vectors, which no collection of pictures gives, would be far harder. The nearest are known from
comparing all in numpy while they are made. Latency is that of ``VectorStore.query`` for ten hits with their
payload; on a machine with other work see the processor time of the engine, which is given beside it.

    python -m benchmarks.vectors.million --sizes 10000,100000,1000000 --quantization int8 \\
        --folder /tmp/million --json million.json --svg docs/images/million.svg
    python -m benchmarks.vectors.million --draw million.json --svg docs/images/million.svg
"""

from __future__ import annotations

import argparse
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.vectors.growth_plot import draw
from vitrine.services.category.fields import STANDARD_INDEXES
from vitrine.services.domain import CollectionSchema, Near, OrderBy, Point, Query, VectorSpec
from vitrine.services.filters.conditions import Filter, MatchValue, Range
from vitrine.services.vector_store.edge.files import disk_bytes
from vitrine.services.vector_store.edge.store import EdgeVectorStore

NAME, VECTOR = "million", "clip"
BLOCK = 10_000
CENTRES, GROUPS, LATENT, CENTRE_LATENT = 3_000, 8, 48, 64
MB = 1 << 20
Rows = NDArray[np.float32]


class Mixture:
    """Where the vectors come from; the same seed gives the same ones."""

    def __init__(self, dim: int) -> None:
        rng = np.random.default_rng(7)
        self._spaces = rng.normal(size=(GROUPS, LATENT, dim)).astype(np.float32)
        low = rng.normal(size=(CENTRES, CENTRE_LATENT)) @ rng.normal(size=(CENTRE_LATENT, dim))
        self._centres = _unit(low.astype(np.float32))
        weights = rng.pareto(1.5, CENTRES) + 0.2
        self._weights = weights / weights.sum()
        self.dim = dim

    def draw(self, count: int, seed: int) -> Rows:
        """Return (count, dim) vectors of unit length."""
        rng = np.random.default_rng([11, seed])
        centre = rng.choice(CENTRES, count, p=self._weights)
        rows = np.empty((count, self.dim), np.float32)
        for group in range(GROUPS):
            here = np.flatnonzero(centre % GROUPS == group)
            off = rng.normal(size=(len(here), LATENT)).astype(np.float32) @ self._spaces[group]
            rows[here] = self._centres[centre[here]] + 0.8 * _unit(off)
        return _unit(rows + 0.01 * rng.normal(size=rows.shape).astype(np.float32))


class Columns:
    """The fields of a block of points that filters ask for."""

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng([13, seed])
        self.width = rng.integers(300, 4_000, count)
        self.height = rng.integers(300, 4_000, count)
        self.bytes = rng.integers(10_000, 4_000_000, count)
        self.kind = rng.integers(0, 50, count)
        self.tags = rng.integers(0, 40, (count, 2))
        self.quality = rng.random(count)

    def payload(self, row: int, number: int) -> dict[str, Any]:
        """Return what an indexed picture has in its payload."""
        digest = uuid.UUID(int=number * 0x9E3779B97F4A7C15 % (1 << 128)).hex
        return {
            "sha256": digest * 2,
            "phash": digest[:16],
            "object_key": f"{NAME}/images/{digest[:2]}/{digest[2:4]}/{digest * 2}.jpg",
            "source": "shots",
            "filename": f"shots/{number // 1000:05d}/IMG_{number:07d}.jpg",
            "media_type": "image/jpeg",
            "width": int(self.width[row]),
            "height": int(self.height[row]),
            "bytes": int(self.bytes[row]),
            "indexed_at": f"2026-11-{1 + number % 28:02d}T{number % 24:02d}:{number % 60:02d}:00Z",
            "class": f"class-{self.kind[row]:02d}",
            "tags": sorted({f"tag-{tag:02d}" for tag in self.tags[row]}),
            "quality": float(self.quality[row]),
        }


FILTERS: dict[str, tuple[Filter | None, Callable[[Columns], NDArray[np.bool_]]]] = {
    "plain": (None, lambda block: np.ones(len(block.kind), bool)),
    "class 2 %": (
        Filter((MatchValue("class", "class-07"),)),
        lambda block: block.kind == 7,
    ),
    "tag 5 %": (
        Filter((MatchValue("tags", "tag-07"),)),
        lambda block: (block.tags == 7).any(axis=1),
    ),
    "width 54 %": (Filter((Range("width", gte=2_000),)), lambda block: block.width >= 2_000),
}


class Nearest:
    """The ten nearest to each query among all vectors seen so far, by filter."""

    def __init__(self, queries: Rows) -> None:
        self._queries = queries
        shape = (len(queries), 0)
        self._best = {name: (np.empty(shape, np.float32), np.empty(shape, np.int64)) for name in FILTERS}

    def see(self, rows: Rows, columns: Columns, first: int) -> None:
        """Take in the rows, which are points number ``first`` and on."""
        scores = self._queries @ rows.T
        numbers = np.broadcast_to(np.arange(first, first + len(rows)), scores.shape)
        for name, (_, mask) in FILTERS.items():
            kept = mask(columns)
            known, ids = self._best[name]
            both = np.concatenate([known, scores[:, kept]], axis=1)
            named = np.concatenate([ids, numbers[:, kept]], axis=1)
            top = np.argsort(-both, axis=1)[:, :10]
            self._best[name] = np.take_along_axis(both, top, 1), np.take_along_axis(named, top, 1)

    def ids(self, name: str) -> list[set[str]]:
        return [{point_id(int(number)) for number in row} for row in self._best[name][1]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="10000,30000,100000,300000,1000000")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--quantization", choices=("none", "int8", "turbo4"), default="none")
    parser.add_argument("--folder", type=Path, help="where the data goes, and stays; it must not exist")
    parser.add_argument("--json", type=Path, help="write the figures to this file, after each size")
    parser.add_argument("--draw", type=Path, help="only draw the figures of this file")
    parser.add_argument("--svg", type=Path, help="draw the growth into this file")
    given = parser.parse_args()
    if given.draw:
        results = json.loads(given.draw.read_text())
    else:
        if given.folder is None or given.folder.exists():
            parser.error("--folder names a folder that does not exist yet")
        results = measure(given)
    if given.svg:
        given.svg.write_text(draw(results))


def measure(given: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the figures of each size."""
    sizes = [int(word) for word in given.sizes.split(",")]
    mixture = Mixture(given.dim)
    queries = mixture.draw(given.queries, -1 % (1 << 32))
    truth = Nearest(queries)
    form = None if given.quantization == "none" else given.quantization
    schema = CollectionSchema(NAME, (VectorSpec(VECTOR, given.dim),), dict(STANDARD_INDEXES), form)
    store = EdgeVectorStore(given.folder, auto_optimize=False)
    store.ensure(schema)
    results: list[dict[str, Any]] = []
    done = 0
    for size in sizes:
        figures: dict[str, Any] = {"points": size, "quantization": given.quantization, "dim": given.dim}
        figures["write_s"] = _write(store, mixture, truth, done, size)
        figures["written"] = size - done
        done = size
        figures |= _index(store, queries)
        figures |= _searched(store, queries, truth)
        figures |= _others(store)
        store.close()
        started = time.perf_counter()
        store = EdgeVectorStore(given.folder, auto_optimize=False)
        store.query(NAME, Query(Near(queries[0]), VECTOR))
        figures["restart_s"] = time.perf_counter() - started
        for _ in range(3):
            _answers(store, queries, None)
        figures |= {f"fresh_{name}": value for name, value in _memory(store).items()}
        figures["disk_mb"] = disk_bytes(given.folder) / MB
        results.append(figures)
        print(json.dumps(figures), flush=True)
        if given.json:
            given.json.write_text(json.dumps(results, indent=1))
    store.close()
    return results


def _write(store: EdgeVectorStore, mixture: Mixture, truth: Nearest, first: int, last: int) -> float:
    """Write the points from ``first`` up to ``last``, and return the seconds that the store took."""
    took = 0.0
    for start in range(first, last, BLOCK):
        count = min(BLOCK, last - start)
        rows, columns = mixture.draw(count, start), Columns(count, start)
        truth.see(rows, columns, start)
        points = [
            Point(point_id(start + row), {VECTOR: rows[row]}, columns.payload(row, start + row))
            for row in range(count)
        ]
        started = time.perf_counter()
        for at in range(0, count, 2_000):
            store.upsert(NAME, points[at : at + 2_000])
        took += time.perf_counter() - started
    return took


def _index(store: EdgeVectorStore, queries: Rows) -> dict[str, float]:
    """Build the index, and watch the process that does it, and searches meanwhile."""
    ended = threading.Event()

    def build() -> None:
        store.optimize(NAME)
        ended.set()

    started = time.perf_counter()
    thread = threading.Thread(target=build)
    thread.start()
    peak = anonymous = seconds = 0.0
    took = []
    while not ended.wait(0.2):
        with suppress(psutil.Error, IndexError):
            child = psutil.Process(store.engine_pid).children()[0]
            memory = child.memory_full_info()
            peak, anonymous = max(peak, memory.rss / MB), max(anonymous, memory.uss / MB)
            seconds = max(seconds, sum(child.cpu_times()[:2]))
        asked = time.perf_counter()
        store.query(NAME, Query(Near(queries[len(took) % len(queries)]), VECTOR))
        took.append((time.perf_counter() - asked) * 1000)
    thread.join()
    return {
        "index_s": time.perf_counter() - started,
        "index_cpu_s": seconds,
        "index_peak_mb": peak,
        "index_peak_own_mb": anonymous,
        "while_indexing_p50_ms": float(np.median(took)) if took else 0.0,
        "while_indexing_p99_ms": float(np.quantile(took, 0.99)) if took else 0.0,
        "indexed": store.info(NAME).indexed,
    }


def _searched(store: EdgeVectorStore, queries: Rows, truth: Nearest) -> dict[str, Any]:
    """Time the searches of each filter in rounds that alternate, and compare what they find."""
    took: dict[str, list[float]] = {name: [] for name in FILTERS}
    cpu: dict[str, float] = dict.fromkeys(FILTERS, 0.0)
    recall: dict[str, float] = {}
    for _ in range(3):
        for name, (filter, _) in FILTERS.items():
            before = _cpu(store)
            found, times = _answers(store, queries, filter)
            cpu[name] += (_cpu(store) - before) * 1000 / (3 * len(queries))
            took[name] += times
            wanted = truth.ids(name)
            recall[name] = float(
                np.mean([len(a & b) / max(1, len(b)) for a, b in zip(found, wanted, strict=True)])
            )
    return {
        "search": {
            name: {
                "p50_ms": float(np.median(times)),
                "p99_ms": float(np.quantile(times, 0.99)),
                "cpu_ms": cpu[name],
                "recall": recall[name],
            }
            for name, times in took.items()
        }
    } | _memory(store)


def _answers(
    store: EdgeVectorStore, queries: Rows, filter: Filter | None
) -> tuple[list[set[str]], list[float]]:
    found, times = [], []
    for vector in queries:
        started = time.perf_counter()
        hits = store.query(NAME, Query(Near(vector), VECTOR, filter=filter))
        times.append((time.perf_counter() - started) * 1000)
        found.append({hit.id for hit in hits})
    return found, times


def _others(store: EdgeVectorStore) -> dict[str, float]:
    """Return milliseconds of what else a page of results asks for, medians of nine."""
    steps = [tenth / 10 for tenth in range(10)]
    bounds = [Filter((Range("quality", gte=low, lt=low + 0.1),)) for low in steps]
    asked: dict[str, Callable[[], object]] = {
        "facet_class_ms": lambda: store.facet(NAME, "class"),
        "facet_tags_filtered_ms": lambda: store.facet(NAME, "tags", filter=FILTERS["class 2 %"][0]),
        "histogram_ms": lambda: [store.count(NAME, bound) for bound in bounds],
        "count_filtered_ms": lambda: store.count(NAME, FILTERS["tag 5 %"][0]),
        "list_ms": lambda: store.scroll(NAME, limit=50),
        "list_ordered_ms": lambda: store.scroll(NAME, order_by=OrderBy("quality", True), limit=50),
        "set_payload_ms": _changes(store),
    }
    return {name: float(np.median([_milliseconds(call) for _ in range(9)])) for name, call in asked.items()}


def _changes(store: EdgeVectorStore) -> Callable[[], object]:
    numbers: Iterator[int] = iter(range(1_000))
    return lambda: store.set_payload(NAME, {point_id(next(numbers)): {"caption": "a cup"}})


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def _cpu(store: EdgeVectorStore) -> float:
    return float(sum(psutil.Process(store.engine_pid).cpu_times()[:2]))


def _memory(store: EdgeVectorStore) -> dict[str, float]:
    """Return the megabytes that the engine holds: resident, and of those its own rather than mapped files."""
    lines = Path(f"/proc/{store.engine_pid}/status").read_text().splitlines()
    sizes = {
        line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmR", "RssA"))
    }
    return {"resident_mb": sizes["VmRSS"], "resident_own_mb": sizes["RssAnon"]}


def point_id(number: int) -> str:
    """Return the id of a point; ids are spread as those of pictures are."""
    return str(uuid.UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)))


def _unit(rows: Rows) -> Rows:
    unit: Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


if __name__ == "__main__":
    main()
