"""Points for the tests of the embedded engine."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import numpy as np

from vitrine.services.domain import CollectionSchema, Embeddings, Point, VectorSpec

DIM = 16
SCHEMA = CollectionSchema("cats", (VectorSpec("clip", DIM),), {"tags": "keyword", "n": "integer"})


def point_id(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


def unit_vectors(count: int, *, dim: int = DIM, seed: int = 0) -> Embeddings:
    """(count, dim), of unit length."""
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    normed: Embeddings = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed


def points(start: int, stop: int, *, dim: int = DIM) -> list[Point]:
    """Points ``start`` to ``stop``, always the same for the same numbers."""
    vectors = unit_vectors(stop, dim=dim)[start:]
    return [
        Point(point_id(n), {"clip": vector}, {"n": n, "tags": [f"t{n % 5}", "all"]})
        for n, vector in zip(range(start, stop), vectors, strict=True)
    ]


def wait_until(condition: Callable[[], bool], *, seconds: float = 180.0) -> None:
    """Until the condition holds; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)  # asking without a pause would take the processor from what is waited for
