"""Measure how good the scores of one tag are. ``weights`` count an example more than once.

>>> labels, scores = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1])
>>> round(average_precision(labels, scores), 4), roc_auc(labels, scores)
(0.8333, 0.75)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.services.taggers.ranking_metrics import Bools, Numbers, average_precision, roc_auc

BINS = 10


@dataclass(frozen=True)
class CalibrationBin:
    """Scores in ``low``..``high``: how many, their mean, and the share of positives among them (None where
    there are none)."""

    low: float
    high: float
    count: float
    mean_score: float | None
    positive_share: float | None


@dataclass(frozen=True)
class TagMetrics:
    """How good the scores of one tag are on examples that its head was not fit on.

    Counts are weighted where negatives stand for more images than were looked at. ``calibration_error``: the
    mean distance between score and share of positives over ten bins of equal width, weighted by their size
    (Naeini et al., 2015). Histograms have ten bins over 0..1.
    """

    positives: int
    negatives: int
    prevalence: float
    average_precision: float
    roc_auc: float
    threshold: float
    precision: float
    recall: float
    f1: float
    true_positives: float
    false_positives: float
    false_negatives: float
    true_negatives: float
    calibration_error: float
    calibration: tuple[CalibrationBin, ...]
    positive_histogram: tuple[int, ...]
    negative_histogram: tuple[int, ...]


def tag_metrics(
    labels: Bools,
    scores: Numbers,
    threshold: float | Numbers,
    weights: Numbers | None = None,
    *,
    shown: float | None = None,
) -> TagMetrics:
    """Compute all of ``TagMetrics`` from labels (n,), scores (n,) in 0..1 and one threshold, or one for each
    example.

    ``shown`` is the threshold that is reported where each example has its own.
    """
    counts = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    chosen = scores >= threshold
    cells = [
        float(counts[a & b].sum())
        for a, b in ((labels, chosen), (~labels, chosen), (labels, ~chosen), (~labels, ~chosen))
    ]
    hit, false, missed, right = cells
    precision, recall = (
        hit / (hit + false) if hit + false else 0.0,
        hit / (hit + missed) if hit + missed else 0.0,
    )
    curve = calibration_curve(labels, scores, counts)
    return TagMetrics(
        positives=int(labels.sum()),
        negatives=int((~labels).sum()),
        prevalence=(hit + missed) / max(sum(cells), 1e-12),
        average_precision=average_precision(labels, scores, counts),
        roc_auc=roc_auc(labels, scores, counts),
        threshold=float(np.mean(threshold)) if shown is None else shown,
        precision=precision,
        recall=recall,
        f1=2 * hit / (2 * hit + false + missed) if hit else 0.0,
        true_positives=hit,
        false_positives=false,
        false_negatives=missed,
        true_negatives=right,
        calibration_error=calibration_error(curve),
        calibration=curve,
        positive_histogram=_histogram(scores[labels]),
        negative_histogram=_histogram(scores[~labels]),
    )


def calibration_curve(
    labels: Bools, scores: Numbers, weights: Numbers | None = None
) -> tuple[CalibrationBin, ...]:
    """Return ten bins of equal width over 0..1."""
    counts = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    bins = _bins(scores)
    total = np.bincount(bins, counts, BINS)
    mean = np.bincount(bins, counts * scores, BINS)
    share = np.bincount(bins, counts * labels, BINS)
    rows = zip(total.tolist(), mean.tolist(), share.tolist(), strict=True)
    return tuple(
        CalibrationBin(
            number / BINS, (number + 1) / BINS, size, *((sum_ / size, hit / size) if size else (None, None))
        )
        for number, (size, sum_, hit) in enumerate(rows)
    )


def calibration_error(curve: tuple[CalibrationBin, ...]) -> float:
    """Return the expected calibration error of a curve, in 0..1."""
    total = sum(one.count for one in curve)
    gaps = (
        one.count * abs(one.mean_score - one.positive_share)
        for one in curve
        if one.mean_score is not None and one.positive_share is not None
    )
    return sum(gaps) / total if total else 0.0


def _bins(scores: Numbers) -> NDArray[np.intp]:
    return np.clip((np.asarray(scores, np.float64) * BINS).astype(np.intp), 0, BINS - 1)


def _histogram(scores: Numbers) -> tuple[int, ...]:
    return tuple(np.bincount(_bins(scores), minlength=BINS).tolist())
