from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vitrine.services.errors import BadRequest, TooFewExamples
from vitrine.services.taggers.logistic import balanced_weights, fit_logistic, platt


def problem(n: int, dim: int, tags: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Unit vectors around a common direction, as embeddings are, and noisy linear tags of 3 to 30 %."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((n, dim)) * np.arange(1, dim + 1) ** -0.5 + 0.3
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    margins = x @ generator.standard_normal((dim, tags))
    margins = margins / margins.std(axis=0) + 0.7 * generator.standard_normal((n, tags))
    shares = np.geomspace(0.03, 0.3, tags)
    return x.astype(np.float32), np.stack(
        [m > np.quantile(m, 1 - s) for m, s in zip(margins.T, shares, strict=True)], axis=1
    )


def objective(
    w: NDArray[np.float64],
    b: float,
    x: NDArray[np.float64],
    y: NDArray[np.bool_],
    s: NDArray[np.float64],
    c: float,
) -> float:
    """Slow and plain."""
    total = 0.5 * float(w @ w)
    for row, label, weight in zip(x, y, s, strict=True):
        margin = float(row @ w) + b
        total += c * weight * float(np.logaddexp(0.0, -margin if label else margin))
    return total


@pytest.mark.parametrize("c", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("n", [150, 1_500])
def test_the_optimum_is_scikit_learns(c: float, n: int) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, targets = problem(n, 48, 3)
    weights = balanced_weights(targets)
    w, b = fit_logistic(x, targets, weights, c)
    for tag in range(3):
        labels, sample = targets[:, tag], weights[:, tag].astype(np.float64)
        theirs = linear_model.LogisticRegression(C=c, tol=1e-10, max_iter=5_000)
        theirs.fit(x.astype(np.float64), labels, sample_weight=sample)
        best = objective(
            theirs.coef_[0], float(theirs.intercept_[0]), x.astype(np.float64), labels, sample, c
        )
        found = objective(w[tag].astype(np.float64), float(b[tag]), x.astype(np.float64), labels, sample, c)
        assert found <= best * (1 + 1e-4)
        ours = 1 / (1 + np.exp(-(x @ w[tag] + b[tag])))
        np.testing.assert_allclose(ours, theirs.predict_proba(x)[:, 1], atol=1e-3)


def test_weight_zero_takes_an_example_out_of_one_tag() -> None:
    x, targets = problem(400, 16, 2)
    weights = np.ones(targets.shape, np.float32)
    weights[:200, 1] = 0
    w, b = fit_logistic(x, targets, weights)
    alone, bias = fit_logistic(x[200:], targets[200:, 1:])
    np.testing.assert_allclose(x @ w[1] + b[1], x @ alone[0] + bias[0], atol=0.02)


def test_tags_do_not_touch_each_other_and_repeats_only_share_work() -> None:
    x, targets = problem(3_000, 24, 4)
    c = np.array([0.1, 1, 10, 1], np.float32)
    w, b = fit_logistic(x, targets, None, c)
    for tag in range(4):
        alone, bias = fit_logistic(x, targets[:, [tag]], None, float(c[tag]))
        np.testing.assert_allclose(x @ w[tag] + b[tag], x @ alone[0] + bias[0], atol=0.03)
    twice, biases = fit_logistic(x, np.tile(targets, (1, 2)), None, np.tile(c, 2), repeats=2)
    np.testing.assert_allclose(x @ twice[4:].T + biases[4:], x @ w.T + b, atol=0.03)


def test_a_start_near_the_optimum_leads_to_the_same() -> None:
    x, targets = problem(1_000, 24, 2)
    near = fit_logistic(x, targets, None, 3.0)
    warm, _ = fit_logistic(x, targets, None, 1.0, start=near)
    cold, _ = fit_logistic(x, targets, None, 1.0)
    np.testing.assert_allclose(warm, cold, atol=5e-3)


def test_separable_examples_end_with_finite_weights() -> None:
    x = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], np.float32)
    w, b = fit_logistic(x, np.array([[True], [True], [False], [False]]), None, 1e4)
    assert np.isfinite(w).all() and np.isfinite(b).all()
    assert ((x @ w[0] + b[0] > 0) == [True, True, False, False]).all()


def test_equal_embeddings_give_the_share_of_positives() -> None:
    x = np.ones((10, 3), np.float32)
    w, b = fit_logistic(x, np.arange(10)[:, None] < 3)
    assert 1 / (1 + np.exp(-(x[0] @ w[0] + b[0]))) == pytest.approx(0.3, abs=1e-3)


def test_one_sided_tags_and_wrong_shapes_are_told() -> None:
    x, targets = problem(50, 4, 1)
    with pytest.raises(TooFewExamples):
        fit_logistic(x, np.ones((50, 1), bool))
    with pytest.raises(TooFewExamples):
        fit_logistic(x, targets, np.where(targets, 0, 1).astype(np.float32))
    with pytest.raises(BadRequest, match="50, tags"):
        fit_logistic(x, targets[:40])
    with pytest.raises(BadRequest, match="positive"):
        fit_logistic(x, targets, None, 0.0)
    with pytest.raises(BadRequest, match="times"):
        fit_logistic(x, np.tile(targets, (1, 3)), repeats=2)


def test_platt_recovers_the_sigmoid_that_labels_were_drawn_from() -> None:
    generator = np.random.default_rng(1)
    margins = generator.normal(0, 3, 40_000)
    labels = generator.random(40_000) < 1 / (1 + np.exp(-(1.7 * margins - 0.8)))
    slope, offset = platt(margins, labels)
    assert slope == pytest.approx(1.7, abs=0.06) and offset == pytest.approx(-0.8, abs=0.06)
    scaled, moved = platt(margins * 1e-3, labels)
    assert scaled == pytest.approx(slope * 1e3, rel=1e-4) and moved == pytest.approx(offset, abs=1e-4)


def test_platt_weights_count_an_example_more_than_once_and_separable_margins_stay_finite() -> None:
    margins, labels = np.array([-1.0, 0.2, 0.1, 2.0]), np.array([False, False, True, True])
    twice = platt(np.repeat(margins, [1, 3, 1, 1]), np.repeat(labels, [1, 3, 1, 1]))
    assert platt(margins, labels, np.array([1.0, 3.0, 1.0, 1.0])) == pytest.approx(twice, rel=1e-6)
    slope, offset = platt(np.array([-1.0, -2.0, 1.0, 2.0]), labels)
    assert 0 < slope < 10 and abs(offset) < 1
    with pytest.raises(TooFewExamples):
        platt(margins, np.ones(4, bool))
