from __future__ import annotations

import doctest

import numpy as np
import pytest

import vitrine.services.encoders.retrieval_metrics
from vitrine.services.domain import Embeddings
from vitrine.services.encoders.retrieval_metrics import (
    METRICS,
    Values,
    bootstrap_difference,
    bootstrap_interval,
    clustering_nmi,
    nearest,
    ranking_metrics,
    retrieval_metrics,
)


def on_circle(*degrees: float) -> Embeddings:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def random_unit(count: int, dim: int, seed: int) -> Embeddings:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def slow_order(query: Embeddings, gallery: Embeddings, skip: int | None) -> list[int]:
    """Nearest first, of equally similar ones the first in the gallery first."""
    similarities = {at: float(query @ row) for at, row in enumerate(gallery) if at != skip}
    return sorted(similarities, key=lambda at: (-similarities[at], at))


def slow_metrics(
    queries: Embeddings, classes: list[str], gallery: Embeddings | None, others: list[str]
) -> dict[str, list[float]]:
    """One query and one rank at a time."""
    found: dict[str, list[float]] = {name: [] for name in METRICS}
    for row, query in enumerate(queries):
        order = slow_order(query, queries if gallery is None else gallery, row if gallery is None else None)
        right = [others[at] == classes[row] for at in order]
        relevant = sum(right)
        for name, k in (("precision_at_1", 1), ("recall_at_5", 5), ("recall_at_10", 10)):
            found[name].append(float(any(right[:k])))
        found["precision_at_10"].append(sum(right[:10]) / len(right[:10]))
        found["r_precision"].append(sum(right[:relevant]) / relevant if relevant else float("nan"))
        precisions = [sum(right[:rank]) / rank if right[rank - 1] else 0.0 for rank in range(1, relevant + 1)]
        found["map_at_r"].append(sum(precisions) / relevant if relevant else float("nan"))
    return found


def test_examples_of_the_docstrings_hold() -> None:
    assert doctest.testmod(vitrine.services.encoders.retrieval_metrics).failed == 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("with_gallery", [True, False])
@pytest.mark.parametrize("block", [1 << 30, 900])
def test_every_metric_is_that_of_a_slow_loop(
    seed: int, with_gallery: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        vitrine.services.encoders.retrieval_metrics, "BLOCK_BYTES", block
    )  # small: several blocks of queries
    random = np.random.default_rng(seed)
    queries = random_unit(31, 6, seed)
    classes = random.choice(["a", "b", "c", "only here"], 31, p=[0.4, 0.4, 0.17, 0.03]).tolist()
    gallery = random_unit(23, 6, seed + 100) if with_gallery else None
    others = random.choice(["a", "b", "c"], 23).tolist() if with_gallery else classes
    found = retrieval_metrics(queries, classes, gallery, others if with_gallery else None, nmi=False)
    for name, values in slow_metrics(queries, classes, gallery, others).items():
        np.testing.assert_allclose(found.per_query[name], values, atol=1e-12, err_msg=name)
        assert getattr(found, name) == pytest.approx(np.nanmean(values))


def test_the_nearest_of_a_query_are_its_neighbours_on_the_circle() -> None:
    order, similarities = nearest(on_circle(0, 90), on_circle(100, 10, 349, 180), 3)
    assert order.tolist() == [[1, 2, 0], [0, 1, 3]]
    np.testing.assert_allclose(similarities[0], np.cos(np.radians([10, 11, 100])), atol=1e-6)


def test_of_equally_similar_images_the_first_is_nearer() -> None:
    # similarities that floats hold exactly, zeros of both signs among them
    gallery = np.array([[0, 1], [1, 0], [-0.0, -1], [1, 0], [-1, 0], [1, 0]], np.float32)
    query = np.array([[1, 0]], np.float32)
    assert nearest(query, gallery, 6)[0].tolist() == [[1, 3, 5, 0, 2, 4]]
    assert nearest(query, gallery, 2)[0].tolist() == [[1, 3]]


def test_a_query_is_left_out_by_its_position_so_that_its_copy_counts() -> None:
    points = on_circle(0, 0, 5, 90)
    assert nearest(points, k=9)[0].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [2, 0, 1]]
    found = retrieval_metrics(points, ["a", "a", "b", "b"], nmi=False)
    assert found.per_query["precision_at_1"].tolist() == [1, 1, 0, 1]


def test_a_class_without_another_member_is_a_miss_and_has_no_r_precision() -> None:
    found = retrieval_metrics(on_circle(0, 1, 90), ["a", "a", "alone"], nmi=False)
    assert found.per_query["recall_at_10"].tolist() == [1, 1, 0]
    assert np.isnan(found.per_query["map_at_r"]).tolist() == [False, False, True]
    assert (found.recall_at_10, found.map_at_r, found.r_precision) == (pytest.approx(2 / 3), 1.0, 1.0)


def test_no_class_with_another_member_has_no_r_precision_at_all() -> None:
    found = retrieval_metrics(on_circle(0, 90), ["a", "b"], nmi=False)
    assert found.precision_at_1 == 0 and np.isnan(found.map_at_r)


def test_a_query_alone_finds_nothing() -> None:
    found = retrieval_metrics(on_circle(0), ["a"], nmi=False)
    assert (found.precision_at_1, found.precision_at_10) == (0, 0)


def test_precision_in_a_small_gallery_is_of_what_there_is() -> None:
    found = ranking_metrics(np.array([[True, False, True, True]]), np.array([3]))
    assert found["precision_at_10"].tolist() == [0.75]


def test_classes_may_be_numbers_and_differ_on_both_sides() -> None:
    found = retrieval_metrics(
        on_circle(0, 90), np.array([7, 9]), on_circle(1, 91), np.array([7, 8]), nmi=False
    )
    assert found.per_query["precision_at_1"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("classes", "gallery", "others"),
    [
        (["a"], None, None),
        (["a", "b"], on_circle(1), None),
        (["a", "b"], None, ["a"]),
        (["a", "b"], on_circle(1), ["a", "b"]),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    classes: list[str], gallery: Embeddings | None, others: list[str] | None
) -> None:
    with pytest.raises(ValueError):
        retrieval_metrics(on_circle(0, 90), classes, gallery, others)


def test_clusters_that_are_the_classes_have_nmi_one_and_others_less() -> None:
    pytest.importorskip("sklearn")
    points = np.concatenate(
        [on_circle(*range(0, 10)), on_circle(*range(120, 130)), on_circle(*range(240, 250))]
    )
    assert clustering_nmi(points, ["a"] * 10 + ["b"] * 10 + ["c"] * 10) == pytest.approx(1)
    mixed = clustering_nmi(points, ["a", "b", "c"] * 10)
    assert mixed is not None and mixed < 0.2
    assert clustering_nmi(points, ["a"] * 30) is None


def test_nmi_is_that_of_its_definition() -> None:
    pytest.importorskip("sklearn")
    points, classes = on_circle(0, 1, 2, 180, 181, 182), np.array([0, 0, 1, 1, 1, 1])
    clusters = np.array([0, 0, 0, 1, 1, 1])

    def entropy(labels: list[tuple[int, ...]]) -> float:
        shares = np.unique(labels, axis=0, return_counts=True)[1] / len(labels)
        return float(-(shares * np.log(shares)).sum())

    one, other = entropy([(c,) for c in classes]), entropy([(c,) for c in clusters])
    shared = one + other - entropy(list(zip(classes, clusters, strict=True)))
    assert clustering_nmi(points, classes) == pytest.approx(shared / ((one + other) / 2))


def test_the_interval_is_the_same_for_a_seed_and_near_the_normal_one() -> None:
    values = np.random.default_rng(3).random(400)
    found = bootstrap_interval(values, 7)
    assert found == bootstrap_interval(values, 7) != bootstrap_interval(values, 8)
    error = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == (
        pytest.approx(values.mean() - error, abs=0.004),
        pytest.approx(values.mean() + error, abs=0.004),
    )
    narrower = bootstrap_interval(values, 7, 0.5)
    assert found.low < narrower.low < narrower.high < found.high


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    intervals = [bootstrap_interval(random.random(60) < 0.7, seed, resamples=400) for seed in range(200)]
    held = np.mean([found.low <= 0.7 <= found.high for found in intervals])
    assert 0.88 <= held <= 0.99


def test_values_that_do_not_count_change_no_interval() -> None:
    values = np.array([0.0, 1.0, 1.0])
    assert bootstrap_interval(np.array([0.0, np.nan, 1.0, 1.0, np.nan])) == bootstrap_interval(values)
    assert np.isnan(bootstrap_interval(np.array([np.nan])).value)


def test_resampling_in_pieces_is_resampling_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(50)
    whole = bootstrap_interval(values)
    monkeypatch.setattr(vitrine.services.encoders.retrieval_metrics, "BLOCK_BYTES", 50 * 16 * 64)
    assert bootstrap_interval(values) == whole


def test_pairing_sees_a_small_gain_on_the_same_queries() -> None:
    hard: Values = np.random.default_rng(0).random(100)
    gain = bootstrap_difference(hard + 0.01, hard)
    assert (gain.value, gain.low, gain.high) == (
        pytest.approx(0.01),
        pytest.approx(0.01),
        pytest.approx(0.01),
    )
    with pytest.raises(ValueError, match="pair"):
        bootstrap_difference(hard, hard[:3])
