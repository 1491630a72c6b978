"""A head for how good a picture is, 0..1, from people's ratings or from which of two pictures they prefer."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.domain import Embeddings, EncoderSpec
from services.errors import BadRequest, TooFewExamples
from services.logistic import fit_logistic
from services.tagging import QUALITY, TagHead

Floats = NDArray[np.float32]
Values = NDArray[np.float64]

GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
LEAST = 20
"""Ratings or pairs that it takes at least."""
_FOLDS = 5


def quality_from_ratings(
    spec: EncoderSpec, ids: Sequence[str], x: Embeddings, ratings: Values, *, low: float = 1.0, high: float = 10.0, seed: int = 0
) -> TagHead:
    """From ratings (n,) in ``low``..``high`` of embeddings (n, dim): logistic regression on the share (rating - low) / (high - low).

    Each image counts as good to that share and as bad to the rest, which keeps the output in 0..1 and the fit convex (a fractional
    logit; Papke and Wooldridge, 1996). C by out-of-fold Spearman correlation, which is also what is reported. ``TooFewExamples``,
    ``BadRequest`` for ratings outside the range.
    """
    if high <= low or not np.isfinite(ratings).all() or ratings.min(initial=low) < low or ratings.max(initial=high) > high:
        raise BadRequest(f"Ratings must lie in {low:g}..{high:g}: say what the range is, or mend the column.")
    if len(ratings) < LEAST or np.ptp(ratings) == 0:
        raise TooFewExamples(f"There are {len(ratings)} ratings; it takes {LEAST} that are not all equal.", ratings=len(ratings))
    shares = (ratings - low) / (high - low)
    fold = np.random.default_rng(seed).permutation(len(ratings)) % _FOLDS

    def fit(rows: NDArray[np.intp], c: float) -> tuple[Floats, float]:
        # a smoothed share: with both sides present the optimum is finite
        good = np.clip(shares[rows], 1e-3, 1 - 1e-3)
        both = np.concatenate([x[rows], x[rows]])
        labels = np.repeat([True, False], len(rows))[:, None]
        weights, biases = fit_logistic(both, labels, np.concatenate([good, 1 - good])[:, None].astype(np.float32), c)
        return weights[0], float(biases[0])

    found = []
    for c in GRID:
        margins = np.empty(len(ratings))
        for one in range(_FOLDS):
            weight, bias = fit(np.flatnonzero(fold != one), c)
            margins[fold == one] = x[fold == one] @ weight + bias
        error = float(np.abs(_sigmoid(margins) - shares).mean())
        found.append((round(spearman(margins, ratings), 4), c, error))
    best = max(found, key=lambda row: (row[0], -row[1]))
    weight, bias = fit(np.arange(len(ratings)), best[1])
    metrics = {"spearman": best[0], "mean_absolute_error": best[2], "protocol": f"{_FOLDS}-fold", "c": best[1]}
    return _head(spec, weight, bias, ids, "ratings", {"ratings": len(ratings)}, metrics)


def quality_from_preferences(
    spec: EncoderSpec, ids: Sequence[str], x: Embeddings, pairs: Sequence[tuple[int, int]], *, seed: int = 0
) -> TagHead:
    """From pairs (better, worse) of rows of ``x`` (n, dim): logistic regression on the differences (Bradley and Terry, 1952).

    Pairs tell only differences, so the scores are set to 0.5 for the mean image of those compared. C by the accuracy on pairs out of
    fold, which is also what is reported; a pair and its images may recur in other folds, but the same two images never straddle.
    """
    rows = np.asarray(pairs, np.intp).reshape(-1, 2)
    if len(rows) < LEAST:
        raise TooFewExamples(f"There are {len(rows)} pairs of images that the category has; it takes {LEAST}.", pairs=len(rows))
    difference = x[rows[:, 0]] - x[rows[:, 1]]
    couples = np.unique(np.sort(rows, axis=1), axis=0, return_inverse=True)[1].ravel()
    fold = (np.random.default_rng(seed).permutation(couples.max() + 1) % _FOLDS)[couples]

    def fit(some: NDArray[np.intp], c: float) -> Floats:
        # each pair both ways round: so the intercept is zero, as it must be
        both = np.concatenate([difference[some], -difference[some]])
        labels = np.repeat([True, False], len(some))[:, None]
        return fit_logistic(both, labels, np.full(labels.shape, 0.5, np.float32), c)[0][0]

    found = []
    for c in GRID:
        right = [difference[fold == one] @ fit(np.flatnonzero(fold != one), c) > 0 for one in range(_FOLDS) if (fold == one).any()]
        found.append((round(float(np.concatenate(right).mean()), 4), c))
    best = max(found, key=lambda row: (row[0], -row[1]))
    weight = fit(np.arange(len(rows)), best[1])
    used = np.unique(rows)
    metrics = {"pair_accuracy": best[0], "protocol": f"{_FOLDS}-fold", "c": best[1]}
    bias = -float((x[used] @ weight).mean())
    return _head(spec, weight, bias, [ids[row] for row in used], "preferences", {"pairs": len(rows)}, metrics)


def read_preferences(path: Path, ids: Sequence[str], names: Mapping[str, str]) -> tuple[list[tuple[int, int]], int]:
    """Rows (better, worse) of a CSV with these two columns, by id or file name (``names``: id by file name); how many were unknown."""
    row = {one: number for number, one in enumerate(ids)}
    row |= {name: row[one] for name, one in names.items() if one in row and name not in row}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"better", "worse"} <= set(reader.fieldnames or ()):
            raise BadRequest(f"{path} needs the columns better and worse, with ids or file names.")
        said = [(str(line["better"]).strip(), str(line["worse"]).strip()) for line in reader]
    known = [(row[better], row[worse]) for better, worse in said if better in row and worse in row and better != worse]
    return known, len(said) - len(known)


def spearman(left: Values, right: Values) -> float:
    """Correlation of the ranks, equal values sharing theirs; 0 where one side is constant.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 9.0]))
    1.0
    """
    a, b = (_ranks(np.asarray(values, np.float64)) for values in (left, right))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else 0.0


def _ranks(values: Values) -> Values:
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[which])


def _head(
    spec: EncoderSpec, weight: Floats, bias: float, ids: Sequence[str], kind: str, examples: dict[str, int],
    metrics: dict[str, object],
) -> TagHead:  # fmt: skip
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    return TagHead(
        tag=QUALITY, kind=kind, using=spec.name, encoder_revision=spec.revision, weight=weight, bias=bias,
        fingerprint=f"sha256:{digest}", examples=examples, metrics=metrics,
    )  # fmt: skip


def _sigmoid(values: Values) -> Values:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))
