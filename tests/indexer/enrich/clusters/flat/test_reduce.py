from __future__ import annotations

import numpy as np
import pytest

from tests.indexer.enrich.clusters.blobs import blobs, scattered
from tests.indexer.enrich.maps.plain_umap import plain_umap
from vitrine.indexer.enrich.clusters.flat.reduce import principal_axes, reduce
from vitrine.services.errors import BadRequest


def test_principal_axes_equal_those_of_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = scattered(400, dim=10) * np.linspace(3, 0.2, 10, dtype=np.float32)
    mean, axes, kept = principal_axes(x, 4)
    model = decomposition.PCA(4, svd_solver="full").fit(x.astype(np.float64))
    assert mean == pytest.approx(x.mean(axis=0), abs=1e-6)
    assert np.abs((axes * model.components_).sum(axis=1)) == pytest.approx(np.ones(4), abs=1e-4)
    assert kept == pytest.approx(model.explained_variance_ratio_.sum(), abs=1e-5)


def test_pca_gives_unit_rows_in_cosine_geometry() -> None:
    x, truth = blobs()
    found = reduce(x, "pca", 2)
    assert (
        found.x.shape == (90, 2)
        and found.geometry == "cosine"
        and found.explained is not None
        and found.explained > 0.8
    )
    assert np.linalg.norm(found.x, axis=1) == pytest.approx(np.ones(90), abs=1e-5)
    similar = found.x @ found.x.T
    assert similar[truth == 0][:, truth == 0].min() > similar[truth == 0][:, truth == 1].max()


def test_without_a_reduction_nothing_is_copied_and_few_images_give_few_dimensions() -> None:
    x = scattered(5)
    assert reduce(x).x is x
    assert reduce(x, "pca", 64).x.shape == (5, 4)


def test_umap_is_euclidean_and_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_umap(monkeypatch)
    x, truth = blobs((30, 30), spread=0.02)
    found = reduce(x, "umap", 2, seed=3)
    assert found.geometry == "euclidean" and found.x.shape == (60, 2) and found.x.dtype == np.float32
    assert np.array_equal(found.x, reduce(x, "umap", 2, seed=3).x)
    apart = np.linalg.norm(found.x[truth == 0].mean(axis=0) - found.x[truth == 1].mean(axis=0))
    assert apart > 2 * found.x[truth == 0].std()


def test_what_cannot_be_reduced_is_refused() -> None:
    with pytest.raises(BadRequest, match="one of none, pca, umap"):
        reduce(scattered(5), "tsne")  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="two images"):
        reduce(scattered(1), "pca")
