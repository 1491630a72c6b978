"""Train a head for how good a picture is, 0..1, from ratings or from which of two pictures people prefer.

What is reported is out of sample: an image is scored by a head that has not seen it, with a C and a
calibration that were chosen on the other images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.fields import QUALITY
from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.errors import BadRequest, TooFewExamples
from vitrine.services.taggers.logistic import fit_logistic, platt, sigmoid

Floats = NDArray[np.float32]
Values = NDArray[np.float64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.intp]

GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
LEAST = 20
"""Ratings or pairs that it takes at least."""
_FOLDS, _PAIR_FOLDS = 5, 8
"""A pair leaves out the folds of both its images: eight keep over half of the pairs to train on."""
_TOLERANCE = 1e-3
"""Of the fits. 1e-4 takes twice as long on 10,000 ratings or 5,000 pairs, and finds no better head."""
_NORMAL = 1.702
"""``sigmoid(1.702 z)`` is within 0.01 of the normal distribution function of z (Haley, 1952)."""


def quality_from_ratings(
    spec: EncoderSpec,
    ids: Sequence[str],
    x: Embeddings,
    ratings: Values,
    *,
    low: float = 1.0,
    high: float = 10.0,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> TagHead:
    """Train from ratings (n,) in ``low``..``high`` of embeddings (n, dim), by logistic regression on each
    rating's share of the range.

    Each image counts as good to that share and as bad to the rest, which keeps the output in 0..1 and the fit
    convex (a fractional logit; Papke and Wooldridge, 1996). C by out-of-fold Spearman correlation; the
    calibration is fit on out-of-fold margins. Images of one group, such as a perceptual hash, are in one
    fold. ``TooFewExamples``, ``BadRequest`` for ratings outside the range.
    """
    if (
        high <= low
        or not np.isfinite(ratings).all()
        or ratings.min(initial=low) < low
        or ratings.max(initial=high) > high
    ):
        raise BadRequest(f"Ratings must lie in {low:g}..{high:g}: say what the range is, or mend the column.")
    names = _numbered(ids if groups is None else groups)
    if len(ratings) < LEAST or np.ptp(ratings) == 0 or names.max() + 1 < _FOLDS:
        raise TooFewExamples(
            f"There are {len(ratings)} ratings; it takes {LEAST} that are not all equal: rate more images.",
            ratings=len(ratings),
        )
    shares = (ratings - low) / (high - low)
    fold = _deal(names, shares, _FOLDS, seed)
    margins, heads = _fit_shares(x, shares, fold)
    scores = np.empty(len(ratings))
    for one in range(_FOLDS):
        others = fold != one
        own = margins[_best_rank(margins[:, others], shares[others])]
        slope, offset = _soft_platt(own[others], shares[others])
        scores[~others] = sigmoid(slope * own[~others] + offset)
    best = _best_rank(margins, shares)
    slope, offset = _soft_platt(margins[best], shares)
    found = spearman(scores, shares)
    if found <= 0 or slope <= 0:
        raise TooFewExamples(
            f"What {spec.name!r} sees says nothing of these ratings (Spearman {found:.2f} out of "
            "sample): rate more images, or name another vector.",
            spearman=round(found, 4),
        )
    metrics = {
        "spearman": round(found, 4),
        "mean_absolute_error": round(float(np.abs(scores - shares).mean()), 4),
        "mean_absolute_error_of_the_mean": round(float(np.abs(shares.mean() - shares).mean()), 4),
        "histogram": _histogram(scores),
        "ratings_histogram": _histogram(shares),
        "protocol": f"{_FOLDS}-fold, C and calibration chosen within",
        "c": GRID[best],
    }
    weight, bias = heads[best]
    return _head(spec, weight, bias, slope, offset, ids, "ratings", {"ratings": len(ratings)}, metrics)


def quality_from_preferences(
    spec: EncoderSpec,
    ids: Sequence[str],
    x: Embeddings,
    pairs: Sequence[tuple[int, int]],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> TagHead:
    """Train from pairs (better, worse) of rows of ``x`` (n, dim), by logistic regression on the differences
    (Bradley and Terry, 1952).

    Pairs tell differences alone, so the scale is set by the images, all n: a score is about the share of them
    that are worse (the normal distribution function of the margin, nearly), which spreads them over 0..1
    however sure the preferences are. C by the log loss, and the accuracy is measured, on pairs of which the
    head has seen neither image. ``TooFewExamples``.
    """
    rows = np.asarray(pairs, np.intp).reshape(-1, 2)
    if len(rows) < LEAST:
        raise TooFewExamples(
            f"There are {len(rows)} pairs of images that the category has; it takes {LEAST}: compare more.",
            pairs=len(rows),
        )
    names = _numbered(ids if groups is None else groups)
    fold = _deal(names, np.zeros(len(names)), _PAIR_FOLDS, seed)[rows]
    left_out = list(combinations_with_replacement(range(_PAIR_FOLDS), 2))
    used = np.stack([~np.isin(fold, out).any(axis=1) for out in left_out], axis=1)
    model = np.array([left_out.index((min(pair), max(pair))) for pair in fold.tolist()])
    measured: Flags = np.asarray(used.any(axis=0))[
        model
    ]  # where nothing is left to learn from, nothing is measured
    margins, weights = _fit_differences(x[rows[:, 0]] - x[rows[:, 1]], used, model)
    losses = np.logaddexp(0.0, -margins)
    chosen = np.array([_least(losses[:, used[:, one] & measured]) for one in range(len(left_out))])
    own = margins[chosen[model], np.arange(len(rows))][measured]
    accuracy = float(((own > 0) + 0.5 * (own == 0)).mean()) if len(own) else 0.0
    best = _least(losses[:, measured])
    weight = weights[best]
    places = (x @ weight).astype(np.float64)
    if accuracy <= 0.5 or places.std() < 1e-6:
        raise TooFewExamples(
            f"What {spec.name!r} sees says nothing of these preferences (accuracy {accuracy:.2f} on "
            "pairs of new images, 0.5 is chance): compare more images, or name another vector.",
            pair_accuracy=round(accuracy, 4),
        )
    slope = _NORMAL / float(places.std())
    metrics = {
        "pair_accuracy": round(accuracy, 4),
        "pairs_measured": len(own),
        "histogram": _histogram(np.asarray(sigmoid(slope * (places - places.mean())), np.float64)),
        "protocol": f"pairs of two new images, {_PAIR_FOLDS} folds of images, C chosen within",
        "c": GRID[best],
    }
    compared = [ids[row] for row in rows.ravel().tolist()]  # in order: who won is part of what was learnt
    examples = {"pairs": len(rows), "images": len(set(compared))}
    return _head(spec, weight, -float(places.mean()), slope, 0.0, compared, "preferences", examples, metrics)


def spearman(left: Values, right: Values) -> float:
    """Return the correlation of the ranks, equal values sharing theirs; 0 where one side is constant.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 9.0]))
    1.0
    """
    a, b = (_ranks(np.asarray(values, np.float64)) for values in (left, right))
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm else 0.0


def _fit_shares(x: Embeddings, shares: Values, fold: Numbers) -> tuple[Values, list[tuple[Floats, float]]]:
    """Return for each C the margins (c, n) by heads that have not seen their image's fold, and the head on
    all images."""
    used = fold[:, None] != np.arange(_FOLDS + 1)
    both = np.concatenate([x, x])
    targets = np.repeat([True, False], len(x))[:, None].repeat(_FOLDS + 1, axis=1)
    # a smoothed share: with both sides present the optimum is finite
    good = np.clip(shares, 1e-3, 1 - 1e-3)[:, None]
    weights: Floats = np.concatenate([used * good, used * (1 - good)]).astype(np.float32)
    margins, heads = [], []
    start: tuple[Floats, Floats] | None = None
    for c in GRID:
        start = fit_logistic(both, targets, weights, c, start=start, tolerance=_TOLERANCE)
        margins.append(np.einsum("nd,nd->n", x, start[0][fold], dtype=np.float64) + start[1][fold])
        heads.append((start[0][-1].copy(), float(start[1][-1])))
    return np.stack(margins), heads


def _fit_differences(differences: Embeddings, used: Flags, model: Numbers) -> tuple[Values, list[Floats]]:
    """Return for each C the margins (c, pairs), each by its ``model``, and the weight that was fit on all
    pairs."""
    columns = np.flatnonzero(used.any(axis=0))
    place = np.searchsorted(columns, model)
    place[~np.isin(model, columns)] = 0  # not measured
    some = np.concatenate([used[:, columns], np.ones((len(used), 1), bool)], axis=1)
    # each pair both ways round: so the intercept is zero, as it must be
    both = np.concatenate([differences, -differences])
    targets = np.repeat([True, False], len(differences))[:, None].repeat(some.shape[1], axis=1)
    weights: Floats = np.concatenate([some, some]).astype(np.float32) / np.float32(2)
    margins, found = [], []
    start: tuple[Floats, Floats] | None = None
    for c in GRID:
        start = fit_logistic(both, targets, weights, c, start=start, tolerance=_TOLERANCE)
        margins.append(np.einsum("nd,nd->n", differences, start[0][place], dtype=np.float64))
        found.append(start[0][-1].copy())
    return np.stack(margins), found


def _deal(names: Numbers, shares: Values, folds: int, seed: int) -> Numbers:
    """Return (n,) a fold for each image, the same for images of one name; every fold has its part of low and
    high shares."""
    generator = np.random.default_rng(seed)
    count = int(names.max()) + 1
    means = np.bincount(names, shares, count) / np.bincount(names, minlength=count)
    order = np.lexsort((generator.random(count), means))
    of_name = np.empty(count, np.intp)
    for first in range(0, count, folds):
        some = order[first : first + folds]
        of_name[some] = generator.permutation(folds)[: len(some)]
    return of_name[names]


def _numbered(names: Sequence[str]) -> Numbers:
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.intp)


def _best_rank(margins: Values, shares: Values) -> int:
    """Return the C whose margins (c, n) rank best; of equal ones the smallest."""
    return int(np.argmax([round(spearman(row, shares), 4) for row in margins]))


def _least(losses: Values) -> int:
    """Return the C of least mean loss, from (c, pairs); the middle one where there is no pair to choose
    by."""
    return int(np.argmin(losses.mean(axis=1))) if losses.shape[1] else len(GRID) // 2


def _soft_platt(margins: Values, shares: Values) -> tuple[float, float]:
    labels = np.repeat([True, False], len(margins))
    return platt(np.concatenate([margins, margins]), labels, np.concatenate([shares, 1 - shares]))


def _ranks(values: Values) -> Values:
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[which])


def _histogram(scores: Values) -> list[int]:
    """Count scores in ten bins over 0..1."""
    counts: list[int] = np.histogram(scores, 10, (0.0, 1.0))[0].tolist()
    return counts


def _head(
    spec: EncoderSpec,
    weight: Floats,
    bias: float,
    slope: float,
    offset: float,
    ids: Sequence[str],
    kind: str,
    examples: dict[str, int],
    metrics: dict[str, Any],
) -> TagHead:
    digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    return TagHead(
        tag=QUALITY,
        kind=kind,
        using=spec.name,
        encoder_revision=spec.revision,
        weight=weight,
        bias=bias,
        slope=slope,
        offset=offset,
        fingerprint=f"sha256:{digest}",
        examples=examples,
        metrics=metrics,
    )
