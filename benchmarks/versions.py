"""Versions of Vitrine that are measured in turns: this one in this process, another in a process of its own.

python -m benchmarks.versions MODEL DATA THREADS        answers one round a line; started by ``Other``
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.services.encoders.batching import BatchedEncoder, Prepared
from vitrine.services.images.open import open_image
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.settings import Settings

BATCH_SIZE = 128
_ENGINE = "edge.process"


@dataclass(frozen=True)
class Spent:
    """What one round of all files took: wall seconds, and the processor seconds of the process and its
    engine."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Local:
    """This version, in this process."""

    runtime: Runtime
    encoder: BatchedEncoder
    threads: int

    @classmethod
    @contextmanager
    def opened(cls, model: Path, data: Path, threads: int) -> Iterator[Local]:
        """Open an empty data folder with the model of a folder."""
        settings = Settings(data=data, encoder=f"bench={model}", threads=threads, _env_file=None)  # type: ignore[call-arg,unused-ignore]
        with open_runtime(settings) as runtime:
            yield cls(
                runtime, runtime.encoders.get(settings.encoder), threads or len(os.sched_getaffinity(0))
            )

    def index(self, folder: Path, count: int) -> Spent:
        """Index a folder into an empty category."""
        self.runtime.catalog.create("bench", [self.encoder.spec])
        spent = measured(self._index, folder)
        self.runtime.catalog.delete("bench")
        return spent

    def encode(self, folder: Path, count: int) -> Spent:
        """Encode pixels that are decoded and fitted already."""
        few = [self._prepared(path) for path in sorted(folder.iterdir())[:16]]
        pixels = [few[number % len(few)] for number in range(count)]
        return measured(self.encoder.encode_prepared, pixels)

    def decode(self, folder: Path, count: int) -> Spent:
        """Read, hash, decode and fit all files, on as many threads as decode in an indexing run."""
        paths = sorted(folder.iterdir())[:count]
        with ThreadPoolExecutor(self.threads) as pool:
            return measured(lambda: sum(1 for _ in pool.map(self._prepared, paths)))

    def _prepared(self, path: Path) -> Prepared:
        target = self.encoder.spec.preprocessing.target
        opened = open_image(
            path.read_bytes(), target=target, limits=self.runtime.limits, budget=self.runtime.budget
        )
        return self.encoder.prepare(opened.image)

    def _index(self, folder: Path) -> None:
        report = index_images(open_source(folder), self.runtime, "bench", batch_size=BATCH_SIZE)
        if report.status != "complete":
            raise SystemExit(report.summary())
        stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in report.stages.items())
        print(f"    seconds of work: {stages}", file=sys.stderr)


@dataclass(frozen=True)
class Other:
    """Another version, in a process of its own that does a round when it is told to, a line each."""

    process: subprocess.Popen[str]

    @classmethod
    @contextmanager
    def started(cls, checkout: Path, model: Path, data: Path, threads: int) -> Iterator[Other]:
        """Start this script on the code of another checkout."""
        # this script with the package of the other checkout, which its own folder would hide
        home = data.parent / "other-code"
        home.mkdir()
        (home / "vitrine").symlink_to((checkout / "vitrine").resolve(), target_is_directory=True)
        own = [str(home), str(Path(__file__).parents[1])]
        path = os.pathsep.join([*own, *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.versions", str(model.resolve()), str(data), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=home,
            env={**os.environ, "PYTHONPATH": path},
        )
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

    def index(self, folder: Path, count: int) -> Spent:
        """As Local.index."""
        return self._ask("index", folder, count)

    def encode(self, folder: Path, count: int) -> Spent:
        """As Local.encode."""
        return self._ask("encode", folder, count)

    def decode(self, folder: Path, count: int) -> Spent:
        """As Local.decode."""
        return self._ask("decode", folder, count)

    def _ask(self, kind: str, folder: Path, count: int) -> Spent:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([kind, str(folder), count]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("the other version ended: see its message above")
        return Spent(*json.loads(answer))


def measured(work: Callable[..., object], *given: object) -> Spent:
    """Call ``work`` and return what it took."""
    processor, wall = _processor(), time.perf_counter()
    work(*given)
    wall = time.perf_counter() - wall
    return Spent(wall, _processor() - processor)


def _processor() -> float:
    """Return the processor seconds so far of this process and of its engine, which is a child of it."""
    own = psutil.Process()
    seconds = float(sum(own.cpu_times()[:2]))
    for child in own.children():
        with suppress(psutil.Error):  # it has just ended
            if any(_ENGINE in word for word in child.cmdline()):
                seconds += sum(child.cpu_times()[:2])
    return seconds


def main() -> None:
    """Do a round for each line that comes."""
    model, data, threads = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr
    with Local.opened(Path(model), Path(data), int(threads)) as version:
        rounds = {"index": version.index, "encode": version.encode, "decode": version.decode}
        for line in sys.stdin:
            kind, folder, count = json.loads(line)
            spent = rounds[kind](Path(folder), count)
            print(json.dumps([spent.wall, spent.processor]), file=answers, flush=True)


if __name__ == "__main__":
    main()
