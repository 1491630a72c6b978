from __future__ import annotations

import doctest
from itertools import combinations

import numpy as np
import pytest

import vitrine.indexer.enrich.clusters.agreement
from vitrine.indexer.enrich.clusters.agreement import (
    adjusted_rand,
    agreement,
    normalised_mutual_information,
    purity,
    stability,
)


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(vitrine.indexer.enrich.clusters.agreement).failed == 0


@pytest.mark.parametrize("seed", range(8))
def test_figures_equal_those_of_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, 1 + seed, 200)
    clusters = np.where(generator.random(200) < 0.6, classes, generator.integers(-1, 7, 200))
    assert adjusted_rand(clusters, classes) == pytest.approx(
        metrics.adjusted_rand_score(classes, clusters), abs=1e-12
    )
    expected = metrics.normalized_mutual_info_score(classes, clusters)
    assert normalised_mutual_information(clusters, classes) == pytest.approx(expected, abs=1e-9)
    table = metrics.cluster.contingency_matrix(classes, clusters)
    assert purity(clusters, classes) == pytest.approx(table.max(axis=0).sum() / 200)


def test_adjusted_rand_counts_pairs() -> None:
    generator = np.random.default_rng(3)
    one, other = generator.integers(0, 4, 30), generator.integers(0, 3, 30)
    pairs = list(combinations(range(30), 2))
    both = sum(one[a] == one[b] and other[a] == other[b] for a, b in pairs)
    first, second = sum(one[a] == one[b] for a, b in pairs), sum(other[a] == other[b] for a, b in pairs)
    expected = first * second / len(pairs)
    assert adjusted_rand(one, other) == pytest.approx((both - expected) / ((first + second) / 2 - expected))


def test_names_of_groups_do_not_matter_and_all_in_one_is_agreement() -> None:
    found = agreement([2, 2, 5, 5, -1], ["hat", "hat", "shoe", "shoe", "odd"])
    assert (found.ari, found.purity) == (1.0, 1.0) and found.nmi == pytest.approx(1)
    assert agreement([0, 0, 0], ["a", "a", "a"]) == agreement(["x"] * 3, [7] * 3)
    assert agreement([0, 0, 0], ["a", "a", "a"]).ari == 1


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="same images"):
        adjusted_rand([0, 1], [0])


def test_stability_is_over_all_pairs_of_runs() -> None:
    runs = {1: [0, 0, 1, 1], 2: [1, 1, 0, 0], 3: [0, 1, 0, 1]}
    found = stability(runs.__getitem__, [2, 3], first=runs[1])
    assert found.runs == 3 and found.least == pytest.approx(-0.5) and found.mean == pytest.approx(0)
    with pytest.raises(ValueError, match="two runs"):
        stability(runs.__getitem__, [1])
