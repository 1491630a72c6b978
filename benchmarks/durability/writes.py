"""How long a write takes until it is acknowledged, alone and sixteen at once, and what searches wait
meanwhile.

For numbers of payload indexes: an upsert of one point (an upload) and a change of one payload (an edit), by
one caller and by sixteen, while another caller searches. Another version is measured in turns by `--other`,
the folder that holds its `vitrine`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DIM = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--indexes", type=int, nargs="+", default=[11, 60, 200])
    parser.add_argument("--points", type=int, default=6_000)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--other", type=Path, help="folder of another version's `vitrine`, asked in turns")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only is not None:
        print(json.dumps(measure(args.only, args.points, args.seconds)))
        return
    for indexes in args.indexes:
        versions = {"other": args.other, "this": None} if args.other else {"this": None}
        for version, root in versions.items():
            env = os.environ if root is None else {**os.environ, "PYTHONPATH": str(root)}
            command = [sys.executable, "-P", __file__, "--only", str(indexes), "--points", str(args.points)]
            done = subprocess.run(
                [*command, "--seconds", str(args.seconds)],
                env=env,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            print(json.dumps({"version": version, "indexes": indexes, **json.loads(done.stdout)}), flush=True)


def measure(indexes: int, points: int, seconds: float) -> dict[str, list[float]]:
    """Return [median, 99th percentile] in ms by what was done and how many did it at once."""
    from tests.services.vector_store.edge_points import point_id
    from vitrine.services.domain import CollectionSchema, Near, Point, Query, VectorSpec
    from vitrine.services.vector_store.edge.store import EdgeVectorStore

    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(points, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    fields = [f"c{n}" for n in range(indexes)]
    schema = CollectionSchema(
        "cats", (VectorSpec("clip", DIM),), {f"metadata.{f}": "keyword" for f in fields}
    )

    def point(number: int) -> Point:
        payload = {"metadata": {field: f"v{number % 9}" for field in fields[:: max(1, indexes // 8)]}}
        return Point(point_id(number), {"clip": vectors[number % points]}, payload)

    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="vitrine-writes-") as folder:
        store = EdgeVectorStore(Path(folder), min_free_mb=0, auto_optimize=False)
        store.ensure(schema)
        for start in range(0, points, 500):
            store.upsert("cats", [point(n) for n in range(start, min(points, start + 500))])
        ask = Query(Near(vectors[0]), "clip", limit=10)
        upload = lambda n: store.upsert("cats", [point(points + n)])  # noqa: E731
        edit = lambda n: store.set_payload("cats", {point_id(n % points): {"metadata": {"c0": f"w{n}"}}})  # noqa: E731
        for name, write in (("upload", upload), ("edit", edit)):
            for callers in (1, 16):
                taken, searched = together(write, callers, lambda: store.query("cats", ask), seconds)
                figures[f"{name}, {callers} at once"] = taken
                figures[f"search beside it ({name}, {callers})"] = searched
        store.close()
    return figures


def together(
    write: Callable[[int], object], callers: int, search: Callable[[], object], seconds: float
) -> tuple[list[float], list[float]]:
    """Return median and 99th percentile of the writes of so many callers, and of a search a tenth of a
    second."""
    end = time.perf_counter() + seconds
    numbers, taken, searched = iter(range(10**9)), list[float](), list[float]()
    mutex = threading.Lock()

    def go_on(call: Callable[[], object], into: list[float], pause: float) -> None:
        while time.perf_counter() < end or not into:
            started = time.perf_counter()
            call()
            into.append(1000 * (time.perf_counter() - started))
            time.sleep(pause)

    def next_write() -> None:
        with mutex:
            number = next(numbers)
        write(number)

    threads = [threading.Thread(target=go_on, args=(next_write, taken, 0.0)) for _ in range(callers)]
    threads.append(threading.Thread(target=go_on, args=(search, searched, 0.1)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _quantiles(taken), _quantiles(searched)


def _quantiles(taken: list[float]) -> list[float]:
    return [round(float(np.quantile(taken, q)), 2) for q in (0.5, 0.99)]


if __name__ == "__main__":
    main()
