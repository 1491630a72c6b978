"""Cut the power of an embedded store many times, and count what was acknowledged and is gone: nothing may be.

A power cut is played by files: the engine's log as it was synced, every other file of the store with any of
its pages as of the last flush or as of now, new files present, empty or missing. Each cut has its own
mixture.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

from tests.services.vector_store.edge.power import after_power_cut
from tests.services.vector_store.edge_points import DIM, point_id, points
from vitrine.services.domain import CollectionSchema, VectorSpec
from vitrine.services.errors import StoreDamaged
from vitrine.services.vector_store.edge.store import EdgeVectorStore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuts", type=int, default=60)
    parser.add_argument(
        "--points", type=int, default=6_000, help="flushed before; from 5,000 on all are indexed"
    )
    parser.add_argument("--indexes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--old-log", action="store_true", help="lose the log as well: what is counted must show it"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitrine-power-") as work:
        print(json.dumps(run(args, Path(work)), indent=2))


def run(args: argparse.Namespace, work: Path) -> dict[str, object]:
    """Fill, flush, write on, and cut the power of copies."""
    indexes = {f"metadata.c{n}": "keyword" for n in range(args.indexes)}
    schema = CollectionSchema("cats", (VectorSpec("clip", DIM),), {"n": "integer", **indexes})
    store = EdgeVectorStore(work / "data", min_free_mb=0, auto_optimize=False)
    store.ensure(schema)
    store.upsert("cats", points(0, args.points))
    store.close()
    shutil.copytree(work / "data", work / "flushed")
    store = EdgeVectorStore(work / "data", min_free_mb=0, auto_optimize=False)
    last = args.points + 300
    store.upsert("cats", points(args.points, last))
    changed = {n: {"n": -n, "metadata": {f"c{n % args.indexes}": "red"}} for n in range(0, last, 11)}
    store.set_payload("cats", {point_id(n): payload for n, payload in changed.items()})
    gone = set(range(5, last, 20))
    store.delete("cats", [point_id(n) for n in gone])
    engine = store.engine_pid
    assert engine is not None
    os.kill(engine, signal.SIGKILL)
    time.sleep(0.5)
    shutil.copytree(work / "data", work / "now", ignore=shutil.ignore_patterns("engine.sock"))
    store.close()
    lost = damaged = doubled = 0
    seconds = []
    for cut in range(args.cuts):
        target = work / f"cut-{cut}"
        after_power_cut(work / "flushed", work / "now", target, random.Random(args.seed * 1000 + cut))
        if args.old_log:
            for path in (work / "flushed").rglob("wal/*"):
                shutil.copyfile(path, target / path.relative_to(work / "flushed"))
        started = time.perf_counter()
        again = EdgeVectorStore(target, min_free_mb=0)
        try:
            there = [n for n in range(last) if n not in gone]
            doubled += again.count("cats") > len(there)
            seconds.append(time.perf_counter() - started)
            for n, hit in zip(there, again.retrieve("cats", [point_id(n) for n in there]), strict=True):
                wanted = changed.get(n, {"n": n})
                lost += hit is None or any(hit.payload.get(key) != value for key, value in wanted.items())
        except StoreDamaged as error:
            damaged += 1
            print(error.message.partition(".")[0])
        again.close()
        shutil.rmtree(target)
    median = sorted(seconds)[len(seconds) // 2] if seconds else None
    return {
        "cuts": args.cuts,
        "acknowledged": last,
        "lost": lost,
        "damaged": damaged,
        "more than there were": doubled,
        "seconds to the first answer, median": median,
    }


if __name__ == "__main__":
    main()
