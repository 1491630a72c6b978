"""Drawn pictures as arrays, made once and kept in a cache file, for training the demo encoder."""

import io
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.data.facts import FACT_NAMES, FACT_VALUES, Facts
from vitrine.data.pictures import GENERATOR_VERSION, draw_pictures

INPUT_SIZE: Final = 64
DRAWN_SIZE: Final = 192
_PART = 1000


@dataclass(frozen=True, eq=False)
class TrainingPictures:
    """Pictures as the encoder sees them before normalisation, and what is true of them."""

    pixels: NDArray[np.uint8]
    """(n, 64, 64, 3)"""
    facts: NDArray[np.uint8]
    """(n, 8): one column for each of `FACT_NAMES`, positions in `FACT_VALUES`."""

    def __len__(self) -> int:
        return len(self.pixels)


def encode_facts(facts: Facts) -> list[int]:
    """`facts` as positions in `FACT_VALUES`, in the order of `FACT_NAMES`."""
    return [FACT_VALUES[name].index(getattr(facts, name)) for name in FACT_NAMES]


def decode_facts(row: NDArray[np.uint8]) -> Facts:
    """The inverse of `encode_facts`."""
    return Facts(**{name: FACT_VALUES[name][int(i)] for name, i in zip(FACT_NAMES, row, strict=True)})


def as_served(image: Image.Image, quality: int = 90) -> Image.Image:
    """`image` after a trip through a JPEG file, as a server would read it."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def training_pictures(count: int, seed: int, cache: Path, *, workers: int = 2) -> TrainingPictures:
    """The first `count` pictures that `seed` names, read from `cache` or drawn into it by `workers`
    processes."""
    file = cache / f"pictures-v{GENERATOR_VERSION}-seed{seed}-{count}.npz"
    if file.is_file():
        with np.load(file, allow_pickle=False) as stored:
            return TrainingPictures(stored["pixels"], stored["facts"])
    starts = range(0, count, _PART)
    jobs = [(seed, start, min(_PART, count - start)) for start in starts]
    # Spawned, not forked: a parent that has run torch holds threads a forked child cannot use.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(_draw_part, jobs))
    drawn = TrainingPictures(np.concatenate([p for p, _ in parts]), np.concatenate([f for _, f in parts]))
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}.tmp")
    with unfinished.open("wb") as out:
        np.savez(out, pixels=drawn.pixels, facts=drawn.facts)
    unfinished.replace(file)
    return drawn


def _draw_part(job: tuple[int, int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    seed, start, count = job
    pixels = np.empty((count, INPUT_SIZE, INPUT_SIZE, 3), dtype=np.uint8)
    facts = np.empty((count, len(FACT_NAMES)), dtype=np.uint8)
    for row, picture in enumerate(draw_pictures(count, seed, DRAWN_SIZE, start=start)):
        small = as_served(picture.image).resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.BICUBIC)
        pixels[row] = np.asarray(small)
        facts[row] = encode_facts(picture.facts)
    return pixels, facts
