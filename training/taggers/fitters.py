"""The kinds of linear heads and how each is fit: from x (n, dim), targets and weights (n, t) and c (t,) to
weights (t, dim), biases (t,)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import Embeddings
from vitrine.services.errors import BadRequest
from vitrine.services.taggers.fit_one import KIND
from vitrine.services.taggers.logistic import TOLERANCE, fit_logistic

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Start = tuple[Floats, Floats] | None
Fitter = Callable[[Embeddings, Bools, Floats, Floats, Start, int, bool], tuple[Floats, Floats]]

DEFAULT = KIND
_ITERATIONS = 2_000
_ROUGH = 1e-3
"""To rank the values of C, an optimum this near is enough."""


def get_fitter(kind: str) -> Fitter:
    """Return the function that fits taggers of this kind. ``BadRequest`` for an unknown kind."""
    if kind not in FITTERS:
        raise BadRequest(f"There is no kind of tagger {kind!r}: use {', '.join(FITTERS)}.", kind=kind)
    return FITTERS[kind]


def fit_all_at_once(
    x: Embeddings, targets: Bools, weights: Floats, c: Floats, start: Start, repeats: int, rough: bool
) -> tuple[Floats, Floats]:
    """Fit all tags together by services/taggers/logistic.py: the same solution as scikit-learn's, faster."""
    return fit_logistic(
        x, targets, weights, c, start=start, repeats=repeats, tolerance=_ROUGH if rough else TOLERANCE
    )


def fit_sklearn_logistic(
    x: Embeddings, targets: Bools, weights: Floats, c: Floats, start: Start, repeats: int, rough: bool
) -> tuple[Floats, Floats]:
    """Fit scikit-learn's LogisticRegression, tag by tag."""
    from sklearn.linear_model import LogisticRegression

    return _each(lambda value: LogisticRegression(C=value, max_iter=_ITERATIONS), x, targets, weights, c)


def fit_linear_svm(
    x: Embeddings, targets: Bools, weights: Floats, c: Floats, start: Start, repeats: int, rough: bool
) -> tuple[Floats, Floats]:
    """Fit scikit-learn's LinearSVC (squared hinge), tag by tag. Its margins are calibrated out of fold,
    like the margins of the other kinds."""
    from sklearn.svm import LinearSVC

    # where there are more examples than dimensions, the dual problem takes many times as long
    dual = len(x) <= x.shape[1]
    # liblinear penalises the intercept: scaled up, it is hardly felt
    return _each(
        lambda value: LinearSVC(
            C=value, dual=dual, intercept_scaling=10.0, max_iter=_ITERATIONS, random_state=0
        ),
        x,
        targets,
        weights,
        c,
    )


FITTERS: dict[str, Fitter] = {
    DEFAULT: fit_all_at_once,
    "sklearn-logistic-regression": fit_sklearn_logistic,
    "linear-svm": fit_linear_svm,
}


def _each(
    make: Callable[[float], object], x: Embeddings, targets: Bools, weights: Floats, c: Floats
) -> tuple[Floats, Floats]:
    found = np.empty((targets.shape[1], x.shape[1]), np.float32)
    biases = np.empty(targets.shape[1], np.float32)
    for tag in range(targets.shape[1]):
        used = weights[:, tag] > 0
        rows = x if used.all() else x[used]
        model = make(float(c[tag]))
        model.fit(rows, targets[used, tag], sample_weight=weights[used, tag])  # type: ignore[attr-defined]
        found[tag], biases[tag] = model.coef_[0], model.intercept_[0]  # type: ignore[attr-defined]
    return found, biases
