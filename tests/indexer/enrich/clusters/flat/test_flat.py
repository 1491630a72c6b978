from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.indexer.enrich.clusters.blobs import blobs, scattered
from vitrine.indexer.enrich.clusters.agreement import adjusted_rand
from vitrine.indexer.enrich.clusters.flat import methods
from vitrine.indexer.enrich.clusters.flat.flat import NOISE, Fitter, by_size, fit, neighbour_distances
from vitrine.indexer.enrich.clusters.flat.methods import METHODS, Value
from vitrine.services.errors import BadRequest

GOOD: dict[str, dict[str, Value]] = {
    "kmeans": {"clusters": 3},
    "minibatch-kmeans": {"clusters": 3, "max_iter": 20},
    "gaussian-mixture": {"clusters": 3, "covariance": "spherical"},
    "agglomerative": {"clusters": 3, "linkage": "ward"},
    "dbscan": {"eps": 0.1, "min_samples": 4},
    "hdbscan": {"min_cluster_size": 8},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_what_is_plain_and_numbers_by_size(method: str) -> None:
    pytest.importorskip("sklearn")
    x, truth = blobs()
    labels = fit(x, method, GOOD[method], seed=1)
    assert labels.dtype == np.int32 and adjusted_rand(labels, truth) > 0.95
    kept = labels != NOISE
    assert np.array_equal(labels[kept], truth[kept])  # 40, 30, 20
    assert np.array_equal(labels, fit(x, method, GOOD[method], seed=1))


def test_every_method_is_documented() -> None:
    page = (Path(__file__).parents[5] / "docs" / "structure.md").read_text()
    assert f"`--method {' | '.join(METHODS)}`" in " ".join(page.split())


def test_dbscan_goes_by_cosine_distance() -> None:
    pytest.importorskip("sklearn")
    cluster = pytest.importorskip("sklearn.cluster")
    x = scattered(300)
    expected = cluster.DBSCAN(eps=0.15, min_samples=4, metric="cosine").fit_predict(x.astype(np.float64))
    assert adjusted_rand(fit(x, "dbscan", {"eps": 0.15, "min_samples": 4}), expected) == 1
    far = fit(x * 10, "dbscan", {"eps": 0.15, "min_samples": 4}, "euclidean")
    assert (far == NOISE).all()


def test_noise_is_minus_one() -> None:
    pytest.importorskip("sklearn")
    x, truth = blobs((30, 30, 1), dim=40)
    for method in ("dbscan", "hdbscan"):
        labels = fit(x, method, GOOD[method])
        assert labels[truth == 2].tolist() == [NOISE] and set(labels.tolist()) == {0, 1, NOISE}


def test_labels_are_numbered_by_size() -> None:
    assert by_size(np.array([7, 2, 2, -1, 5, 5, 2], np.int32)).tolist() == [2, 0, 0, -1, 1, 1, 0]
    assert by_size(np.array([-1, -1], np.int32)).tolist() == [-1, -1]


def test_neighbour_distances_are_those_to_the_kth() -> None:
    x = scattered(60)
    expected = np.sort(np.sort(1 - x @ x.T, axis=1)[:, 3])
    assert neighbour_distances(x, 4) == pytest.approx(expected, abs=1e-5)
    assert neighbour_distances(x, 4, "euclidean") == pytest.approx(np.sqrt(2 * expected), abs=1e-3)


@pytest.mark.parametrize(
    ("method", "parameters", "why"),
    [
        ("kmeans", {"clusters": 3, "eps": 0.1}, "takes clusters, max_iter, not eps"),
        ("kmeans", {"clusters": 91}, "cannot be put into 91"),
        ("kmeans", {"clusters": "many"}, "is a number"),
        ("dbscan", {"eps": -1}, "greater than 0"),
        ("dbscan", {"eps": float("nan")}, "greater than 0"),
        ("agglomerative", {"clusters": 3, "linkage": "single"}, "one of average, complete, ward"),
        ("gaussian-mixture", {"clusters": 3, "covariance": "round"}, "one of diag"),
        ("spectral", {}, "no method"),
    ],
)
def test_what_cannot_be_fit_is_refused(method: str, parameters: dict[str, Value], why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        fit(blobs()[0], method, parameters)


def test_what_is_missing_is_refused() -> None:
    for method, name in (("kmeans", "clusters"), ("agglomerative", "clusters"), ("dbscan", "eps")):
        with pytest.raises(BadRequest, match=f"needs {name}"):
            fit(blobs()[0], method, {})


def test_methods_that_hold_all_distances_have_a_limit() -> None:
    rows = np.zeros((20_001, 20), np.float32)
    with pytest.raises(BadRequest, match=r"Use the tree or kmeans.*UMAP"):
        Fitter(rows, "hdbscan")
    with pytest.raises(BadRequest, match="up to 20,000"):
        Fitter(rows, "agglomerative")
    Fitter(rows[:, :8], "hdbscan")
    Fitter(rows, "dbscan")


def test_an_eps_that_makes_everything_neighbours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "NEIGHBOURS", 1_000)
    with pytest.raises(BadRequest, match="smaller eps"):
        fit(blobs()[0], "dbscan", {"eps": 1.9})


def test_a_full_covariance_asks_for_fewer_dimensions() -> None:
    with pytest.raises(BadRequest, match="PCA first"):
        fit(scattered(20, dim=300), "gaussian-mixture", {"clusters": 2, "covariance": "full"})
