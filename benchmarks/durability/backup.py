"""Restore drill: back a category up while another process writes to it, restore it on the embedded engine and
on the in-process Qdrant client, and ask all of them the same queries.

The other process tags, adds and deletes images marked `hot` all the time, two at once. Counted: queries over
the other images whose ids differ, similarities that differ by more than 1e-6, images without their picture,
changes of two hot images of which one is there and the other is not, and pictures whose bytes differ.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient

from vitrine.indexer.backup.create import create_backup
from vitrine.indexer.backup.place import open_place
from vitrine.indexer.backup.restore import restore_backup
from vitrine.indexer.backup.verify import verify_backups
from vitrine.services.category.editor import ImageChanges
from vitrine.services.category.read_all import read_all
from vitrine.services.domain import EncoderSpec, Hit, Near, Point, Preprocessing, Query
from vitrine.services.filters.conditions import Filter, MatchValue
from vitrine.services.images.open import content_hash, object_key, point_id
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime, assemble, open_runtime
from vitrine.services.settings import Settings
from vitrine.services.vector_store.server.store import ServerVectorStore

CATEGORY, USING, DIM = "drill", "random", 512
HOT = 100
PICTURE_BYTES = 20_000
STABLE = Filter(must_not=(MatchValue("tags", "hot"),))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        write_all_the_time(args.child)
    with tempfile.TemporaryDirectory(prefix="vitrine-drill-") as work:
        figures = drill(args, Path(work))
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:<{width}}  {value}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2))
    sys.exit(any(value for name, value in figures.items() if name.startswith("wrong: ")))


def drill(args: argparse.Namespace, work: Path) -> dict[str, float]:
    figures: dict[str, float] = {}
    with open_runtime(settings(work / "data")) as runtime:
        spec = EncoderSpec(USING, "none", "1", DIM, ("image",), Preprocessing(8, None, (0, 0, 0), (1, 1, 1)))
        runtime.catalog.create(CATEGORY, [spec])
        for start in range(0, args.images, 500):
            fill(runtime, range(start, min(start + 500, args.images)))
        place = open_place(str(work / "backups"), runtime.settings, make=True)
        first = create_backup(runtime, place)
        figures |= {"first backup, s": first.seconds, "MB": first.bytes / 1e6, "files": first.files}
        again = create_backup(runtime, place)
        figures |= {"again, nothing new, s": again.seconds, "files of it": again.files}
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.durability.backup", "--child", str(work / "data")]
        )
        try:
            while runtime.vectors.count(CATEGORY) == args.images:
                time.sleep(0.1)
            beside = create_backup(runtime, place)
        finally:
            child.kill()
            child.wait()
        if beside.error:
            raise beside.error
        figures |= {"beside a writer, s": beside.seconds, "files written beside": beside.files}
        figures["changes that were read late"] = sum(part.points for part in place.read().categories[0].late)
        started = time.perf_counter()
        figures["wrong: faults"] = len(verify_backups(place).faults)
        figures["verify, s"] = time.perf_counter() - started
        asked = questions(args.queries)
        expected = runtime.vectors.query_batch(CATEGORY, asked)
        computed = by_arithmetic(runtime, asked)
    with open_runtime(settings(work / "restored")) as runtime:
        report = restore_backup(runtime, open_place(str(work / "backups"), runtime.settings, make=False))
        if report.error:
            raise report.error
        figures["restored, embedded, s"] = report.seconds
        figures |= compared(runtime, "embedded", asked, expected)
        warnings.simplefilter("ignore")
        server = assemble(
            settings(work / "server"),
            ServerVectorStore(QdrantClient(":memory:")),
            LocalObjectStore(work / "bucket", min_free_mb=0),
            runtime.encoders,
        )
        back = create_backup(runtime, open_place(str(work / "back"), runtime.settings, make=True))
        report = restore_backup(server, open_place(str(work / "back"), runtime.settings, make=False))
        if back.error or report.error:
            raise back.error or report.error  # type: ignore[misc]
        figures["restored, in-process server, s"] = report.seconds
        figures |= compared(server, "server", asked, computed)
    with open_runtime(settings(work / "again")) as runtime:
        home = open_place(str(work / "home"), runtime.settings, make=True)
        back = create_backup(server, home)
        report = restore_backup(runtime, home)
        if back.error or report.error:
            raise back.error or report.error  # type: ignore[misc]
        figures |= compared(runtime, "embedded again", asked, expected)
    return {name: round(value, 3) for name, value in figures.items()}


def compared(
    runtime: Runtime, name: str, asked: Sequence[Query], expected: Sequence[Sequence[Hit]]
) -> dict[str, float]:
    """Ask a restored category, and count what is wrong with it."""
    ids = similarities = 0
    furthest = 0.0
    for start in range(0, len(asked), 100):
        answers = runtime.vectors.query_batch(CATEGORY, asked[start : start + 100])
        for answer, before in zip(answers, expected[start : start + 100], strict=True):
            ids += [hit.id for hit in answer] != [hit.id for hit in before]
            apart = max(
                abs((hit.similarity or 0) - (was.similarity or 0))
                for hit, was in zip(answer, before, strict=True)
            )
            similarities += apart > 1e-6
            furthest = max(furthest, apart)
    missing = other = 0
    tags: Counter[str] = Counter()
    for hit in every(runtime):
        data = runtime.objects.stat(hit["object_key"])
        missing += data is None
        if data is not None:
            other += hashlib.sha256(runtime.objects.get(hit["object_key"])).hexdigest() != hit["sha256"]
        tags.update(tag for tag in hit["tags"] if tag.startswith("pair-"))
    return {
        f"wrong: ids, {name}": ids,
        f"wrong: similarities, {name}": similarities,
        f"furthest similarity, millionths, {name}": furthest * 1e6,
        f"wrong: without picture, {name}": missing,
        f"wrong: other picture, {name}": other,
        f"wrong: half a change, {name}": sum(count != 2 for count in tags.values()),
    }


def by_arithmetic(runtime: Runtime, asked: Sequence[Query]) -> list[list[Hit]]:
    """Return the answers that the vectors give as they are read: the in-process client keeps them like this,
    in float32, while the engine compares by its float16, which are not quite of unit length."""
    ids, rows = [], []
    for batch in read_all(runtime.vectors, CATEGORY, USING, filter=STABLE):
        ids += batch.ids
        rows.append(batch.embeddings)
    matrix, found = np.concatenate(rows), []
    for query in asked:
        similarities = matrix @ query.ask.vector  # type: ignore[union-attr]
        best = np.argsort(-similarities)[: query.limit]
        found.append([Hit(ids[row], float(similarities[row])) for row in best])
    return found


def every(runtime: Runtime) -> list[dict[str, object]]:
    found, cursor = [], None
    while True:
        page = runtime.vectors.scroll(CATEGORY, limit=2_000, cursor=cursor)
        found += [hit.payload for hit in page.hits]
        cursor = page.cursor
        if cursor is None:
            return found


def write_all_the_time(data: Path) -> None:
    """Tag pairs of hot images, and add and delete others, until killed."""
    chosen = np.random.default_rng(0)
    hot = [point_id(content_hash(picture(number))) for number in range(HOT)]
    with open_runtime(settings(data)) as runtime:
        for number in itertools.count():
            both = [hot[each] for each in chosen.choice(len(hot), 2, replace=False)]
            runtime.editor.change(CATEGORY, both, ImageChanges(add_tags=(f"pair-{number}",)))
            fill(runtime, range(10_000_000 + number, 10_000_001 + number))
            if number % 3 == 0:
                runtime.editor.delete(CATEGORY, [point_id(content_hash(picture(10_000_000 + number)))])


def fill(runtime: Runtime, numbers: Sequence[int]) -> None:
    """Store pictures, or what stands for them, and points with random vectors."""
    points = []
    for number in numbers:
        data = picture(number)
        sha256 = content_hash(data)
        key = object_key(CATEGORY, sha256, "png")
        runtime.objects.put(key, data, durable=False)
        vector = np.random.default_rng(number).standard_normal(DIM).astype(np.float32)
        hot = number < HOT or number >= 10_000_000
        payload = {
            "sha256": sha256, "object_key": key, "bytes": len(data), "filename": f"{number}.png",
            "tags": ["hot" if hot else f"kind-{number % 10}"],
        }  # fmt: skip
        points.append(Point(point_id(sha256), {USING: vector / np.linalg.norm(vector)}, payload))
    runtime.vectors.upsert(CATEGORY, points)


def picture(number: int) -> bytes:
    """Bytes that stand for a picture."""
    return np.random.default_rng(number).bytes(PICTURE_BYTES)


def questions(count: int) -> list[Query]:
    rows = np.random.default_rng(7).standard_normal((count, DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return [Query(Near(row), USING, STABLE, limit=10, exact=True) for row in rows]


def settings(data: Path) -> Settings:
    return Settings(data=data, min_free_mb=0, offline=True, _env_file=None)  # type: ignore[call-arg,unused-ignore]


if __name__ == "__main__":
    main()
