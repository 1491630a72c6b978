"""One runtime tried in a process of its own: how fast it is, how much memory it takes, what its vectors are.

    python -m vitrine.services.encoders.compiled.trial FOLDER

reads ``trial.json`` and ``pictures.npz`` of the folder, and writes ``figures.json`` and ``rows.npy`` there.
In one process the libraries of the first runtime would count as memory of the second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from vitrine.services.domain import Embeddings
from vitrine.services.encoders.base import Encoder, TextEncoder
from vitrine.services.encoders.compiled.choose import Runtime
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.precision import Precision
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import ResolvedModel

_INPUT, _PICTURES, _FIGURES, _ROWS = "trial.json", "pictures.npz", "figures.json", "rows.npy"
_TEXT = "a photo of a red house"
_ROUNDS = 5
_LONGEST_S = 600


@dataclass(frozen=True)
class Figures:
    """What one runtime did. ``image_ms`` and ``text_ms``: one alone, the median of five; ``memory_mb``: what
    the process holds after it all."""

    runtime: str
    precision: str
    load_seconds: float
    images_per_second: float
    image_ms: float
    text_ms: float | None
    memory_mb: float


def try_runtime(
    reference: EncoderReference,
    found: ResolvedModel,
    loader: EncoderLoader,
    pictures: Sequence[Image.Image],
    runtime: Runtime,
    precision: Precision,
) -> tuple[Figures, Embeddings] | str:
    """Return the figures and the pictures' embeddings (n, dim), or why this runtime does not run here."""
    with tempfile.TemporaryDirectory(prefix="vitrine-trial-") as temporary:
        folder = Path(temporary)
        task = {
            "reference": asdict(reference),
            "found": [str(found.folder.resolve()), found.revision],
            "models": str(loader.models.resolve()),
            "threads": loader.threads,
            "device": loader.device,
            "runtime": runtime,
            "precision": precision,
            "cache": None if loader.cache is None else str(loader.cache.resolve()),
        }
        (folder / _INPUT).write_text(json.dumps(task), encoding="utf-8")
        np.savez(folder / _PICTURES, *map(np.asarray, pictures))
        command = [sys.executable, "-m", __name__, str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
        except subprocess.TimeoutExpired:
            return f"it took more than {_LONGEST_S} seconds"
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["it ended without a word"])[-1][:200]
        figures = Figures(**json.loads((folder / _FIGURES).read_text(encoding="utf-8")))
        rows: Embeddings = np.load(folder / _ROWS, allow_pickle=False)
        return figures, rows


def measure(
    encoder: Encoder, pictures: Sequence[Image.Image], load_seconds: float
) -> tuple[Figures, Embeddings]:
    """Return the figures of an encoder in this process, and the pictures' embeddings."""
    rows = encoder.encode_images(pictures)  # warms up
    seconds = _seconds(lambda: encoder.encode_images(pictures), rounds=1)
    image_ms = 1e3 * _seconds(lambda: encoder.encode_images(pictures[:1]))
    text_ms = (
        1e3 * _seconds(lambda: encoder.encode_texts([_TEXT])) if isinstance(encoder, TextEncoder) else None
    )
    return (
        Figures(
            str(getattr(encoder, "runtime", "torch")),
            str(getattr(encoder, "precision", "float32")),
            round(load_seconds, 2),
            round(len(pictures) / seconds, 1),
            round(image_ms, 2),
            None if text_ms is None else round(text_ms, 2),
            round(resident_mb(), 1),
        ),
        rows,
    )


def resident_mb() -> float:
    """Return the memory that this process holds now, in MB; its largest so far where the system does not say
    more."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1e6 if sys.platform == "darwin" else 1e3)
    import resource

    return pages * resource.getpagesize() / 1e6


def _seconds(run: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """Return the median time of a call, after one that warms up where there are several rounds."""
    if rounds > 1:
        run()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return median(times)


def main(folder: Path) -> None:
    """Do the task of a folder."""
    task: dict[str, Any] = json.loads((folder / _INPUT).read_text(encoding="utf-8"))
    with np.load(folder / _PICTURES, allow_pickle=False) as arrays:
        pictures = [Image.fromarray(arrays[name]) for name in arrays.files]
    path, revision = task["found"]
    loader = EncoderLoader(
        models=Path(task["models"]),
        offline=True,
        precision=task["precision"],
        device="cpu" if task["runtime"] == "openvino" else task["device"],
        runtime=task["runtime"],
        threads=task["threads"],
        cache=None if task["cache"] is None else Path(task["cache"]),
    )
    started = time.perf_counter()
    encoder = loader.load(EncoderReference(**task["reference"]), ResolvedModel(Path(path), revision))
    figures, rows = measure(encoder, pictures, time.perf_counter() - started)
    np.save(folder / _ROWS, rows)
    (folder / _FIGURES).write_text(json.dumps(asdict(figures)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
