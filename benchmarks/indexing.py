"""Images a second, from JPEG files to durable points: Vitrine, its encoder alone, and sentence-transformers
on the same weights.

Rounds are interleaved, so that a slow minute of the machine hits all alike; the medians are printed, of the
rate and of the processor time an image takes in the measuring process (which other processes on the machine
hardly change). sentence-transformers only computes embeddings here, Vitrine stores objects and points as
well; its engine is a process of its own.

The peer is measured where it is installed; it is no dependency of the project:

    pip install --no-deps --target peers sentence-transformers
    python -m benchmarks.indexing --peers peers
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
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
Contender = Callable[[], float]
"""Does one round of all files and gives its seconds, of the part that is measured."""


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
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as work:
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
        settings = Settings(data=work / "data", encoder=f"clip={model}", threads=args.threads, _env_file=None)  # type: ignore[call-arg,unused-ignore]
        runtime = stack.enter_context(open_runtime(settings))
        encoder = runtime.encoders.get(settings.encoder)
        for label, count, size in (
            ("500x375", args.images, SMALL),
            ("12 megapixels", args.large_images, LARGE),
        ):
            if not count:
                continue
            paths = make_photos(work / label, count, size)
            pixels = [_prepared(encoder, paths[number % 16]) for number in range(count)]
            contenders = {
                "Vitrine, files to durable points": lambda label=label: vitrine(
                    runtime, encoder, work / label, args.batch_size
                ),
                "its encoder alone, pixels ready": lambda: encoder_alone(encoder, pixels),  # noqa: B023
                **{name: lambda encode=encode: peer(encode, paths) for name, encode in peers.items()},  # type: ignore[misc]  # noqa: B023
            }
            results[label] = interleaved(contenders, args.rounds, count)
    return results


def interleaved(
    contenders: dict[str, Contender], rounds: int, count: int
) -> dict[str, dict[str, list[float]]]:
    """Images a second and processor milliseconds an image, by contender: all once a round, after one that is
    not counted."""
    found: dict[str, dict[str, list[float]]] = {name: {"rate": [], "cpu_ms": []} for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            before = time.process_time()
            rate = count / contender()
            cpu_ms = (time.process_time() - before) * 1000 / count
            if number:
                found[name]["rate"].append(round(rate, 2))
                found[name]["cpu_ms"].append(round(cpu_ms, 2))
            print(f"  {name}: {rate:.1f} images/s" + ("" if number else " (warming up)"), file=sys.stderr)
    return found


def vitrine(runtime: Runtime, encoder: BatchedEncoder, folder: Path, batch_size: int) -> float:
    """Index a folder into an empty category."""
    runtime.catalog.create("bench", [encoder.spec])
    started = time.perf_counter()
    report = index_images(open_source(folder), runtime, "bench", batch_size=batch_size)
    seconds = time.perf_counter() - started
    runtime.catalog.delete("bench")
    if report.status != "complete":
        raise SystemExit(report.summary())
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in report.stages.items())
    print(f"    seconds of work: {stages}", file=sys.stderr)
    return seconds


def encoder_alone(encoder: BatchedEncoder, pixels: Sequence[Prepared]) -> float:
    """Encode pixels that are decoded and fitted already."""
    started = time.perf_counter()
    for at in range(0, len(pixels), BATCH):
        encoder.encode_prepared(pixels[at : at + BATCH])
    return time.perf_counter() - started


def peer(encode: Callable[[list[Image.Image]], Any], paths: Sequence[Path]) -> float:
    """What its users write: open the files, encode the list."""
    started = time.perf_counter()
    encode([Image.open(path) for path in paths])
    return time.perf_counter() - started


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
        own = statistics.median(contenders["Vitrine, files to durable points"]["rate"])
        for name, found in contenders.items():
            middle, spread = (
                statistics.median(found["rate"]),
                f"{min(found['rate']):.1f} to {max(found['rate']):.1f}",
            )
            cpu = statistics.median(found["cpu_ms"])
            print(
                f"  {name:<42} {middle:8.1f}   {spread:<16} {cpu:6.1f} ms   Vitrine is "
                f"{own / middle:.2f} of it"
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
