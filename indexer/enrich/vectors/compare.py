"""Promote a trained encoder only if it finds at least as much as the one in service, on images that it was
not trained on."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrine.indexer.enrich.vectors.promote import PromoteReport, promote
from vitrine.indexer.job.progress import Progress, Tally
from vitrine.indexer.job.search_index import build_search_index
from vitrine.indexer.job.stored_images import FIELDS, embed_stored
from vitrine.services.category.catalog import Category
from vitrine.services.domain import Embedding, Embeddings, EncoderSpec, Hit
from vitrine.services.encoders.batching import BatchedEncoder
from vitrine.services.encoders.families.metric_config import KIND, folder_kind, read_config, read_split
from vitrine.services.encoders.reference import name_of
from vitrine.services.encoders.retrieval_metrics import retrieval_metrics
from vitrine.services.errors import ModelUnavailable, WorseEncoder
from vitrine.services.images.open import point_id
from vitrine.services.runtime import Runtime

LEAST = 20
"""With fewer held-out images in the category the figures of the training run decide."""
MOST_QUERIES, MOST_OTHERS = 2_000, 10_000
"""Of larger splits a random part is compared: the candidate has to embed every one of them first."""
_CHUNK = 500
_NOT_COMPARED = "It is not compared: it is in service already, or its folder says nothing of held-out images."


@dataclass(frozen=True)
class Figures:
    """How well one encoder finds images of the same class: recall@1 and MAP@R in 0..1 (None: not
    recorded)."""

    encoder: str
    recall_at_1: float
    map_at_r: float | None

    def __str__(self) -> str:
        return f"recall@1 {self.recall_at_1:.4f}" + (
            "" if self.map_at_r is None else f", MAP@R {self.map_at_r:.4f}"
        )


@dataclass(frozen=True)
class Comparison:
    """The figures of both encoders, and in words what they were measured on."""

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
        """Return it as a JSON object."""
        return asdict(self)


def promote_if_better(
    runtime: Runtime,
    category: str,
    folder: Path,
    *,
    name: str | None = None,
    default: bool = True,
    force: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> PromoteReport:
    """Compare a trained encoder with the one in service, then `promote` it and build its search index.

    ``name``: what queries call it (None: as it was trained). ``force``: do not compare. ``WorseEncoder``
    where it finds less: then nothing of it stays. Else as `promote`.
    """
    name = name or trained_name(folder)
    compared: list[Comparison] = []

    def check(candidate: BatchedEncoder) -> None:
        found = compare(runtime, runtime.catalog.get(category), name, candidate, folder, progress)
        if found is None:
            note(_NOT_COMPARED)
            return
        if found.worse:
            raise WorseEncoder(
                f"It finds less than what is in service, on {found.measured_on}: {found.candidate}, "
                f"against {found.incumbent} of {found.incumbent.encoder}. Nothing was switched; train on, "
                "or promote it anyway by force (--force; in Python force=True).",
                **found.to_json(),
            )
        compared.append(found)
        better = f"{found.candidate}; {found.incumbent.encoder} has {found.incumbent}"
        note(f"On {found.measured_on}: {better}.")

    report = promote(
        runtime,
        category,
        folder,
        name=name,
        default=default,
        check=None if force else check,
        progress=progress,
    )
    report.comparison = compared[0].to_json() if compared else None
    if report.switched:
        build_search_index(runtime, category, note)
    return report


def trained_name(folder: Path) -> str:
    """Return what an encoder was called when it was trained, else its folder's name."""
    return name_of(read_config(folder).name if folder_kind(folder) == KIND else str(folder))


def compare(
    runtime: Runtime,
    category: Category,
    alias: str,
    encoder: BatchedEncoder,
    folder: Path,
    progress: Progress | None = None,
) -> Comparison | None:
    """Compare a candidate with what answers ``alias`` now (before its first promotion: the default).

    Queries are the held-out images of the folder's split that the category holds. They are searched among the
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
    queries, gallery = _some(held_out, MOST_QUERIES), _some(others, MOST_OTHERS)
    rows = _embedded(runtime, encoder, [*queries, *gallery], progress)
    return _measured(incumbent, encoder.spec.name, queries, gallery, rows)


@dataclass(frozen=True, eq=False)
class _Image:
    hit: Hit
    class_: str
    stored: Embedding


def _read_split(folder: Path) -> Mapping[str, Any]:
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
    """Return the images of a split that the category holds, with the vector in service."""
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
    incumbent: EncoderSpec,
    candidate: str,
    held_out: list[_Image],
    others: list[_Image],
    rows: Mapping[str, Embedding],
) -> Comparison | None:
    """Compare on the images that the candidate could embed: ``rows`` by image id."""
    queries = [image for image in held_out if image.hit.id in rows]
    gallery = [image for image in others if image.hit.id in rows]
    if len(queries) < 2:
        return None
    stored = {image.hit.id: image.stored for image in [*queries, *gallery]}
    among = f"among {len(gallery)} training images" if gallery else "among each other"
    return Comparison(
        _figures(candidate, queries, gallery, rows),
        _figures(incumbent.name, queries, gallery, stored),
        f"{len(queries)} held-out images of the category, {among}",
    )


def _figures(
    name: str, queries: list[_Image], gallery: list[_Image], rows: Mapping[str, Embedding]
) -> Figures:
    def stacked(images: list[_Image]) -> Embeddings:
        return np.stack([rows[image.hit.id] for image in images])

    found = retrieval_metrics(
        stacked(queries),
        [image.class_ for image in queries],
        stacked(gallery) if gallery else None,
        [image.class_ for image in gallery] if gallery else None,
        nmi=False,
    )
    return Figures(name, round(found.precision_at_1, 6), round(found.map_at_r, 6))


def _embedded(
    runtime: Runtime, encoder: BatchedEncoder, images: Sequence[_Image], progress: Progress | None
) -> dict[str, Embedding]:
    """Return the candidate's embeddings by image id; pictures that cannot be read are left out."""
    rows: dict[str, Embedding] = {}
    counted = Tally()
    if progress:
        progress.start("comparing", len(images))
    for made in embed_stored(runtime, encoder, [image.hit for image in images]):
        if made.row is None:
            counted.refused += 1
        else:
            counted.done += 1
            rows[made.id] = made.row
        if progress:
            progress.update(counted)
    if progress:
        progress.finish(counted)
    return rows


def _recorded(folder: Path, name: str) -> Comparison | None:
    """Compare the figures that the training run recorded on its test images."""
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
