"""Resident memory while many images are indexed with a CLIP of ViT-B/32's size: it must not grow with their
number.

The indexing process and its engine are watched from outside. The slopes are least-squares lines through the
samples after the first fifth of the images, when model, threads and engine have settled.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.photos import SMALL, make_photos
from vitrine.indexer.job.report import IndexReport

MB = 1e6
SETTLED = 0.2


@dataclass(frozen=True)
class Sample:
    """Bytes of resident memory when ``images`` were done."""

    images: int
    indexer: int
    engine: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument(
        "--model", type=Path, help="folder of a CLIP model (default: ViT-B/32 of random weights)"
    )
    parser.add_argument(
        "--encoder", help="an encoder such as 'colour' instead: fast, for a long run without a model's time"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        index(*args.child)
        return
    with tempfile.TemporaryDirectory(prefix="vitrine-memory-") as work:
        samples, seconds = run(args, Path(work))
    figures = summarise(samples, args.images) | {"images": args.images, "seconds": round(seconds, 1)}
    for name, value in figures.items():
        print(f"{name:<32} {value}")
    if args.json:
        rows = [[sample.images, sample.indexer, sample.engine] for sample in samples]
        args.json.write_text(json.dumps({"figures": figures, "samples": rows}, indent=1))


def run(args: argparse.Namespace, work: Path) -> tuple[list[Sample], float]:
    """Samples of one indexing run, and its seconds."""
    make_photos(work / "pictures", args.images, SMALL)
    encoder = args.encoder or f"clip={_model(args.model, work / 'model')}"
    command = [
        sys.executable,
        "-m",
        "benchmarks.encoding.memory",
        "--child",
        str(work / "data"),
        str(work / "pictures"),
        encoder,
    ]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    done = [0]
    threading.Thread(target=_follow, args=(child, done), daemon=True).start()
    samples, started = [], time.perf_counter()
    while child.poll() is None:
        if 0 < done[0] < args.images and (found := sample(child.pid, done[0])):
            samples.append(found)
        time.sleep(0.2)
    if child.returncode:
        raise SystemExit(f"the indexing process ended with {child.returncode}")
    return samples, time.perf_counter() - started


def sample(pid: int, images: int) -> Sample | None:
    try:
        process = psutil.Process(pid)
        engine = sum(child.memory_info().rss for child in process.children(recursive=True))
        return Sample(images, process.memory_info().rss, engine)
    except psutil.NoSuchProcess:
        return None


def summarise(samples: list[Sample], images: int) -> dict[str, float]:
    """Peak in MB, and growth in bytes an image and in MB over the settled part."""
    settled = [found for found in samples if found.images >= SETTLED * images]
    if len(settled) < 3:
        raise SystemExit("too few samples: index more images")
    count = np.array([found.images for found in settled], float)
    slopes = {
        name: float(np.polyfit(count, np.array([getattr(found, name) for found in settled], float), 1)[0])
        for name in ("indexer", "engine")
    }
    both = [found.indexer + found.engine for found in samples]
    return {
        "peak, both, MB": round(max(both) / MB, 1),
        "peak, indexer, MB": round(max(found.indexer for found in samples) / MB, 1),
        "peak, engine, MB": round(max(found.engine for found in samples) / MB, 1),
        "indexer, bytes an image": round(slopes["indexer"]),
        "engine, bytes an image": round(slopes["engine"]),
        "growth after the first fifth, MB": round(
            (both[-1] - settled[0].indexer - settled[0].engine) / MB, 1
        ),
    }


def index(data: str, pictures: str, encoder: str) -> None:
    """What the child does: index, and print how far it is."""
    from vitrine.indexer.ingest.pipeline import index_images
    from vitrine.indexer.sources.open import open_source
    from vitrine.services.runtime import open_runtime
    from vitrine.services.settings import Settings

    with open_runtime(Settings(data=Path(data), encoder=encoder, _env_file=None)) as runtime:  # type: ignore[call-arg,unused-ignore]
        runtime.catalog.create("memory", [runtime.encoders.get(encoder).spec])
        report = index_images(open_source(pictures), runtime, "memory", progress=_Teller())
    sys.exit(report.exit_code)


class _Teller:
    """Progress for the watching process."""

    def start(self, stage: str, total: int | None) -> None: ...

    def update(self, report: IndexReport) -> None:
        print(report.done, flush=True)

    def finish(self, report: IndexReport) -> None: ...


def _follow(child: subprocess.Popen[str], done: list[int]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        done[0] = int(line)


def _model(given: Path | None, folder: Path) -> Path:
    if given:
        return given
    from benchmarks.encoding.models import make_clip_vit_b32

    return make_clip_vit_b32(folder)


if __name__ == "__main__":
    main()
