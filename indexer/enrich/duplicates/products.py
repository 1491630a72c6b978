"""All products of a matrix with itself, block by block, as fast as the processor can."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import Embeddings

Product = Callable[[int, int], NDArray[np.float32]]
"""Of the rows from one to another with all rows from the first of them on: (rows, n - first)."""
SLACK = 0.006
"""How far a product of unit vectors in bfloat16 (8 bits of fraction, summed in float32) can be off."""
_WORTH = 20_000
_SAMPLE = 256, 8_192


def fast_products(embeddings: Embeddings) -> tuple[Product, float]:
    """A way to multiply, and how far its results can be off.

    bfloat16 is exact enough to find candidates, and three times as fast where the processor has instructions
    for it (on two cores with AMX, 1,280 dimensions), but slower where it has none: so both are tried on a
    sample. Few images are not worth it.
    """

    def exact(start: int, end: int) -> NDArray[np.float32]:
        product: NDArray[np.float32] = embeddings[start:end] @ embeddings[start:].T
        return product

    if len(embeddings) < _WORTH:
        return exact, 0.0
    short = _in_bfloat16(embeddings)
    rows, columns = _SAMPLE
    sample = _in_bfloat16(embeddings[:columns]), embeddings[:columns]
    sample[0](0, rows)  # the first call prepares what later ones use
    seconds = [_seconds(lambda: sample[0](0, rows)), _seconds(lambda: sample[1][:rows] @ sample[1].T)]
    return (short, SLACK) if seconds[0] < seconds[1] else (exact, 0.0)


def _in_bfloat16(embeddings: Embeddings) -> Product:
    import torch  # takes a second to import

    rounded = torch.from_numpy(np.ascontiguousarray(embeddings)).bfloat16()

    def product(start: int, end: int) -> NDArray[np.float32]:
        near: NDArray[np.float32] = (rounded[start:end] @ rounded[start:].T).float().numpy()
        return near

    return product


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
