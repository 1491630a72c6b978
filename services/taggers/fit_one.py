"""Train one tagger from accepted, rejected and background images, and measure it, in a fraction of a
second."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.read_all import BATCH, read_all
from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.errors import TooFewExamples
from vitrine.services.filters.conditions import Filter
from vitrine.services.taggers.logistic import balanced_weights, fit_logistic, platt
from vitrine.services.taggers.ranking_metrics import average_precision, best_threshold, roc_auc
from vitrine.services.threads import one_blas_thread

if TYPE_CHECKING:
    from vitrine.services.vector_store.base import VectorStore

LEAST = 2
"""Accepted and rejected images, of each, that a head takes."""
KIND = "logistic-regression"
_FOLDS, _FEW_FOLDS, _MANY = 5, 3, 1_000
"""From a thousand judged images on three folds tell as much as five (0.933 by both at 10,000) and take a
third less time."""
_SEED = 20
_C = 10.0
"""Inverse strength of the regularisation. Five tags of the demo, 3 + 20 labels a round, average precision
over the category after one and three rounds: C 1 0.72, 0.83; 10 0.72, 0.84; 100 0.71, 0.83."""
_CALIBRATED = 10
"""Accepted and rejected images, of each, from which on the scores are calibrated and the threshold is chosen
for the best F1."""
Flags = NDArray[np.bool_]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """Images and their embeddings (n, dim), in the same order."""

    ids: tuple[str, ...]
    embeddings: Embeddings

    @classmethod
    def none(cls, dim: int) -> Examples:
        return cls((), np.empty((0, dim), np.float32))


@dataclass(frozen=True)
class Refit:
    """A head that was just trained, and the seconds that reading the embeddings and fitting took."""

    head: TagHead
    read_seconds: float
    fit_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of all of it, without the weights."""
        head = self.head
        return {
            "kind": head.kind,
            "using": head.using,
            "trained_at": head.trained_at,
            "examples": dict(head.examples),
            "metrics": dict(head.metrics),
            "seconds": {"read": self.read_seconds, "fit": self.fit_seconds},
        }


def read_examples(
    vectors: VectorStore, collection: str, spec: EncoderSpec, chosen: Filter | None, most: int
) -> Examples:
    """Return the first ``most`` images, in order of id, that meet the filter and have the named vector."""
    ids: list[str] = []
    rows = [np.empty((0, spec.dim), np.float32)]
    if most:
        for batch in read_all(vectors, collection, spec.name, filter=chosen, batch=min(BATCH, most)):
            ids += batch.ids
            rows.append(batch.embeddings)
            if len(ids) >= most:
                break
    return Examples(tuple(ids[:most]), np.concatenate(rows)[:most])


def background_size(accepted: int, rejected: int) -> int:
    """Return how many images that nobody judged stand in for the rest of the category, as negatives.

    Those that are shown lie near the boundary; without the rest a head knows nothing of what is far away. (As
    for C, after one round: none 0.66, four for each accepted 0.72, ten 0.71.)
    """
    return max(0, min(4 * accepted, 2_000) - rejected)


def fit_head(
    tag: str, spec: EncoderSpec, accepted: Examples, rejected: Examples, background: Examples
) -> TagHead:
    """Train a head from images that people accepted and rejected, and background images, which count as
    rejected.

    Both sides weigh the same in all. ``metrics`` are out of fold, over the judged images only: what nobody
    judged may have the tag. They were chosen for being hard, so the whole category is easier.
    ``TooFewExamples`` with under 2 of a side, or where the encoder cannot tell the sides apart.
    """
    if min(len(accepted.ids), len(rejected.ids)) < LEAST:
        raise TooFewExamples(
            f"{tag!r} has {len(accepted.ids)} accepted and {len(rejected.ids)} rejected images with a "
            f"vector {spec.name!r}: judge at least {LEAST} of each.",
            accepted=len(accepted.ids),
            rejected=len(rejected.ids),
        )
    parts = (accepted, rejected, background)
    x = np.concatenate([part.embeddings for part in parts])
    sizes = [len(part.ids) for part in parts]
    labels = np.repeat([True, False, False], sizes)
    judged = np.repeat([True, True, False], sizes)
    folds = _folds(sizes)
    weights, biases = _fit(x, labels, folds)
    if not np.isfinite(weights).all() or np.linalg.norm(weights[-1]) < 1e-6:
        raise TooFewExamples(
            f"To {spec.name!r} the accepted and the rejected images of {tag!r} look the same: judge others."
        )
    margins = (
        np.einsum("nd,nd->n", x, weights[folds]) + biases[folds]
    )  # each by the head that has not seen it
    slope, offset, boundary = 1.0, 0.0, 0.0
    if min(sizes[:2]) >= _CALIBRATED:
        slope, offset = platt(margins, labels)
        calibrated = slope * margins + offset
        boundary = best_threshold(labels, calibrated, lowest=float(calibrated.min()))
    metrics = head_metrics(slope * margins[judged] + offset - boundary, labels[judged])
    return TagHead(
        tag=tag,
        kind=KIND,
        using=spec.name,
        encoder_revision=spec.revision,
        weight=weights[-1].astype(np.float32),
        bias=float(biases[-1]),
        slope=float(slope),
        offset=float(offset),
        threshold=round(float(1 / (1 + np.exp(-boundary))), 4),
        fingerprint=_fingerprint(accepted, rejected, background),
        examples=dict(zip(("positives", "negatives", "background"), sizes, strict=True)),
        metrics={**metrics, "protocol": f"{int(folds.max()) + 1}-fold, judged images"},
    )


def head_metrics(margins: Values, labels: Flags) -> dict[str, Any]:
    """Return average precision, ROC AUC, and precision, recall and F1 where the tag is given at a margin of 0
    or more."""
    given = margins >= 0
    hits = int((given & labels).sum())
    precision = hits / int(given.sum()) if given.any() else 0.0
    recall = hits / int(labels.sum())
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    found = {
        "average_precision": average_precision(labels, margins),
        "roc_auc": roc_auc(labels, margins),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }
    return {name: round(value, 4) for name, value in found.items()}


def _folds(sizes: list[int]) -> NDArray[np.intp]:
    """Return the fold of each example (n,): every fold has its share of each part."""
    generator = np.random.default_rng(_SEED)
    folds = _FOLDS if sum(sizes[:2]) < _MANY else _FEW_FOLDS
    count = min(folds, *sizes[:2])
    return np.concatenate([generator.permutation(size) % count for size in sizes])


def _fit(x: Embeddings, labels: Flags, folds: NDArray[np.intp]) -> tuple[Embeddings, NDArray[np.float32]]:
    """Return weights (folds + 1, dim) and biases of the heads that each leave one fold out, and last of the
    head that leaves out none.

    To the solver they are so many tags, so that they cost little more than one.
    """
    used = folds[:, None] != np.arange(int(folds.max()) + 2)
    targets = np.repeat(labels[:, None], used.shape[1], axis=1)
    with (
        one_blas_thread()
    ):  # as fast as on two where they are free, and four to ten times where a server uses them
        return fit_logistic(x, targets, balanced_weights(targets, used), _C)


def _fingerprint(*parts: Examples) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update("\n".join(sorted(part.ids)).encode() + b"\n\n")
    return f"sha256:{digest.hexdigest()}"
