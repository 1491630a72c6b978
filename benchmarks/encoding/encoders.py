"""How fast pictures are decoded, fitted and encoded on this machine.

    python -m benchmarks.encoding.encoders [--model FOLDER] [--seconds 6] [--json]

Without ``--model``, a CLIP model of the size of ViT-B/32 with random weights is written to a temporary
folder. Rates are images a second of wall time; ``cpu ms`` is the processor time of one image over all cores,
which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

BATCH = 32


@dataclass(frozen=True)
class Figure:
    """One measured step: ``rate`` per second of wall time, ``wall_ms`` and ``cpu_ms`` per item; the best
    round of a step alone, the median where contenders take turns."""

    step: str
    rate: float
    wall_ms: float
    cpu_ms: float


def measure(step: str, run: Callable[[], Any], items: int, seconds: float) -> Figure:
    """Repeat ``run``, which handles ``items``, for about ``seconds`` after one warm-up; the best round
    counts."""
    run()
    walls, cpus = [], []
    end = time.perf_counter() + seconds
    while not walls or time.perf_counter() < end:
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Figure(step, items / min(walls), 1e3 * min(walls) / items, 1e3 * min(cpus) / items)


def sample_jpeg(width: int, height: int, seed: int) -> bytes:
    """A JPEG with colours, edges and some noise: about as many bytes a pixel as a photo."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    noise = random.normal(0, 6, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)).save(
        buffer, "JPEG", quality=88
    )
    return buffer.getvalue()


def image_figures(seconds: float) -> list[Figure]:
    """Decoding, hashing and fitting, one image at a time on one thread."""
    from vitrine.services.domain import Preprocessing
    from vitrine.services.encoders.preprocess import fit
    from vitrine.services.images.open import ImageLimits, content_hash, open_image, thumbnail_of
    from vitrine.services.images.perceptual_hash import perceptual_hash

    preprocessing = Preprocessing(224, (224, 224), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    figures = []
    for label, width, height in (("500x375", 500, 375), ("12 MP", 4000, 3000)):
        data = sample_jpeg(width, height, 1)
        opened = partial(open_image, data, target=preprocessing.target, limits=ImageLimits())
        image = opened().image
        steps: list[tuple[str, Callable[[], Any]]] = [
            ("open_image (decode, hashes)", opened),
            ("of it: perceptual_hash", partial(perceptual_hash, image)),
            ("of it: content_hash", partial(content_hash, data)),
            ("fit (resize, crop)", partial(fit, image, preprocessing)),
            ("thumbnail_of, 256 wide", partial(thumbnail_of, image, 256)),
        ]
        figures += [measure(f"{label}: {name}", run, 1, seconds / 6) for name, run in steps]
    return figures


def encoder_figures(folder: Path, seconds: float) -> list[Figure]:
    """The encoder alone, in each runtime and number format of this machine: batches from fitted pixels, one
    image, one text. The contenders take turns, round by round, and the median counts."""
    from vitrine.services.encoders.base import TextEncoder
    from vitrine.services.encoders.compiled.choose import has_torch
    from vitrine.services.encoders.load import EncoderLoader
    from vitrine.services.encoders.precision import choose_precision
    from vitrine.services.encoders.reference import EncoderReference

    random = np.random.default_rng(3)
    images = [Image.fromarray(random.integers(0, 256, (375, 500, 3), np.uint8)) for _ in range(BATCH)]
    rounds = choose_precision("auto", "cpu") == "bfloat16"
    encoders: dict[str, Any] = {}
    for runtime in ("openvino", "torch") if has_torch() else ("openvino",):
        for precision in ("float32", "bfloat16") if rounds else ("float32",):
            loader: Any = EncoderLoader(precision=precision, runtime=runtime, device="cpu", offline=True)
            encoders[f"{runtime} {precision}"] = loader.load(EncoderReference("clip", str(folder)))
    pixels = [next(iter(encoders.values())).prepare(image) for image in images]
    figures = []
    for name, items in ((f"batch of {BATCH}, fitted", BATCH), ("one image", 1), ("one text", 1)):
        contenders: dict[str, Callable[[], Any]] = {}
        for label, encoder in encoders.items():
            if name == "one text" and not isinstance(encoder, TextEncoder):
                continue
            contenders[f"{label}: {name}"] = {
                "one image": partial(encoder.encode_images, images[:1]),
                "one text": partial(encoder.encode_texts, ["a photo of a red house"])
                if isinstance(encoder, TextEncoder)
                else encoder.encode_images,
            }.get(name, partial(encoder.encode_pixels, pixels))
        figures += take_turns(contenders, items, seconds * len(contenders))
    return figures


def take_turns(contenders: Mapping[str, Callable[[], Any]], items: int, seconds: float) -> list[Figure]:
    """Run all contenders once to warm up, then in rounds for about ``seconds``, at least three; the median of
    each counts."""
    walls: dict[str, list[float]] = {name: [] for name in contenders}
    cpus: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < 3 or time.perf_counter() < end:
        rounds += 1
        for name, run in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
    return [
        Figure(
            name,
            items / median(walls[name]),
            1e3 * median(walls[name]) / items,
            1e3 * median(cpus[name]) / items,
        )
        for name in contenders
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, help="folder of the model to measure")
    parser.add_argument("--seconds", type=float, default=6.0, help="time for each batch figure")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    figures = image_figures(options.seconds)
    with tempfile.TemporaryDirectory() as temporary:
        figures += encoder_figures(options.model or _default_model(Path(temporary)), options.seconds)
    if options.json:
        json.dump([asdict(figure) for figure in figures], sys.stdout, indent=1)
        print()
        return 0
    print(f"{'step':<44}{'rate/s':>10}{'wall ms':>10}{'cpu ms':>10}")
    for figure in figures:
        print(f"{figure.step:<44}{figure.rate:>10.1f}{figure.wall_ms:>10.2f}{figure.cpu_ms:>10.2f}")
    return 0


def _default_model(folder: Path) -> Path:
    from benchmarks.encoding.models import make_clip_vit_b32

    return make_clip_vit_b32(folder / "clip-vit-b32")


if __name__ == "__main__":
    raise SystemExit(main())
