"""Kill an indexing process at random moments, let the last run finish, and count what went wrong: nothing
may.

Each life is killed (SIGKILL) at a random moment after it has added its first image. Counted at the end:
acknowledged images without a point, pictures that are missing, duplicates, points without their object,
objects without a point.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.photos import make_photos
from vitrine.indexer.job.report import ItemOutcome
from vitrine.services.images.open import content_hash, point_id

CATEGORY = "kills"
SIZE = (96, 72)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument(
        "--longest", type=float, default=0.4, help="a life ends within so many seconds of its first new image"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        sys.exit(index(*args.child))
    with tempfile.TemporaryDirectory(prefix="vitrine-kills-") as work:
        figures = run(args, Path(work))
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:<{width}}  {value}")
    if args.json:
        parameters = {"kills": args.kills, "images": args.images, "longest": args.longest, "seed": args.seed}
        args.json.write_text(json.dumps({"parameters": parameters, "figures": figures}, indent=2))
    sys.exit(any(figures[fault] for fault in FAULTS))


FAULTS = ("lost", "missing", "duplicates", "points without object", "objects without point")


def run(args: argparse.Namespace, work: Path) -> dict[str, float]:
    """Kill, finish, and count."""
    pictures = make_photos(work / "pictures", args.images, SIZE)
    acknowledged: set[str] = set()
    kills, finished, started = 0, 0, time.perf_counter()
    chance = random.Random(args.seed)
    while kills < args.kills and not finished:
        print(f"  life {kills + 1}: {len(acknowledged)} of {args.images} acknowledged", file=sys.stderr)
        finished += not live(work, chance.uniform(0.0, args.longest), acknowledged)
        kills += not finished
    last = start(work)
    acknowledged |= read_rest(last)
    if last.wait() != 0:
        raise SystemExit(f"the last run ended with {last.returncode}")
    figures: dict[str, float] = {"kills": kills, "images": args.images, "acknowledged": len(acknowledged)}
    figures |= count_faults(
        work, {point_id(content_hash(path.read_bytes())) for path in pictures}, acknowledged
    )
    return figures | {"seconds": round(time.perf_counter() - started, 1)}


def live(work: Path, seconds: float, acknowledged: set[str]) -> bool:
    """One life; False if it ended by itself."""
    child = start(work)
    assert child.stdout is not None
    for line in child.stdout:
        outcome, id = line.split()
        acknowledged.add(id)
        if outcome == "added":
            break
    time.sleep(seconds)
    alive = child.poll() is None
    child.send_signal(signal.SIGKILL)
    acknowledged |= read_rest(child)
    child.wait()
    return alive


def read_rest(child: subprocess.Popen[str]) -> set[str]:
    """Ids acknowledged in the rest of a child's output; a line that the kill cut is none."""
    assert child.stdout is not None
    return {line.split()[1] for line in child.stdout if line.endswith("\n")}


def start(work: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.durability.kills",
        "--child",
        str(work / "data"),
        str(work / "pictures"),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def index(data: Path, pictures: Path) -> int:
    """What a child does: index, and print each outcome once it is durable."""
    from vitrine.indexer.ingest.pipeline import index_images
    from vitrine.indexer.sources.open import open_source
    from vitrine.services.encoders.families.fake import ColourEncoder
    from vitrine.services.errors import NotFound
    from vitrine.services.runtime import open_runtime
    from vitrine.services.settings import Settings

    with open_runtime(Settings(data=data, _env_file=None)) as runtime:  # type: ignore[call-arg,unused-ignore]
        spec = runtime.encoders.register(ColourEncoder()).spec
        try:
            runtime.catalog.get(CATEGORY)
        except NotFound:
            runtime.catalog.create(CATEGORY, [spec])
        return index_images(
            open_source(pictures), runtime, CATEGORY, batch_size=16, on_outcome=tell
        ).exit_code


def tell(outcome: ItemOutcome) -> None:
    os.write(1, f"{outcome.outcome} {outcome.id}\n".encode())


def count_faults(work: Path, expected: set[str], acknowledged: set[str]) -> dict[str, float]:
    """Read back every point and object."""
    from vitrine.services.errors import NotFound
    from vitrine.services.runtime import open_runtime
    from vitrine.services.settings import Settings

    ids: list[str] = []
    keys: set[str] = set()
    without_object = 0
    with open_runtime(Settings(data=work / "data", _env_file=None)) as runtime:  # type: ignore[call-arg,unused-ignore]
        cursor = None
        while True:
            page = runtime.vectors.scroll(CATEGORY, limit=500, cursor=cursor)
            for hit in page.hits:
                ids.append(hit.id)
                keys.add(hit.payload["object_key"])
                try:
                    without_object += (
                        content_hash(runtime.objects.get(hit.payload["object_key"])) != hit.payload["sha256"]
                    )
                except NotFound:
                    without_object += 1
            cursor = page.cursor
            if cursor is None:
                break
        stored = {stat.key for stat in runtime.objects.list(f"{CATEGORY}/images/")}
    return {
        "points": len(ids),
        "lost": len(acknowledged - set(ids)),
        "missing": len(expected - set(ids)),
        "duplicates": len(ids) - len(set(ids) & expected),
        "points without object": without_object,
        "objects without point": len(stored - keys),
    }


if __name__ == "__main__":
    main()
