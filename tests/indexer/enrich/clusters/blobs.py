"""Unit vectors around known directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import Embeddings


def blobs(
    sizes: tuple[int, ...] = (40, 30, 20), dim: int = 12, spread: float = 0.05, seed: int = 0
) -> tuple[Embeddings, NDArray[np.int64]]:
    """Rows in a shuffled order, and which direction each is around: 0 is the one with the first of
    ``sizes``."""
    generator = np.random.default_rng(seed)
    centres = np.linalg.qr(generator.normal(size=(dim, dim)))[0][: len(sizes)]
    truth = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = centres[truth] + spread * generator.normal(size=(len(truth), dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), truth


def scattered(count: int, dim: int = 8, seed: int = 0) -> Embeddings:
    """Unit vectors without any structure."""
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
