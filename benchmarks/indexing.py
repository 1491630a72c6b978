"""Images a second, from JPEG files to durable points: Vitrine, its encoder alone, another version of Vitrine,
and sentence-transformers on the same weights.

Rounds are interleaved, every second one backwards, so that a slow minute of the machine hits all alike; the
medians are printed, of the rate and of the processor time an image takes in all threads of the measuring
process (which other processes on the machine hardly change). sentence-transformers only computes embeddings
here, Vitrine stores objects and points as well; its engine is a process of its own.

    python -m benchmarks.indexing --busy                    beside a process that keeps a core busy
    git worktree add ../before v1.2.3
    python -m benchmarks.indexing --against ../before       and that version, in a process of its own

The peer is measured where it is installed; it is no dependency of the project:

    pip install --no-deps --target peers sentence-transformers
    python -m benchmarks.indexing --peers peers
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.photos import LARGE, SMALL, make_photos
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.services.encoders.batching import BatchedEncoder, Prepared
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.settings import Settings

BATCH = 32
Results = dict[str, dict[str, dict[str, list[float]]]]
OURS, ALONE = "Vitrine, files to durable points", "its encoder alone, pixels ready"
THEIRS, THEIR_ENCODER = "the other version, files to durable points", "the other version's encoder alone"


@dataclass(frozen=True)
class Spent:
    """What one round of all files took, of the part that is measured: wall and processor seconds."""

    wall: float
    processor: float


Contender = Callable[[], Spent]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=384, help="500 x 375 files (default 384)")
    parser.add_argument("--large-images", type=int, default=64, help="12-megapixel files (default 64)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=0, help="decoding threads (default: one a core)")
    parser.add_argument(
        "--model", type=Path, help="folder of a CLIP model (default: ViT-B/32 of random weights)"
    )
    parser.add_argument("--peers", type=Path, help="folder where sentence-transformers is installed")
    parser.add_argument(
        "--against", type=Path, metavar="FOLDER", help="a checkout of another version, measured as well"
    )
    parser.add_argument("--busy", action="store_true", help="keep one core busy meanwhile")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--child", nargs=3, metavar=("MODEL", "DATA", "THREADS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        serve_rounds(Path(args.child[0]), Path(args.child[1]), int(args.child[2]))
        return
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as work, busy_core(args.busy):
        results = run(args, Path(work))
    show(results)
    if args.json:
        args.json.write_text(json.dumps({"parameters": _plain(vars(args)), "results": results}, indent=2))


def run(args: argparse.Namespace, work: Path) -> Results:
    """Figures of every round, by size and contender."""
    model = args.model or _random_model(work / "model")
    peers = load_peers(args.peers, model)
    results: Results = {}
    with ExitStack() as stack:
        ours = stack.enter_context(Local.opened(model, work / "data", args.threads))
        theirs = None
        if args.against:
            theirs = stack.enter_context(Other.started(args.against, model, work / "other", args.threads))
        for label, count, size in (
            ("500x375", args.images, SMALL),
            ("12 megapixels", args.large_images, LARGE),
        ):
            if not count:
                continue
            paths = make_photos(work / label, count, size)
            contenders: dict[str, Contender] = {}
            versions: list[tuple[Local | Other, str, str]] = [(ours, OURS, ALONE)]
            versions += [(theirs, THEIRS, THEIR_ENCODER)] if theirs else []
            for version, whole, encoder in versions:
                contenders[whole] = partial(version.index, work / label, args.batch_size)
                contenders[encoder] = partial(version.encode, work / label, count)
            contenders |= {name: partial(peer, encode, paths) for name, encode in peers.items()}
            results[label] = interleaved(contenders, args.rounds, count)
    return results


def interleaved(
    contenders: dict[str, Contender], rounds: int, count: int
) -> dict[str, dict[str, list[float]]]:
    """Images a second and processor milliseconds an image, by contender: all once a round, every second round
    backwards, after one that is not counted."""
    found: dict[str, dict[str, list[float]]] = {name: {"rate": [], "cpu_ms": []} for name in contenders}
    for number in range(rounds + 1):
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            spent = contenders[name]()
            rate = count / spent.wall
            if number:
                found[name]["rate"].append(round(rate, 2))
                found[name]["cpu_ms"].append(round(spent.processor * 1000 / count, 2))
            print(f"  {name}: {rate:.1f} images/s" + ("" if number else " (warming up)"), file=sys.stderr)
    return found


@dataclass(frozen=True)
class Local:
    """This version, in this process."""

    runtime: Runtime
    encoder: BatchedEncoder

    @classmethod
    @contextmanager
    def opened(cls, model: Path, data: Path, threads: int) -> Iterator[Local]:
        """Open an empty data folder with the model of a folder."""
        settings = Settings(data=data, encoder=f"clip={model}", threads=threads, _env_file=None)  # type: ignore[call-arg,unused-ignore]
        with open_runtime(settings) as runtime:
            yield cls(runtime, runtime.encoders.get(settings.encoder))

    def index(self, folder: Path, batch_size: int) -> Spent:
        """Index a folder into an empty category."""
        self.runtime.catalog.create("bench", [self.encoder.spec])
        spent = _spent(lambda: _index(self.runtime, folder, batch_size))
        self.runtime.catalog.delete("bench")
        return spent

    def encode(self, folder: Path, count: int) -> Spent:
        """Encode pixels that are decoded and fitted already."""
        paths = sorted(folder.iterdir())
        few = [_prepared(self.encoder, path) for path in paths[:16]]
        pixels = [few[number % len(few)] for number in range(count)]

        def encode() -> None:
            for at in range(0, len(pixels), BATCH):
                self.encoder.encode_prepared(pixels[at : at + BATCH])

        return _spent(encode)


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
        shown = [str(home), str(Path(__file__).parents[1])]
        command = [
            sys.executable,
            "-m",
            "benchmarks.indexing",
            "--child",
            str(model),
            str(data),
            str(threads),
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=home,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(shown)},
        )
        try:
            yield cls(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

    def index(self, folder: Path, batch_size: int) -> Spent:
        """As Local.index."""
        return self._ask(["index", str(folder), batch_size])

    def encode(self, folder: Path, count: int) -> Spent:
        """As Local.encode."""
        return self._ask(["encode", str(folder), count])

    def _ask(self, task: list[str | int]) -> Spent:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(task), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("the other version ended: see its message above")
        return Spent(*json.loads(answer))


def serve_rounds(model: Path, data: Path, threads: int) -> None:
    """What the process of another version does: a round for each line that comes."""
    answers, sys.stdout = sys.stdout, sys.stderr
    with Local.opened(model, data, threads) as version:
        for line in sys.stdin:
            kind, folder, number = json.loads(line)
            spent = (version.index if kind == "index" else version.encode)(Path(folder), number)
            print(json.dumps([spent.wall, spent.processor]), file=answers, flush=True)


@contextmanager
def busy_core(wanted: bool) -> Iterator[None]:
    """Keep a core busy, if wanted, with work that never waits."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def peer(encode: Callable[[list[Image.Image]], Any], paths: Sequence[Path]) -> Spent:
    """What its users write: open the files, encode the list."""
    return _spent(lambda: encode([Image.open(path) for path in paths]))


def _spent(work: Callable[[], object]) -> Spent:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - processor)


def _index(runtime: Runtime, folder: Path, batch_size: int) -> None:
    report = index_images(open_source(folder), runtime, "bench", batch_size=batch_size)
    if report.status != "complete":
        raise SystemExit(report.summary())
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in report.stages.items())
    print(f"    seconds of work: {stages}", file=sys.stderr)


def load_peers(folder: Path | None, model: Path) -> dict[str, Callable[[list[Image.Image]], Any]]:
    """sentence-transformers as it comes and in bfloat16; nothing where it is not installed."""
    if folder:
        sys.path.append(str(folder))
    try:
        from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        print(
            f"sentence-transformers is not measured ({error}); see --help for how to install it",
            file=sys.stderr,
        )
        return {}
    import torch

    found = {}
    for name, dtype in (("fp32, as it comes", torch.float32), ("bfloat16", torch.bfloat16)):
        loaded = SentenceTransformer(str(model), device="cpu", model_kwargs={"dtype": dtype})
        found[f"sentence-transformers, {name}"] = _encode_with(loaded)
    return found


def _encode_with(model: Any) -> Callable[[list[Image.Image]], Any]:
    return lambda images: model.encode(
        images, batch_size=BATCH, show_progress_bar=False, normalize_embeddings=True
    )


def show(results: Results) -> None:
    for label, contenders in results.items():
        print(f"\n{label} JPEG: images/s (median; least to most) and processor time an image")
        own = statistics.median(contenders[OURS]["rate"])
        own_cpu = statistics.median(contenders[OURS]["cpu_ms"])
        for name, found in contenders.items():
            middle, spread = (
                statistics.median(found["rate"]),
                f"{min(found['rate']):.1f} to {max(found['rate']):.1f}",
            )
            cpu = statistics.median(found["cpu_ms"])
            print(
                f"  {name:<42} {middle:8.1f}   {spread:<16} {cpu:6.1f} ms   Vitrine: "
                f"{own / middle:.2f} of its rate, {own_cpu / cpu:.2f} of its processor time"
            )


def _prepared(encoder: BatchedEncoder, path: Path) -> Prepared:
    with Image.open(path) as image:
        image.draft("RGB", (448, 448))
        return encoder.prepare(image.convert("RGB"))


def _random_model(folder: Path) -> Path:
    from benchmarks.models import make_clip_vit_b32

    made = make_clip_vit_b32(folder)
    return made if isinstance(made, Path) else folder


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()}


if __name__ == "__main__":
    main()
