"""Images a second, from JPEG files to durable points: Vitrine, its encoder alone, its decoding alone, the
same of another version, and sentence-transformers on the same weights; on an idle machine and beside a
process that keeps one core busy.

Rounds are interleaved, every second one backwards, so that a slow minute of the machine hits all alike; the
medians are printed, of the rate and of the processor time an image takes in the measuring process and its
engine (which other processes on the machine hardly change). Decoding alone is reading, hashing, decoding and
fitting. sentence-transformers only computes embeddings here, Vitrine stores objects and points as well.

    git worktree add ../before v1.2.3
    python -m benchmarks.encoding.indexing --against ../before       and that version, in a process of its own
    python -m benchmarks.encoding.indexing --model FOLDER            another encoder than a random ViT-B/32

The peer is measured where it is installed; it is no dependency of the project:

    pip install --no-deps --target peers sentence-transformers
    python -m benchmarks.encoding.indexing --peers peers
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.encoding.models import make_clip_vit_b32
from benchmarks.photos import LARGE, SMALL, make_photos
from benchmarks.versions import Local, Other, Spent, measured

BATCH = 32
IDLE, BUSY = "idle", "beside one busy core"
Figures = dict[str, list[float]]
Results = dict[str, dict[str, dict[str, Figures]]]
"""By size, contender and what the machine does meanwhile: ``rate`` and ``cpu_ms`` of each round."""
WHOLE, ENCODER, DECODING = "files to durable points", "its encoder alone", "its decoding alone"
OURS, THEIRS = "Vitrine", "the other version"
Contender = Callable[[], Spent]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=384, help="500 x 375 files (default 384)")
    parser.add_argument("--large-images", type=int, default=64, help="12-megapixel files (default 64)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="decoding threads (default: one a core)")
    parser.add_argument("--model", type=Path, help="folder of a model (default: ViT-B/32 of random weights)")
    parser.add_argument("--peers", type=Path, help="folder where sentence-transformers is installed")
    parser.add_argument(
        "--against", type=Path, metavar="FOLDER", help="a checkout of another version, measured as well"
    )
    parser.add_argument("--photos", type=Path, help="keep the files here, and take them from here next time")
    parser.add_argument("--idle", action="store_true", help="leave out the rounds beside a busy core")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as work:
        results = run(args, Path(work))
    show(results)
    if args.json:
        args.json.write_text(json.dumps({"parameters": _plain(vars(args)), "results": results}, indent=2))


def run(args: argparse.Namespace, work: Path) -> Results:
    """Figures of every round, by size, contender and state of the machine."""
    model = args.model or make_clip_vit_b32(work / "model")
    peers = load_peers(args.peers, model)
    results: Results = {}
    with ExitStack() as stack:
        versions: dict[str, Local | Other] = {}
        versions[OURS] = stack.enter_context(Local.opened(model, work / "data", args.threads))
        if args.against:
            versions[THEIRS] = stack.enter_context(
                Other.started(args.against, model, work / "other", args.threads)
            )
        for label, count, size in (
            ("500x375", args.images, SMALL),
            ("12 megapixels", args.large_images, LARGE),
        ):
            if not count:
                continue
            folder = (args.photos or work) / f"{label} {count}"
            paths = make_photos(folder, count, size)
            contenders: dict[str, Contender] = {}
            for name, version in versions.items():
                for what, work_of in (
                    (WHOLE, version.index),
                    (ENCODER, version.encode),
                    (DECODING, version.decode),
                ):
                    contenders[f"{name}, {what}"] = partial(work_of, folder, count)
            contenders |= {name: partial(peer, encode, paths) for name, encode in peers.items()}
            states = (IDLE,) if args.idle else (IDLE, BUSY)
            results[label] = interleaved(contenders, states, args.rounds, count)
    return results


def interleaved(
    contenders: dict[str, Contender], states: Sequence[str], rounds: int, count: int
) -> dict[str, dict[str, Figures]]:
    """Images a second and processor milliseconds an image: all contenders in all states once a round, every
    second round backwards, after one that is not counted."""
    found: dict[str, dict[str, Figures]] = {
        name: {state: {"rate": [], "cpu_ms": []} for state in states} for name in contenders
    }
    order = [(state, name) for state in states for name in contenders]
    for number in range(rounds + 1):
        for state, name in order[:: -1 if number % 2 else 1]:
            with busy_core(state == BUSY):
                spent = contenders[name]()
            rate, figures = count / spent.wall, found[name][state]
            if number:
                figures["rate"].append(round(rate, 2))
                figures["cpu_ms"].append(round(spent.processor * 1000 / count, 2))
            warming = "" if number else " (warming up)"
            print(f"  {name}, {state}: {rate:.1f} images/s{warming}", file=sys.stderr)
    return found


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
    return measured(lambda: encode([Image.open(path) for path in paths]))


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
    """Print a table for each size and state, and what follows from it."""
    cores = len(os.sched_getaffinity(0))
    for label, contenders in results.items():
        for state in next(iter(contenders.values())):
            medians = {
                name: {what: statistics.median(values) for what, values in found[state].items()}
                for name, found in contenders.items()
            }
            print(f"\n{label} JPEG, {state}: images/s (median; least to most), processor time an image")
            for name, found in contenders.items():
                rates, middle = found[state]["rate"], medians[name]
                spread = f"{min(rates):.1f} to {max(rates):.1f}"
                print(f"  {name:<46} {middle['rate']:8.1f}   {spread:<18} {middle['cpu_ms']:6.2f} ms")
            ours = medians[f"{OURS}, {WHOLE}"]
            encoder = max(found["rate"] for name, found in medians.items() if name.endswith(ENCODER))
            print(f"  {ours['rate'] / encoder:.2f} of the fastest encoder alone", end="")
            if other := medians.get(f"{THEIRS}, {WHOLE}"):
                print(f", {ours['rate'] / other['rate']:.2f} times the other version", end="")
            print(f"; {ours['rate'] * ours['cpu_ms'] / 1000:.2f} of {cores} cores at work")


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()}


if __name__ == "__main__":
    main()
