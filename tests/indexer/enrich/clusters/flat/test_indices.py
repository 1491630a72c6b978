from __future__ import annotations

import numpy as np
import pytest

from tests.indexer.enrich.clusters.blobs import blobs, scattered
from vitrine.indexer.enrich.clusters.flat.indices import Scores, best_of, judge, mean_ranks, silhouette


@pytest.mark.parametrize("geometry", ["cosine", "euclidean"])
@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_those_of_scikit_learn(seed: int, geometry: str) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    x = scattered(300, seed=seed)
    labels = np.random.default_rng(seed).integers(-1, 5, 300).astype(np.int32)
    labels[0] = 6  # alone in its cluster
    found = judge(x, labels, geometry)  # type: ignore[arg-type]
    kept = labels >= 0
    assert found.silhouette == pytest.approx(
        metrics.silhouette_score(x[kept], labels[kept], metric=geometry), abs=1e-5
    )
    assert found.calinski_harabasz == pytest.approx(
        metrics.calinski_harabasz_score(x[kept], labels[kept]), rel=1e-4
    )
    assert found.davies_bouldin == pytest.approx(
        metrics.davies_bouldin_score(x[kept], labels[kept]), rel=1e-4
    )
    assert found.clusters == 6 and found.noise == pytest.approx(1 - kept.mean())


def test_silhouette_of_a_line_by_hand() -> None:
    x = np.array(
        [[0.0], [1.0], [4.0]], np.float32
    )  # (4 - 1) / 4 for the first, (3 - 1) / 3 for the second, alone: 0
    assert silhouette(x, np.array([0, 0, 1]), "euclidean") == pytest.approx((3 / 4 + 2 / 3) / 3)


def test_a_sample_stands_for_all_and_depends_on_the_seed_alone() -> None:
    x, truth = blobs((300, 200, 100))
    labels = truth.astype(np.int32)
    whole, part = judge(x, labels), judge(x, labels, sample=150)
    assert part == judge(x, labels, sample=150)
    assert part.silhouette == pytest.approx(whole.silhouette, abs=0.02)
    assert part.calinski_harabasz == whole.calinski_harabasz


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([0] * 4, "fewer than two"),
        ([-1] * 4, "fewer than two"),
        ([0, 0, -1, -1], "fewer than two"),
        ([0, 1, 2, 3], "one image"),
    ],
)
def test_what_cannot_be_judged_says_so(labels: list[int], why: str) -> None:
    found = judge(scattered(4), np.array(labels, np.int32))
    assert not found.defined and why in found.remark and found.values() == dict.fromkeys(found.values(), None)


def test_a_sample_in_one_cluster_cannot_judge() -> None:
    x, truth = blobs((400, 1))
    found = judge(x, truth.astype(np.int32), sample=20)
    assert found.silhouette is None and found.calinski_harabasz is not None and "sample" in found.remark
    assert judge(x, truth.astype(np.int32)).defined


def test_images_all_alike_are_judged_without_warnings() -> None:
    x = np.repeat(np.eye(2, dtype=np.float32), 5, axis=0)
    found = judge(x, np.repeat([0, 1], 5).astype(np.int32))
    assert found.silhouette == pytest.approx(1) and found.values()["calinski_harabasz"] is None  # infinite


def scores(
    silhouette: float | None, calinski: float, davies: float, clusters: int = 3, noise: float = 0.0
) -> Scores:
    return Scores(silhouette, calinski, davies, clusters, noise)


def test_the_mean_rank_combines_all_three() -> None:
    found = [scores(0.3, 10, 2.0), scores(0.2, 30, 1.0), scores(0.1, 20, 3.0)]
    assert mean_ranks(found) == pytest.approx([2, 4 / 3, 8 / 3])
    assert best_of(found) == 1


def test_equals_share_their_rank_and_fewer_clusters_win() -> None:
    found = [scores(0.3, 10, 2.0, clusters=9), scores(0.3, 10, 2.0, clusters=4)]
    assert mean_ranks(found) == [1.5, 1.5] and best_of(found) == 1


def test_noise_is_ranked_where_there_is_any() -> None:
    easy, whole, middling = scores(0.4, 30, 1.0, noise=0.3), scores(0.35, 29, 1.1), scores(0.2, 10, 2.0)
    assert mean_ranks([easy, whole, middling]) == pytest.approx([(3 + 3) / 4, (6 + 1.5) / 4, (9 + 1.5) / 4])
    kept = scores(0.35, 30, 1.0)
    assert (
        best_of([scores(0.4, 31, 1.1), kept]) == 0 and best_of([scores(0.4, 31, 1.1, noise=0.3), kept]) == 1
    )
    failed = scores(None, 0, 0, noise=1.0)  # nobody has noise who counts
    assert mean_ranks([kept, failed]) == [1, 2]


def test_mostly_noise_ranks_behind_and_the_undefined_last() -> None:
    found = [scores(0.9, 99, 0.1, noise=0.8), scores(0.1, 1, 5.0), scores(None, 0, 0)]
    assert mean_ranks(found) == [2, 1, 3] and best_of(found) == 1 and found[0].remark == "80% noise"
    assert best_of([found[2]]) is None and best_of([found[0]]) == 0 and mean_ranks([]) == []
