"""Average precision, ROC AUC and the best threshold; used where taggers are trained and where the server
trains one again.

>>> labels, scores = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1])
>>> round(average_precision(labels, scores), 4), roc_auc(labels, scores)
(0.8333, 0.75)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Numbers = NDArray[np.floating]


def average_precision(labels: Bools, scores: Numbers, weights: Numbers | None = None) -> float:
    """Return the mean of the precision at each recall step, equal scores taken together (as scikit-learn
    does); NaN without positives."""
    hits, falses = _cumulated(labels, scores, weights)
    if not len(hits) or not hits[-1]:
        return float("nan")
    gains = np.diff(hits, prepend=0.0)
    return float((gains * hits / np.maximum(hits + falses, 1e-300)).sum() / hits[-1])


def roc_auc(labels: Bools, scores: Numbers, weights: Numbers | None = None) -> float:
    """Return the chance that a positive scores above a negative, ties counting half; NaN without both."""
    hits, falses = _cumulated(labels, scores, weights)
    if not len(hits) or not hits[-1] or not falses[-1]:
        return float("nan")
    widths = np.diff(falses, prepend=0.0)
    heights = (hits + np.concatenate([[0.0], hits[:-1]])) / 2
    return float((widths * heights).sum() / (hits[-1] * falses[-1]))


def best_threshold(
    labels: Bools,
    scores: Numbers,
    weights: Numbers | None = None,
    *,
    precision: float | None = None,
    lowest: float = 0.0,
) -> float:
    """Return the threshold of the best F1; with ``precision``, the lowest that reaches it (best F1 where none
    does).

    It lies halfway between two scores, so that it does not depend on the last digit of one; below the least
    score, halfway to ``lowest``.

    >>> best_threshold(np.array([True, True, False, False]), np.array([3.0, 2.0, 1.0, -1.0]))
    1.5
    """
    values = np.unique(scores)[::-1]
    hits, falses = _cumulated(labels, scores, weights)
    reached = hits / np.maximum(hits + falses, 1e-300)
    at = int(np.argmax(2 * hits / np.maximum(hits + falses + hits[-1], 1e-300)))
    if precision is not None:
        enough = np.flatnonzero((reached >= precision) & (hits > 0))
        at = int(enough[-1]) if len(enough) else at
    below = float(values[at + 1]) if at + 1 < len(values) else lowest
    return (float(values[at]) + below) / 2


def _cumulated(
    labels: Bools, scores: Numbers, weights: Numbers | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weight of positives and of negatives at or above each distinct score, from the highest
    down."""
    counts = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    order = np.argsort(-np.asarray(scores), kind="stable")
    ranked = np.asarray(scores)[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, np.intp)
    hits = np.cumsum(np.where(labels, counts, 0.0)[order])[last]
    falses = np.cumsum(np.where(labels, 0.0, counts)[order])[last]
    return hits, falses
