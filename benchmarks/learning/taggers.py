"""Measure taggers on real pictures, and how long many of them take.

clothing: ten classes, MobileNetV2; settings are chosen on validation, the head is then fit on train and
validation, and the test folder is measured once. emoji: keywords of drawings, every tag with 10 or more,
cross-validated. speed: 50 noisy linear tags on 100,000 clustered unit vectors of 512 dimensions, from the
examples to calibrated heads with metrics, with a search for C.

    python -m benchmarks.learning.taggers --cache /tmp/taggers --json taggers.json
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks.datasets import dataset, mobilenet
from benchmarks.learning.clothing import photos
from vitrine.services.domain import Embeddings, EncoderSpec, Preprocessing
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.settings import Settings
from vitrine.services.taggers.logistic import balanced_weights, fit_logistic
from vitrine.services.taggers.ranking_metrics import average_precision
from vitrine.training.taggers.examples import make_examples
from vitrine.training.taggers.options import GRID, TrainOptions
from vitrine.training.taggers.train import Training, train_taggers

FLOOR = 0.88
_BATCH = 64


def embed(files: Sequence[Path], cache: Path, name: str, *, mirrored: bool = False) -> Embeddings:
    """Return (n, dim) embeddings, from the cache if they are there."""
    path = cache / f"{name}{'-mirrored' if mirrored else ''}.npy"
    if path.exists():
        found: Embeddings = np.load(path)
        return found
    pool = EncoderPool(Settings(data=cache / "data", offline=True, _env_file=None))  # type: ignore[call-arg,unused-ignore]
    encoder = pool.get(f"mobilenet={mobilenet()}")
    rows = []
    for first in range(0, len(files), _BATCH):
        pictures = [_open(file) for file in files[first : first + _BATCH]]
        rows.append(
            encoder.encode_images([ImageOps.mirror(one) for one in pictures] if mirrored else pictures)
        )
    pool.close()
    cache.mkdir(parents=True, exist_ok=True)
    np.save(path, np.concatenate(rows))
    return np.concatenate(rows)


def clothing(cache: Path) -> dict[str, Any]:
    """Return the mean average precision on the test folder, with the settings that validation chose."""
    found = {part: photos(dataset("clothing") / part, 0) for part in ("train", "validation", "test")}
    tags = sorted({photo.garment for photo in found["train"]})
    x = {part: embed([photo.path for photo in some], cache, part) for part, some in found.items()}
    mirrored = {
        part: embed([photo.path for photo in found[part]], cache, part, mirrored=True)
        for part in ("train", "validation")
    }
    y = {
        part: np.array([[photo.garment == tag for tag in tags] for photo in some])
        for part, some in found.items()
    }

    def fit(parts: Sequence[str], both: bool, balanced: bool, c: float) -> Callable[[Embeddings], Embeddings]:
        rows = [x[part] for part in parts] + ([mirrored[part] for part in parts] if both else [])
        labels = np.concatenate([y[part] for part in parts] * (2 if both else 1))
        weights, biases = fit_logistic(
            np.concatenate(rows), labels, balanced_weights(labels) if balanced else None, c
        )
        return lambda images: images @ weights.T + biases

    tried = []
    for both in (False, True):
        for balanced in (False, True):
            for c in (1.0, 3.0, 10.0, 30.0, 100.0):
                score = _mean_ap(y["validation"], fit(["train"], both, balanced, c)(x["validation"]))
                tried.append({"mirrored": both, "balanced": balanced, "c": c, "validation": score})
    best = max(tried, key=lambda row: row["validation"])
    head = fit(["train", "validation"], best["mirrored"], best["balanced"], best["c"])
    plain = fit(["train"], False, True, 1.0)
    values = _each_ap(y["test"], head(x["test"]))
    return {
        "chosen": best,
        "mean_average_precision": float(np.mean(values)),
        "plain_balanced_c_1": _mean_ap(y["test"], plain(x["test"])),
        "floor": FLOOR,
        "average_precision": dict(zip(tags, values, strict=True)),
        "tried": tried,
    }


def emoji(cache: Path) -> dict[str, Any]:
    """Return the macro average precision over keywords of ten or more drawings, out of fold."""
    folder = dataset("emoji")
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    x = embed([folder / row["file_name"] for row in rows], cache, "emoji")
    examples = make_examples(
        _spec(x.shape[1]), [row["file_name"] for row in rows], x, [row["keywords"] for row in rows], least=10
    )
    started = time.perf_counter()
    training = train_taggers(examples, TrainOptions(protocol="cross-validation"))
    chance = float(np.mean([report.metrics.prevalence for report in training.reports]))
    ranked = sorted(training.reports, key=lambda report: -report.metrics.average_precision)
    return {**_summary(training, started), "chance": chance, "images": len(rows),
            "best": {one.head.tag: one.metrics.average_precision for one in ranked[:5]},
            "worst": {one.head.tag: one.metrics.average_precision for one in ranked[-5:]}}  # fmt: skip


def speed(images: int, dim: int, tags: int) -> dict[str, Any]:
    """Return seconds, and memory above that of the embeddings."""
    x, targets = _synthetic(images, dim, tags)
    said = [[f"tag{number}" for number in np.flatnonzero(row)] for row in targets]
    ids = [str(row) for row in range(images)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.perf_counter(), time.process_time()
    training = train_taggers(make_examples(_spec(dim), ids, x, said))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        **_summary(training, started),
        "cpu_seconds": time.process_time() - cpu,
        "grid": list(GRID),
        "images": images,
        "dim": dim,
        "peak_mb": peak / 1024,
        "above_data_mb": (peak - before) / 1024,
    }


def _synthetic(images: int, dim: int, tags: int) -> tuple[Embeddings, NDArray[np.bool_]]:
    generator = np.random.default_rng(0)
    spread = np.arange(1, dim + 1, dtype=np.float32) ** -0.5
    centres = generator.standard_normal((200, dim), np.float32) * spread
    x = centres[generator.integers(0, 200, images)]
    x += 0.6 * generator.standard_normal((images, dim), np.float32) * spread + 0.5 * spread
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    margins = x @ generator.standard_normal((dim, tags), np.float32)
    margins = margins / margins.std(axis=0) + 0.5 * generator.standard_normal(margins.shape)
    shares = np.geomspace(0.002, 0.2, tags)
    return x, np.stack(
        [m > np.quantile(m, 1 - share) for m, share in zip(margins.T, shares, strict=True)], axis=1
    )


def _summary(training: Training, started: float) -> dict[str, Any]:
    reports = training.reports
    return {
        "tags": len(reports),
        "seconds": time.perf_counter() - started,
        "macro_average_precision": training.mean_average_precision,
        "mean_calibration_error": float(np.mean([report.metrics.calibration_error for report in reports])),
    }


def _mean_ap(targets: NDArray[np.bool_], margins: Embeddings) -> float:
    return float(np.mean(_each_ap(targets, margins)))


def _each_ap(targets: NDArray[np.bool_], margins: Embeddings) -> list[float]:
    return [average_precision(labels, scores) for labels, scores in zip(targets.T, margins.T, strict=True)]


def _spec(dim: int) -> EncoderSpec:
    return EncoderSpec(
        "mobilenet", "mobilenet", "", dim, ("image",), Preprocessing(1, None, (0, 0, 0), (1, 1, 1))
    )


def _open(path: Path) -> Image.Image:
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.mode in ("RGBA", "LA", "P"):
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def _parts(arguments: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    if "clothing" in arguments.parts:
        yield "clothing", clothing(arguments.cache)
    if "emoji" in arguments.parts:
        yield "emoji", emoji(arguments.cache)
    if "speed" in arguments.parts:
        yield "speed", speed(arguments.images, arguments.dim, arguments.tags)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", default=["clothing", "emoji", "speed"], help="clothing, emoji, speed [all]"
    )
    parser.add_argument("--cache", type=Path, required=True, help="folder for embeddings")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--tags", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results: dict[str, Any] = {}
    for name, result in _parts(arguments):
        results[name] = result
        print(json.dumps({name: result}, indent=2), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
