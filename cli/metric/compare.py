"""Whether an encoder that is to be promoted finds more than the one in service, on images that it was not
trained on."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitrine.services.errors import ModelUnavailable

if TYPE_CHECKING:
    from vitrine.services.category.catalog import Category
    from vitrine.services.domain import Embedding, EncoderSpec, Hit
    from vitrine.services.encoders.batching import BatchedEncoder
    from vitrine.services.runtime import Runtime

LEAST = 20
"""With fewer held-out images in the category the figures of the training run decide."""
MOST_QUERIES, MOST_OTHERS = 2_000, 10_000
"""Of larger splits a random part is compared: the candidate has to embed every one of them first."""
_CHUNK = 500


@dataclass(frozen=True)
class Figures:
    """How well one encoder retrieves: recall@1 and MAP@R in 0..1; MAP@R None where it was not recorded."""

    encoder: str
    recall_at_1: float
    map_at_r: float | None

    def __str__(self) -> str:
        return f"recall@1 {self.recall_at_1:.4f}" + (
            "" if self.map_at_r is None else f", MAP@R {self.map_at_r:.4f}"
        )


@dataclass(frozen=True)
class Comparison:
    """Both figures, and in words what they were measured on."""

    candidate: Figures
    incumbent: Figures
    measured_on: str

    @property
    def worse(self) -> bool:
        """A lower recall@1; where it is the same, a lower MAP@R."""
        mine, other = self.candidate, self.incumbent
        if mine.recall_at_1 != other.recall_at_1 or mine.map_at_r is None or other.map_at_r is None:
            return mine.recall_at_1 < other.recall_at_1
        return mine.map_at_r < other.map_at_r

    def to_json(self) -> dict[str, Any]:
        """A JSON object of it."""
        return {
            "candidate": vars(self.candidate),
            "incumbent": vars(self.incumbent),
            "measured_on": self.measured_on,
        }


def compare(
    runtime: Runtime, category: Category, alias: str, encoder: BatchedEncoder, folder: Path
) -> Comparison | None:
    """Candidate against what answers ``alias`` now (the category's default before it was ever promoted).

    Queries are the held-out images of the folder's split that the category holds. They are sought among the
    training images that it holds, or among each other where the split is by class. The candidate embeds those
    pictures; of the incumbent the stored vectors are compared. With fewer than LEAST of them the figures that
    training recorded are compared, candidate against trunk. None where there is nothing to compare: the
    incumbent is the same encoder, or the folder has neither split nor figures.
    """
    incumbent = category.encoder(alias if alias in category.promoted else None)
    if incumbent.revision == encoder.spec.revision:
        return None
    split = _read_split(folder)
    held_out = _held(
        runtime, category, incumbent, split, [*(split.get("test") or split.get("validation") or ())]
    )
    if len(held_out) < LEAST:
        return _recorded(folder, encoder.spec.name)
    by_class = split.get("protocol") == "by-class"
    others = [] if by_class else _held(runtime, category, incumbent, split, list(split.get("train") or ()))
    return _measured(runtime, incumbent, encoder, _some(held_out, MOST_QUERIES), _some(others, MOST_OTHERS))


@dataclass(frozen=True, eq=False)
class _Image:
    hit: Hit
    class_: str
    stored: Embedding


def _read_split(folder: Path) -> Mapping[str, Any]:
    from vitrine.services.encoders.families.metric import read_split

    try:
        return read_split(folder)
    except ModelUnavailable:
        return {}


def _held(
    runtime: Runtime,
    category: Category,
    incumbent: EncoderSpec,
    split: Mapping[str, Any],
    hashes: Sequence[str],
) -> list[_Image]:
    """Those images of a split that the category holds, with the incumbent's vector."""
    from vitrine.indexer.job.stored_images import FIELDS
    from vitrine.services.images.open import point_id

    classes, images = split.get("classes", {}), []
    for start in range(0, len(hashes), _CHUNK):
        part = [name for name in hashes[start : start + _CHUNK] if name in classes]
        hits = runtime.vectors.retrieve(
            category.name,
            [point_id(name) for name in part],
            with_payload=FIELDS,
            with_vectors=(incumbent.name,),
        )
        for name, hit in zip(part, hits, strict=True):
            if hit is not None and incumbent.name in hit.vectors:
                images.append(_Image(hit, str(classes[name]), hit.vectors[incumbent.name]))
    return images


def _some(images: list[_Image], most: int) -> list[_Image]:
    return images if len(images) <= most else random.Random(0).sample(images, most)


def _measured(
    runtime: Runtime,
    incumbent: EncoderSpec,
    encoder: BatchedEncoder,
    held_out: list[_Image],
    others: list[_Image],
) -> Comparison | None:
    rows = _embedded(runtime, encoder, [*held_out, *others])
    queries = [image for image in held_out if image.hit.id in rows]
    gallery = [image for image in others if image.hit.id in rows]
    if len(queries) < 2:
        return None
    figures = [
        _figures(name, queries, gallery, vectors)
        for name, vectors in (
            (encoder.spec.name, rows),
            (incumbent.name, {image.hit.id: image.stored for image in [*queries, *gallery]}),
        )
    ]
    among = f"among {len(gallery)} training images" if gallery else "among each other"
    return Comparison(figures[0], figures[1], f"{len(queries)} held-out images of the category, {among}")


def _figures(
    name: str, queries: list[_Image], gallery: list[_Image], rows: Mapping[str, Embedding]
) -> Figures:
    import numpy as np

    from vitrine.training.metric.metrics import retrieval_metrics

    def stacked(images: list[_Image]) -> Any:
        return np.stack([rows[image.hit.id] for image in images])

    found = retrieval_metrics(
        stacked(queries),
        [image.class_ for image in queries],
        stacked(gallery) if gallery else None,
        [image.class_ for image in gallery] if gallery else None,
        nmi=False,
    )
    return Figures(name, round(found.precision_at_1, 6), round(found.map_at_r, 6))


@dataclass
class _Counted:
    """What the progress of a comparison shows."""

    done: int = 0
    refused: int = 0


def _embedded(runtime: Runtime, encoder: BatchedEncoder, images: Sequence[_Image]) -> dict[str, Embedding]:
    """The candidate's embeddings by image id; pictures that cannot be read are left out."""
    from vitrine.indexer.job.progress import make_progress
    from vitrine.indexer.job.stored_images import embed_stored

    rows: dict[str, Embedding] = {}
    progress, counted = make_progress(title="comparing"), _Counted()
    if progress:
        progress.start(len(images))
    for made in embed_stored(runtime, encoder, [image.hit for image in images]):
        counted.done += made.row is not None
        counted.refused += made.row is None
        if made.row is not None:
            rows[made.id] = made.row
        if progress:
            progress.update(counted)
    if progress:
        progress.finish(counted)
    return rows


def _recorded(folder: Path, name: str) -> Comparison | None:
    """The figures of the training run's test images."""
    from vitrine.services.encoders.families.metric_config import read_config

    try:
        metrics = read_config(folder).metrics
    except ModelUnavailable:
        return None
    found = [
        _from_record(name, metrics.get("candidate", {})),
        _from_record("its trunk", metrics.get("trunk", {})),
    ]
    if found[0] is None or found[1] is None:
        return None
    return Comparison(found[0], found[1], "the test images of the training run")


def _from_record(name: str, figures: Mapping[str, Any]) -> Figures | None:
    recall, precision = figures.get("precision_at_1"), figures.get("map_at_r")
    if not isinstance(recall, int | float):
        return None
    return Figures(name, float(recall), float(precision) if isinstance(precision, int | float) else None)
