from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrine.indexer.enrich.clusters.tree.kmeans import KMeans, assign, kmeans, seeds
from vitrine.services.domain import Embeddings
from vitrine.services.errors import BadRequest


def blobs(groups: int, each: int, dim: int = 8, noise: float = 0.05, seed: int = 0) -> Embeddings:
    """Unit rows around ``groups`` directions, ``each`` of them in turn."""
    draw = np.random.default_rng(seed)
    rows = np.tile(draw.normal(size=(groups, dim)), (each, 1)) + noise * draw.normal(
        size=(groups * each, dim)
    )
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def slow_inertia(x: Embeddings, found: KMeans) -> float:
    return sum(
        float(((row.astype(np.float64) - found.centres[label]) ** 2).sum())
        for row, label in zip(x, found.labels, strict=True)
    )


def slow_nearest(row: Embeddings, centres: Embeddings) -> int:
    return min(range(len(centres)), key=lambda at: float(((row.astype(np.float64) - centres[at]) ** 2).sum()))


def test_groups_that_lie_apart_are_found() -> None:
    x = blobs(5, 40)
    found = kmeans(x, 5, seed=3)
    assert len({tuple(found.labels[group::5]) for group in range(5)}) == 5
    assert all(len(set(found.labels[group::5])) == 1 for group in range(5))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 60), k=st.integers(1, 60), seed=st.integers(0, 99), distinct=st.integers(1, 60))
def test_labels_inertia_and_centres_agree_whatever_the_rows(n: int, k: int, seed: int, distinct: int) -> None:
    x = blobs(min(distinct, n), -(-n // min(distinct, n)), noise=0.0, seed=seed)[:n]  # many rows alike
    if k > n:
        with pytest.raises(BadRequest, match="1 to"):
            kmeans(x, k, seed=seed)
        return
    found = kmeans(x, k, seed=seed)
    assert 1 <= len(found.centres) <= min(k, distinct)
    assert set(found.labels.tolist()) == set(range(len(found.centres)))  # none is empty
    assert found.inertia == pytest.approx(slow_inertia(x, found), abs=1e-4)
    again = kmeans(x, k, seed=seed)
    assert (again.labels == found.labels).all() and (again.centres == found.centres).all()


def test_each_row_is_labelled_with_its_nearest_centre() -> None:
    x = blobs(9, 20, noise=0.6)
    found = kmeans(x, 7)
    assert found.labels.tolist() == [slow_nearest(row, found.centres) for row in x]
    assert assign(x, found.centres)[0].tolist() == found.labels.tolist()


def test_it_gets_as_low_as_a_plain_lloyd_from_many_starts() -> None:
    x = blobs(12, 60, dim=16, noise=0.3)
    best = min(slow_lloyd(x, 12, seed) for seed in range(8))
    assert kmeans(x, 12).inertia <= 1.02 * best


def test_it_ends_where_another_iteration_would_gain_next_to_nothing() -> None:
    x = blobs(40, 30, dim=32, noise=0.5)
    found = kmeans(x, 16)
    means = np.stack([x[found.labels == at].mean(axis=0) for at in range(16)])
    further = sum(float(((row - means[slow_nearest(row, means)]) ** 2).sum()) for row in x)
    assert found.iterations > 1 and further >= 0.998 * found.inertia


def slow_lloyd(x: Embeddings, k: int, seed: int) -> float:
    centres = x[np.random.default_rng(seed).choice(len(x), k, replace=False)].astype(np.float64)
    for _ in range(40):
        distances = ((x[:, None] - centres[None]) ** 2).sum(axis=2)
        nearest = distances.argmin(axis=1)
        centres = np.stack(
            [x[nearest == at].mean(axis=0) if (nearest == at).any() else centres[at] for at in range(k)]
        )
    return float(distances.min(axis=1).sum())


def test_rows_that_are_all_alike_are_one_cluster() -> None:
    x = np.repeat(blobs(1, 1), 300, axis=0)
    found = kmeans(x, 16)
    assert len(found.centres) == 1 and found.inertia == pytest.approx(0, abs=1e-3) and found.iterations <= 2


def test_a_sample_settles_first_and_the_rest_follows() -> None:
    x = blobs(4, 3_000, noise=0.4)
    sampled, whole = kmeans(x, 4, sample=64), kmeans(x, 4, sample=len(x))
    assert sampled.inertia == pytest.approx(whole.inertia, rel=0.01)


def test_seeds_are_different_rows() -> None:
    x = np.repeat(blobs(3, 1), 10, axis=0)
    found = seeds(x, 9, np.random.default_rng(0))
    assert len(found) == 3 and len(np.unique(found, axis=0)) == 3


@pytest.mark.parametrize("k", [0, -1, 4])
def test_a_number_of_clusters_that_cannot_be(k: int) -> None:
    with pytest.raises(BadRequest):
        kmeans(blobs(3, 1), k)
