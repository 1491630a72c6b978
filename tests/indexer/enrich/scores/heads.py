"""Heads made by hand, and images with vectors but without pictures, for the tests of scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.indexer.pictures import CATEGORY
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.fields import QUALITY
from vitrine.services.domain import Embedding, Embeddings, Point
from vitrine.services.images.open import point_id
from vitrine.services.runtime import Runtime


def head(
    runtime: Runtime,
    tag: str,
    seed: int = 0,
    using: str = "colour",
    *,
    kind: str = "by-hand",
    threshold: float = 0.5,
) -> TagHead:
    """A head of random weights on a named vector, as the category has it now."""
    spec = runtime.catalog.get(CATEGORY).encoder(using)
    weight = (4 * np.random.default_rng(seed).normal(size=spec.dim)).astype(np.float32)
    return TagHead(
        tag, kind, spec.name, spec.revision, weight, 0.25, slope=1.5, offset=-0.1, threshold=threshold
    )


def id_of(number: int) -> str:
    return point_id(f"{number:064x}")


def unit_rows(count: int, dim: int, seed: int = 7) -> Embeddings:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def fill(
    runtime: Runtime, count: int, payloads: Mapping[int, dict[str, Any]] | None = None, using: str = "colour"
) -> None:
    """So many images with the named vector; the payload of some has more fields."""
    rows = unit_rows(count, runtime.catalog.get(CATEGORY).encoder(using).dim)
    given = payloads or {}
    points = [
        Point(id_of(n), {using: rows[n]}, {"filename": f"{n}.png", **given.get(n, {})}) for n in range(count)
    ]
    runtime.vectors.upsert(CATEGORY, points)


def score_by_hand(head: TagHead, embedding: Embedding) -> float:
    """The score of one embedding, in plain Python."""
    margin = sum(float(w) * float(x) for w, x in zip(head.weight, embedding, strict=True)) + head.bias
    return 1 / (1 + math.exp(-(head.slope * margin + head.offset)))


def stored(runtime: Runtime) -> dict[str, tuple[dict[str, Any], Mapping[str, Embedding]]]:
    """Payload and vectors of every image, by file name."""
    names = tuple(spec.name for spec in runtime.catalog.get(CATEGORY).encoders)
    hits = runtime.vectors.scroll(CATEGORY, limit=10_000, with_vectors=names).hits
    return {str(hit.payload["filename"]): (hit.payload, hit.vectors) for hit in hits}


def assert_explained(runtime: Runtime, heads: list[TagHead], tolerance: float = 1e-4) -> int:
    """No image has a score that its ``scored_by`` does not explain. How many scores there are."""
    known = {head.signature + "/" + head.tag: head for head in heads}
    count = 0
    for payload, vectors in stored(runtime).values():
        scores, scored_by = payload.get("scores", {}), payload.get("scored_by", {})
        values = scores | ({QUALITY: payload[QUALITY]} if QUALITY in scored_by else {})
        assert values.keys() == scored_by.keys()
        for tag, value in values.items():
            if scored_by[tag] != "manifest":
                its = known[scored_by[tag] + "/" + tag]
                assert abs(value - score_by_hand(its, vectors[its.using])) < tolerance
                count += 1
    return count
