from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.indexer.enrich.maps.plain_umap import plain_umap
from tests.indexer.enrich.scores.heads import id_of, unit_rows
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.indexer.enrich.clusters.flat.reduce import Covariance
from vitrine.indexer.enrich.maps.coordinates import Places
from vitrine.indexer.enrich.maps.layout import among, lay_out, neighbours_kept, unit_square
from vitrine.indexer.enrich.maps.options import MapOptions
from vitrine.services.domain import Embeddings, Point
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime

DIM = 64


def fill(runtime: Runtime, rows: Embeddings) -> None:
    runtime.vectors.upsert(CATEGORY, [Point(id_of(n), {"colour": row}, {}) for n, row in enumerate(rows)])


def lay(runtime: Runtime, options: MapOptions) -> dict[str, tuple[float, float]]:
    cat = runtime.catalog.get(CATEGORY)
    told: list[int] = []
    made = lay_out(runtime.vectors, cat, cat.encoder(), options, lambda done, of: told.append(done))
    assert told == sorted(told)
    return {id: (x, y) for id, (x, y) in zip(made.ids, made.places.tolist(), strict=True)}


def blobs(each: int, seed: int = 0) -> Embeddings:
    """Three groups of rows, far apart."""
    rows = np.repeat(np.eye(3, DIM), each, axis=0) + 0.05 * np.random.default_rng(seed).normal(
        size=(3 * each, DIM)
    )
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def plain_pca(x: Embeddings) -> np.ndarray:
    """By the singular value decomposition of the centred rows, of all at once."""
    centred = x.astype(float) - x.astype(float).mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = np.array([axis if axis[np.abs(axis).argmax()] > 0 else -axis for axis in axes[:2]])
    return centred @ axes.T


def test_pca_is_what_a_singular_value_decomposition_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitrine.services.category.read_all.BATCH", 17)
    runtime, rows = make_runtime(tmp_path), unit_rows(100, DIM) * 1
    rows[:, :2] *= 4  # two directions that stand out
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    fill(runtime, rows)
    made = lay(runtime, MapOptions("pca"))
    places = np.array([made[id_of(n)] for n in range(100)])
    expected = plain_pca(rows)
    low, high = expected.min(axis=0), expected.max(axis=0)
    np.testing.assert_allclose(places, (expected - (low + high) / 2) / (high - low).max() + 0.5, atol=1e-4)
    assert places.min() == pytest.approx(0, abs=1e-6) and places.max() == pytest.approx(1, abs=1e-6)


def test_a_covariance_in_parts_is_that_of_all(tmp_path: Path) -> None:
    rows = unit_rows(50, 8) + 3
    whole, parts = Covariance(8), Covariance(8)
    whole.add(rows)
    for start in range(0, 50, 7):
        parts.add(rows[start : start + 7])
    for one, other in zip(whole.axes(3), parts.axes(3), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    values = np.linalg.eigvalsh(np.cov(rows.T.astype(float)))[::-1]
    assert whole.axes(3)[2] == pytest.approx(values[:3].sum() / values.sum(), abs=1e-5)
    with pytest.raises(ValueError, match="no rows"):
        Covariance(8).axes(1)


def test_umap_keeps_groups_apart_and_the_rest_joins_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_umap(monkeypatch)
    runtime = make_runtime(tmp_path)
    fill(runtime, blobs(40))
    made = lay(runtime, MapOptions("umap", neighbours=10, sample=90))  # 30 images are not fitted
    assert len(made) == 120
    places = np.array([made[id_of(n)] for n in range(120)])
    groups = [places[start : start + 40] for start in (0, 40, 80)]
    spread = max(np.linalg.norm(group - group.mean(axis=0), axis=1).max() for group in groups)
    apart = min(
        np.linalg.norm(a.mean(axis=0) - b.mean(axis=0))
        for a, b in zip(groups, groups[1:] + groups[:1], strict=True)
    )
    assert apart > 2 * spread
    assert lay(runtime, MapOptions("umap", neighbours=10, sample=90)) == made  # the seed decides


def test_the_square_keeps_proportions() -> None:
    places = np.array([[0, 0], [4, 1], [2, 0.5]], np.float32)
    assert unit_square(places).tolist() == [[0, 0.375], [1, 0.625], [0.5, 0.5]]
    assert unit_square(np.ones((3, 2), np.float32)).tolist() == [[0.5, 0.5]] * 3


def test_an_image_goes_to_the_larger_part_of_its_nearest() -> None:
    near = np.array([[[0, 0], [0.1, 0], [0, 0.1], [0.9, 0.9], [1, 1]]], np.float32)
    assert among(near).tolist() == [[pytest.approx(0.1), pytest.approx(0.1)]]


def test_neighbours_kept_against_plain_loops() -> None:
    rows, places = unit_rows(40, 8), np.random.default_rng(0).random((40, 2)).astype(np.float32)

    def kept(at: int) -> float:
        others = [other for other in range(40) if other != at]
        by_row = sorted(others, key=lambda other: -float(rows[at] @ rows[other]))[:15]
        by_place = sorted(others, key=lambda other: float(((places[at] - places[other]) ** 2).sum()))[:15]
        return len({*by_row} & {*by_place}) / 15

    assert neighbours_kept(rows, places) == pytest.approx(np.mean([kept(at) for at in range(40)]), abs=1e-3)
    flat: Places = plain_pca(np.concatenate([rows[:, :2] * 1, np.zeros((40, 2), np.float32)], axis=1)).astype(
        np.float32
    )
    assert 0 <= neighbours_kept(rows, flat) <= 1


def test_what_cannot_be_laid_out(tmp_path: Path) -> None:
    runtime = make_runtime(tmp_path)
    for options in (MapOptions("pca"), MapOptions("umap")):
        with pytest.raises(BadRequest, match="index"):
            lay(runtime, options)
    fill(runtime, unit_rows(2, DIM))
    with pytest.raises(BadRequest, match="2 images"):
        lay(runtime, MapOptions("pca"))
    wrong: list[dict[str, Any]] = [
        {"method": "tsne"},
        {"neighbours": 1},
        {"min_dist": 2},
        {"metric": "x"},
        {"sample": 1},
    ]
    for given in wrong:
        with pytest.raises(BadRequest, match=f"The option {next(iter(given))} must be"):
            MapOptions(**given)
    assert MapOptions("pca").parameters == {}
