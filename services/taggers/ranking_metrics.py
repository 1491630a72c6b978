"""Average precision and ROC AUC; used where taggers are trained and where the server trains one again.

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
    hits, falses = cumulated(labels, scores, weights)
    if not len(hits) or not hits[-1]:
        return float("nan")
    gains = np.diff(hits, prepend=0.0)
    return float((gains * hits / np.maximum(hits + falses, 1e-300)).sum() / hits[-1])


def roc_auc(labels: Bools, scores: Numbers, weights: Numbers | None = None) -> float:
    """Return the chance that a positive scores above a negative, ties counting half; NaN without both."""
    hits, falses = cumulated(labels, scores, weights)
    if not len(hits) or not hits[-1] or not falses[-1]:
        return float("nan")
    widths = np.diff(falses, prepend=0.0)
    heights = (hits + np.concatenate([[0.0], hits[:-1]])) / 2
    return float((widths * heights).sum() / (hits[-1] * falses[-1]))


def cumulated(
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
