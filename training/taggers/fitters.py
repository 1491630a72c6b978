"""Fit the linear heads of many tags, by each of the kinds of TrainOptions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import Embeddings
from vitrine.services.extras import from_extra
from vitrine.services.taggers.fit_one import KIND
from vitrine.services.taggers.logistic import TOLERANCE, fit_logistic

Floats = NDArray[np.float32]
_ITERATIONS = 2_000
_ROUGH = 1e-3
"""To rank the values of C, an optimum this near is enough."""


def fit_heads(
    kind: str,
    x: Embeddings,
    targets: NDArray[np.bool_],
    weights: Floats,
    c: Floats,
    *,
    start: tuple[Floats, Floats] | None = None,
    repeats: int = 1,
    rough: bool = False,
) -> tuple[Floats, Floats]:
    """Return weights (t, dim) and biases (t,) from x (n, dim), targets and weights (n, t) and c (t,).

    logistic-regression fits all tags together (``start`` and ``repeats`` as of `fit_logistic`): the same
    solution as scikit-learn's, faster. The other kinds are scikit-learn's, tag by tag.
    """
    if kind == KIND:
        tolerance = _ROUGH if rough else TOLERANCE
        return fit_logistic(x, targets, weights, c, start=start, repeats=repeats, tolerance=tolerance)
    found = np.empty((targets.shape[1], x.shape[1]), np.float32)
    biases = np.empty(targets.shape[1], np.float32)
    for tag, strength in enumerate(c.tolist()):
        used = weights[:, tag] > 0
        rows = x if used.all() else x[used]
        # in the dual form a support vector machine takes many times as long on more examples than dimensions
        model = _model(kind, strength, dual=len(x) <= x.shape[1])
        model.fit(rows, targets[used, tag], sample_weight=weights[used, tag])
        found[tag], biases[tag] = model.coef_[0], model.intercept_[0]
    return found, biases


def _model(kind: str, c: float, *, dual: bool) -> Any:
    with from_extra("train"):
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC

    if kind == "linear-svm":
        # liblinear penalises the intercept: scaled up, it is hardly felt
        return LinearSVC(C=c, dual=dual, intercept_scaling=10.0, max_iter=_ITERATIONS, random_state=0)
    return LogisticRegression(C=c, max_iter=_ITERATIONS)
