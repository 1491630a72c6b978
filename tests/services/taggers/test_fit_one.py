"""One head from a few judged images, on vectors whose classes are known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from vitrine.services.domain import Embeddings, EncoderSpec, Preprocessing
from vitrine.services.errors import TooFewExamples
from vitrine.services.images.open import point_id
from vitrine.services.taggers.fit_one import Examples, background_size, fit_head, head_metrics
from vitrine.services.taggers.ranking_metrics import average_precision, best_threshold, roc_auc

DIM = 12
SPEC = EncoderSpec("toy", "org/toy", "r1", DIM, ("image",), Preprocessing(8, None, (0, 0, 0), (1, 1, 1)))


def cloud(count: int, shift: float, seed: int) -> Embeddings:
    """Unit vectors whose first component tends to ``shift``."""
    rows = np.random.default_rng(seed).standard_normal((count, DIM))
    rows[:, 0] += shift
    unit: Embeddings = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


def examples(rows: Embeddings, first: int = 0) -> Examples:
    return Examples(tuple(point_id(f"{first + number:064x}") for number in range(len(rows))), rows)


def slow_average_precision(values: list[float], labels: list[bool]) -> float:
    """Over each distinct threshold: precision times the recall gained."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(values), reverse=True):
        given = [label for value, label in zip(values, labels, strict=True) if value >= threshold]
        recall = sum(given) / sum(labels)
        total += (recall - before) * sum(given) / len(given)
        before = recall
    return total


def slow_roc_auc(values: list[float], labels: list[bool]) -> float:
    positives = [value for value, label in zip(values, labels, strict=True) if label]
    negatives = [value for value, label in zip(values, labels, strict=True) if not label]
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positives for n in negatives]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize("seed", range(6))
def test_metrics_agree_with_slow_loops_also_on_ties(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = np.round(generator.standard_normal(40), 1 if seed % 2 else 6)
    labels = generator.random(40) < 0.3
    assert average_precision(labels, values) == pytest.approx(
        slow_average_precision(values.tolist(), labels.tolist())
    )
    assert roc_auc(labels, values) == pytest.approx(slow_roc_auc(values.tolist(), labels.tolist()))


def test_the_metrics_of_a_worked_example() -> None:
    found = head_metrics(np.array([2.0, 1.0, -1.0, 0.5, -3.0]), np.array([True, True, True, False, False]))
    assert (found["precision"], found["recall"]) == (0.6667, 0.6667)
    assert (
        head_metrics(np.array([-1.0, -2.0]), np.array([True, False]))["f1"] == 0.0
    )  # nothing is given, nothing is wrong


@pytest.mark.parametrize("seed", range(4))
def test_no_other_boundary_has_a_better_f1(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.random(60) < 0.25
    margins = generator.standard_normal(60) + labels

    def f1(boundary: float) -> float:
        given = margins >= boundary
        return float(2 * (given & labels).sum() / (given.sum() + labels.sum()))

    assert f1(best_threshold(labels, margins, lowest=margins.min())) == pytest.approx(
        max(f1(margin) for margin in margins)
    )
    assert best_threshold(np.array([True]), np.array([1.0]), lowest=1.0) == 1.0


def test_a_head_separates_what_its_examples_separate() -> None:
    head = fit_head(
        "t", SPEC, examples(cloud(40, 4, 1)), examples(cloud(60, -4, 2), 100), examples(cloud(80, -4, 3), 200)
    )
    assert (head.using, head.encoder_revision, head.kind) == ("toy", "r1", "logistic-regression")
    assert head.examples == {"positives": 40, "negatives": 60, "background": 80}
    assert head.metrics["average_precision"] > 0.98 and "5-fold" in head.metrics["protocol"]
    assert head.scores(cloud(50, 4, 8)).mean() > 0.9 > 0.1 > head.scores(cloud(50, -4, 9)).mean()


def test_the_metrics_are_out_of_fold() -> None:
    """Labels that mean nothing are learnt by heart by a head with more weights than examples, and must not
    look learnable."""
    rows = cloud(24, 0, 5)
    head = fit_head("t", SPEC, examples(rows[:12]), examples(rows[12:], 50), Examples.none(DIM))
    assert head.metrics["roc_auc"] < 0.8


def test_two_of_each_will_do_and_one_will_not() -> None:
    two, no = examples(cloud(2, 4, 1)), examples(cloud(2, -4, 2), 10)
    assert fit_head("t", SPEC, two, no, Examples.none(DIM)).scores(two.embeddings).min() > 0.5
    for accepted, rejected in (
        (examples(cloud(1, 4, 1)), no),
        (two, examples(cloud(1, -4, 2))),
        (two, Examples.none(DIM)),
    ):
        with pytest.raises(TooFewExamples) as caught:
            fit_head("t", SPEC, accepted, rejected, examples(cloud(30, -4, 3), 50))
        assert caught.value.details.keys() == {"accepted", "rejected"}


def test_images_that_look_the_same_teach_nothing() -> None:
    same = np.repeat(cloud(1, 0, 1), 4, axis=0)
    with pytest.raises(TooFewExamples, match="look the same"):
        fit_head("t", SPEC, examples(same), examples(same, 10), Examples.none(DIM))


def test_the_fingerprint_is_that_of_the_judgements() -> None:
    yes, no, rest = examples(cloud(5, 4, 1)), examples(cloud(5, -4, 2), 10), examples(cloud(9, -4, 3), 20)
    turned = Examples(yes.ids[::-1], yes.embeddings[::-1])
    first = fit_head("t", SPEC, yes, no, rest).fingerprint
    assert first == fit_head("t", SPEC, turned, no, rest).fingerprint
    assert first != fit_head("t", SPEC, no, yes, rest).fingerprint


def test_the_background_fills_up_what_people_did_not_reject() -> None:
    assert [background_size(5, 2), background_size(5, 30), background_size(10_000, 500)] == [18, 0, 1_500]
