"""Judge metric-learned encoders on held-out images, next to their untrained trunk and other encoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitrine.services.domain import Embeddings
from vitrine.services.encoders.batching import StagedEncoder
from vitrine.services.errors import TooFewExamples
from vitrine.training.data.dataset import LabelledImage, SplitName
from vitrine.training.data.splits import Split
from vitrine.training.metric.evaluate import LABELS, Comparison, compare
from vitrine.training.metric.views import PixelReader, Tell, embed_pixels

Embed = Callable[[Sequence[LabelledImage]], Embeddings]
"""(n, dim) float32, L2-normalised, of n images."""
CANDIDATE, TRUNK = "candidate", "trunk"
"""What ``config.json`` calls the encoder itself and its trunk before training."""


@dataclass(frozen=True)
class HeldOut:
    """The queries, and the ``gallery`` that they are searched in; None: the other queries. ``part`` names the
    queries' part."""

    queries: tuple[LabelledImage, ...]
    gallery: tuple[LabelledImage, ...] | None
    part: SplitName


@dataclass(frozen=True)
class Judged:
    """The comparison, and the first encoder's embeddings of the queries and of the gallery."""

    comparison: Comparison
    queries: Embeddings
    gallery: Embeddings | None


def held_out(images: Sequence[LabelledImage], split: Split) -> HeldOut:
    """Choose queries and gallery: test images are searched in the training images, or among
    each other where the split is by class.

    Without a test part the validation part stands in for it. ``TooFewExamples`` without either.
    """
    part: SplitName = "test" if split.test else "validation"
    queries = tuple(images[position] for position in split.part(part))
    if not queries:
        raise TooFewExamples("No image was held out, so nothing can be measured: split with a test part.")
    train = tuple(images[position] for position in split.train)
    seen = {image.class_ for image in train}
    among_train = split.protocol != "by-class" or {image.class_ for image in queries} <= seen
    return HeldOut(queries, train if among_train else None, part)


def recalled(images: Sequence[LabelledImage], tree: Mapping[str, Any]) -> Split:
    """Find the split of a folder's split.json again among identified images, by their content.

    Where none of its test images is there, all images that were not trained on are the test, to be searched
    among each other.
    """
    parts = {name: set(tree[name]) for name in ("train", "validation", "test")}
    place = {
        name: tuple(p for p, image in enumerate(images) if image.sha256 in hashes)
        for name, hashes in parts.items()
    }
    if place["test"] or (place["validation"] and not parts["test"]):
        return Split(place["train"], place["validation"], place["test"], tree["protocol"])
    known = parts["train"] | parts["validation"]
    fresh = tuple(p for p, image in enumerate(images) if image.sha256 not in known)
    return Split((), (), fresh, "by-class")


def judge(named: Mapping[str, Embed], held: HeldOut, *, nmi: bool = True, seed: int = 0) -> Judged:
    """Compare encoders by name, the one in question first."""
    rows = {
        name: (embed(held.queries), embed(held.gallery) if held.gallery is not None else None)
        for name, embed in named.items()
    }
    gallery_classes = None if held.gallery is None else np.array([image.class_ for image in held.gallery])
    classes = np.array([image.class_ for image in held.queries])
    return Judged(compare(rows, classes, gallery_classes, nmi=nmi, seed=seed), *next(iter(rows.values())))


def metrics_tree(comparison: Comparison) -> dict[str, dict[str, float]]:
    """Return the values by encoder without their intervals, for config.json and logs."""
    return {
        row.name: {
            **{
                name: round(row.metrics[name].value, 5)
                for name in LABELS
                if not np.isnan(row.metrics[name].value)
            },
            **({"nmi": round(row.nmi, 5)} if row.nmi is not None else {}),
        }
        for row in comparison.rows
    }


def embedder_of(encoder: StagedEncoder, reader: PixelReader, tell: Tell, what: str) -> Embed:
    """Return a function that embeds images from their pixels."""
    fitted = replace(reader, preprocessing=encoder.spec.preprocessing)
    return lambda images: embed_pixels(encoder, fitted, images, tell, what)
