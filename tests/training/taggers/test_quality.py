from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import vitrine.training.taggers.quality
from vitrine.services.domain import Embeddings, EncoderSpec, Preprocessing
from vitrine.services.errors import BadRequest, TooFewExamples
from vitrine.training.taggers.quality import (
    quality_from_preferences,
    quality_from_ratings,
    spearman,
)
from vitrine.training.taggers.ratings import read_preferences

DIM = 16
SPEC = EncoderSpec("look", "look", "r1", DIM, ("image",), Preprocessing(8, None, (0, 0, 0), (1, 1, 1)))


def images(count: int, seed: int = 0) -> tuple[list[str], Embeddings, NDArray[np.float64]]:
    """Ids, unit vectors, and how good each is: about normal, seen in the vector."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((count, DIM))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    direction = np.random.default_rng(99).standard_normal(DIM)
    return [f"id-{number}" for number in range(count)], x.astype(np.float32), x @ direction


def slow_spearman(left: list[float], right: list[float]) -> float:
    def rank(values: list[float], one: float) -> float:
        return sum(other < one for other in values) + (sum(other == one for other in values) + 1) / 2

    a, b = ([rank(values, one) for one in values] for values in (left, right))
    return float(np.corrcoef(a, b)[0, 1])


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(vitrine.training.taggers.quality).failed == 0


def test_spearman_against_a_slow_one() -> None:
    generator = np.random.default_rng(5)
    for _ in range(5):
        left, right = generator.integers(0, 6, 30).astype(float), generator.integers(0, 6, 30).astype(float)
        assert spearman(left, right) == pytest.approx(slow_spearman(left.tolist(), right.tolist()))
    assert spearman(np.ones(4), np.arange(4.0)) == 0.0


@pytest.mark.parametrize(("low", "high"), [(1.0, 10.0), (0.0, 1.0), (-3.0, 3.0)])
def test_ratings_give_a_head_that_ranks_and_meets_new_images(low: float, high: float) -> None:
    ids, x, good = images(600)
    chance = 1 / (1 + np.exp(-1.5 * good))
    ratings = low + (high - low) * np.clip(chance + np.random.default_rng(1).normal(0, 0.1, 600), 0, 1)
    head = quality_from_ratings(SPEC, ids[:400], x[:400], ratings[:400], low=low, high=high)
    new = head.scores(x[400:])
    assert head.payload_field == "quality" and head.examples == {"ratings": 400}
    measured = spearman(new.astype(float), ratings[400:])
    assert measured > 0.85 and head.metrics["spearman"] == pytest.approx(measured, abs=0.05)
    assert np.abs(new - chance[400:]).mean() < 0.06  # on the ratings' own scale
    assert head.metrics["mean_absolute_error"] < 0.6 * head.metrics["mean_absolute_error_of_the_mean"]
    assert sum(head.metrics["histogram"]) == sum(head.metrics["ratings_histogram"]) == 400
    again = quality_from_ratings(SPEC, ids[:400], x[:400], ratings[:400], low=low, high=high)
    assert np.array_equal(again.weight, head.weight) and again.metrics == head.metrics


def test_copies_of_an_image_do_not_flatter() -> None:
    ids, x, _ = images(60)
    ratings = np.random.default_rng(2).uniform(1, 10, 60)  # nothing to learn but the images by heart
    many = np.repeat(np.arange(60), 5)
    copied = quality_from_ratings(SPEC, [f"{row}" for row in range(300)], x[many], ratings[many])
    assert copied.metrics["spearman"] > 0.25
    groups = [ids[row] for row in many]
    try:
        grouped = quality_from_ratings(
            SPEC, [f"{row}" for row in range(300)], x[many], ratings[many], groups=groups
        )
    except TooFewExamples:
        return
    assert grouped.metrics["spearman"] < 0.2


def test_ratings_that_cannot_be_learnt_from() -> None:
    ids, x, good = images(100)
    with pytest.raises(TooFewExamples, match="it takes 20"):
        quality_from_ratings(SPEC, ids[:19], x[:19], np.arange(19) / 2 + 1.0)
    with pytest.raises(TooFewExamples, match="not all equal"):
        quality_from_ratings(SPEC, ids, x, np.full(100, 5.0))
    with pytest.raises(TooFewExamples):
        quality_from_ratings(SPEC, [], x[:0], np.empty(0))
    with pytest.raises(TooFewExamples, match="says nothing"):
        quality_from_ratings(SPEC, ids, np.tile(x[:1], (100, 1)), np.tile(np.arange(1.0, 11.0), 10))
    for ratings in (good * 100, good * np.nan):
        with pytest.raises(BadRequest, match=r"1\.\.10"):
            quality_from_ratings(SPEC, ids, x, ratings)


def compare(good: NDArray[np.float64], count: int, seed: int) -> list[tuple[int, int]]:
    """Pairs by Bradley's and Terry's own model."""
    generator = np.random.default_rng(seed)
    left, right = generator.integers(0, len(good), (2, count))
    wins = generator.random(count) < 1 / (1 + np.exp(-6 * (good[left] - good[right])))
    pairs = zip(np.where(wins, left, right).tolist(), np.where(wins, right, left).tolist(), strict=True)
    return [(better, worse) for better, worse in pairs if better != worse]


def test_preferences_give_a_head_that_ranks_and_spreads() -> None:
    ids, x, good = images(500)
    head = quality_from_preferences(SPEC, ids, x, compare(good[:300], 800, 3))
    new = head.scores(x[300:])
    assert spearman(new.astype(float), good[300:]) > 0.9
    fresh = compare(good[300:], 2000, 4)
    right = np.mean([new[better] > new[worse] for better, worse in fresh])
    assert head.metrics["pair_accuracy"] == pytest.approx(right, abs=0.04)
    # a score is about the share of images that are worse
    shares = (np.argsort(np.argsort(good)) + 0.5) / 500
    assert np.abs(head.scores(x) - shares).mean() < 0.07
    assert min(head.metrics["histogram"]) > 10 and sum(head.metrics["histogram"]) == 500
    assert head.examples["pairs"] > 750 and head.metrics["pairs_measured"] == head.examples["pairs"]


def test_preferences_are_antisymmetric() -> None:
    ids, x, good = images(200)
    pairs = compare(good, 400, 5)
    head = quality_from_preferences(SPEC, ids, x, pairs)
    turned = quality_from_preferences(SPEC, ids, x, [(worse, better) for better, worse in pairs])
    np.testing.assert_allclose(head.scores(x), 1 - turned.scores(x), atol=1e-3)


def test_preferences_that_cannot_be_learnt_from() -> None:
    ids, x, good = images(100)
    with pytest.raises(TooFewExamples, match="it takes 20"):
        quality_from_preferences(SPEC, ids, x, compare(good, 15, 6))
    pairs = compare(good, 200, 7)
    with pytest.raises(TooFewExamples, match="says nothing"):
        quality_from_preferences(SPEC, ids, x, [*pairs, *((worse, better) for better, worse in pairs)])
    with pytest.raises(TooFewExamples, match="says nothing"):
        quality_from_preferences(
            SPEC, ids, x, [(0, 1)] * 30
        )  # one pair: no head can be judged without having seen it


def test_a_file_of_preferences(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(
        "\ufeffbetter,worse,who\na,two.jpg,x\ntwo.jpg,c,y\na,a,z\na,nowhere,z\nb,two.jpg,z\nc\n",
        encoding="utf-8",
    )
    assert read_preferences(path, ["a", "b", "c"], {"two.jpg": "b"}) == ([(0, 1), (1, 2)], 4)
    path.write_text("left,right\na,b\n")
    for wrong in (path, tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadRequest):
            read_preferences(wrong, ["a", "b"], {})
