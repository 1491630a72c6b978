from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.tree.kmeans import kmeans
from vitrine.indexer.enrich.clusters.tree.tree import Tree, build_tree, flat_tree
from vitrine.services.artifacts.clusters import path_of
from vitrine.services.domain import Embeddings
from vitrine.services.errors import BadRequest


def rows(count: int, dim: int = 12, seed: int = 0, distinct: int | None = None) -> Embeddings:
    draw = np.random.default_rng(seed).normal(size=(distinct or count, dim))
    draw = np.tile(draw, (-(-count // len(draw)), 1))[:count]
    return (draw / np.linalg.norm(draw, axis=1, keepdims=True)).astype(np.float32)


def members(tree: Tree) -> dict[str, list[int]]:
    """Rows of every node, from the rows' leaves."""
    found: dict[str, list[int]] = {id: [] for id in tree.nodes}
    for row in range(len(tree.leaves)):
        for id in path_of(tree.leaf(row).id):
            found[id].append(row)
    return found


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 150),
    distinct=st.integers(1, 150),
    branching=st.integers(2, 9),
    leaf_size=st.integers(1, 40),
    depth=st.integers(1, 4),
    seed=st.integers(0, 20),
)
def test_a_tree_holds_every_row_once(
    count: int, distinct: int, branching: int, leaf_size: int, depth: int, seed: int
) -> None:
    x = rows(count, seed=seed, distinct=min(distinct, count))
    before, options = x.copy(), TreeOptions(branching, leaf_size, depth, seed)
    tree = build_tree(x, options)
    assert (x == before).all()
    inside = members(tree)
    for id, node in tree.nodes.items():
        assert node.count == len(inside[id]) > 0
        assert node.depth == id.count("-") <= depth and (node.parent or "") == id.rpartition("-")[0]
        assert node.children == tuple(f"{id}-{number}" for number in range(len(node.children)))
        sizes = [tree.nodes[child].count for child in node.children]
        assert sizes == sorted(sizes, reverse=True) and len(sizes) <= options.children(node.count, node.depth)
        alike = len(np.unique(x[inside[id]].round(5), axis=0)) == 1
        assert sizes or node.count <= leaf_size or node.depth == depth or alike
        assert not sizes or sum(sizes) == node.count
    assert tree.assign(x) == [
        tree.leaf(row).id for row in range(count)
    ]  # those it was made of come back to their own leaf
    again = build_tree(x, options)
    assert list(again.nodes) == list(tree.nodes) and (again.leaves == tree.leaves).all()


def test_the_radius_is_that_of_the_members_though_k_means_ended_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "vitrine.indexer.enrich.clusters.tree.tree.kmeans",
        lambda x, k, seed: kmeans(x, k, seed=seed, iterations=1),
    )
    x = rows(300, seed=4)
    tree = build_tree(x, TreeOptions(4, 20, 3))
    apart = 0.0
    for id, own in members(tree).items():
        mean = x[own].mean(axis=0)
        assert tree.nodes[id].radius == pytest.approx(
            float((x[own] @ mean).min() / np.linalg.norm(mean)), abs=1e-6
        )
        apart = max(apart, float(np.linalg.norm(tree.nodes[id].centre - mean)))
    assert apart > 0.01  # the centres are not yet the means


def test_radius_medoid_and_representatives_against_slow_loops() -> None:
    x = rows(300, seed=4)
    tree = build_tree(x, TreeOptions(4, 20, 3))
    inside = members(tree)
    for id, node in tree.nodes.items():
        own = x[inside[id]].astype(np.float64)
        mean = own.mean(axis=0)
        assert node.radius == pytest.approx(
            min(float(row @ mean) for row in own) / float(np.linalg.norm(mean)), abs=1e-6
        )
        totals = {at: sum(float(x[at].astype(np.float64) @ row) for row in own) for at in inside[id]}
        assert totals[node.medoid] == pytest.approx(max(totals.values()), abs=1e-3)
        chosen = list(node.representatives)
        assert chosen[0] == node.medoid and len(set(chosen)) == len(chosen) and set(chosen) <= set(inside[id])
        assert all(
            sum(totals[other] > totals[at] + 1e-3 for other in totals) <= len(own) // 2 for at in chosen
        )
        pool = sorted(totals, key=lambda at: -totals[at])[: len(own) // 2 + 1]
        for number, at in enumerate(chosen[1:], 1):  # each is the one least like those before
            likeness = {row: max(float(x[row] @ x[one]) for one in chosen[:number]) for row in pool}
            assert likeness[at] == pytest.approx(min(likeness.values()), abs=1e-4)


def test_new_rows_go_down_by_the_distance_to_the_means() -> None:
    tree, new = build_tree(rows(400), TreeOptions(5, 15, 4)), rows(60, seed=9)
    for row, leaf in zip(new, tree.assign(new), strict=True):
        id = "root"
        while tree.nodes[id].children:
            far = {
                c: float(((row.astype(np.float64) - tree.nodes[c].centre) ** 2).sum())
                for c in tree.nodes[id].children
            }
            id = min(far, key=lambda child: far[child])
        assert leaf == id


def test_leaves_are_about_the_leaf_size_and_no_crumbs() -> None:
    tree = build_tree(rows(4_000, dim=32), TreeOptions(16, 50))
    sizes = sorted(tree.nodes[id].count for id in tree.leaf_ids)
    assert sizes[-1] <= 50 and sizes[len(sizes) // 2] >= 15


def test_the_number_of_children_follows_the_leaf_size() -> None:
    options = TreeOptions(16, 50, 3)
    assert [options.children(count, 0) for count in (50, 51, 100, 101, 799, 800, 5_000)] == [
        0,
        2,
        2,
        3,
        16,
        16,
        16,
    ]
    assert options.children(5_000, 3) == 0


def test_what_is_all_alike_is_one_leaf() -> None:
    tree = build_tree(rows(500, distinct=1), TreeOptions(16, 10))
    assert list(tree.nodes) == ["root"] and tree.nodes["root"].radius == pytest.approx(1)
    assert len(tree.nodes["root"].representatives) <= 6
    pair = build_tree(rows(500, distinct=2), TreeOptions(16, 10))
    assert list(pair.nodes) == ["root", "root-0", "root-1"]


def test_memory_stays_below_half_of_the_matrix_even_where_one_child_has_almost_all() -> None:
    x = rows(20_000, dim=64, seed=2)
    x[:18_000, 0] += 30
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    build_tree(x[:500].copy(), TreeOptions())
    tracemalloc.start()
    build_tree(x, TreeOptions(depth=4))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * x.nbytes


def test_an_end_in_the_middle_leaves_the_rows_in_their_order() -> None:
    x = rows(400)
    before = x.copy()

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_tree(x, TreeOptions(4, 20), progress=stop)
    assert (x == before).all()


def test_progress_ends_at_all_rows() -> None:
    told: list[tuple[int, int]] = []
    build_tree(rows(300), TreeOptions(4, 20), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (300, 300) and [done for done, _ in told] == sorted(done for done, _ in told)


def test_flat_labels_as_a_tree_of_one_level() -> None:
    x = rows(40) * 0.2 + np.repeat(np.eye(4, 12, dtype=np.float32), [10, 20, 4, 6], axis=0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    labels = np.array([5] * 10 + [2] * 20 + [-1] * 4 + [0] * 6, np.int32)
    tree = flat_tree(x, labels)
    assert {id: node.count for id, node in tree.nodes.items()} == {
        "root": 40, "root-0": 20, "root-1": 10, "root-2": 6, "root-noise": 4,
    }  # fmt: skip
    assert Counter(tree.leaf(row).id for row in range(40)) == {
        "root-0": 20,
        "root-1": 10,
        "root-2": 6,
        "root-noise": 4,
    }
    assert np.allclose(tree.nodes["root-1"].centre, x[:10].mean(axis=0), atol=1e-6)
    far = np.eye(12, dtype=np.float32)[11:]
    assert tree.assign(np.concatenate([x[10:30], far])) == ["root-0"] * 20 + ["root-noise"]
    assert list(flat_tree(x, np.full(40, -1, np.int32)).nodes) == ["root", "root-noise"]


@pytest.mark.parametrize("wrong", [{"branching": 1}, {"branching": 257}, {"leaf_size": 0}, {"depth": 0}])
def test_options_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(BadRequest, match=f"The option {next(iter(wrong))} must be at"):
        TreeOptions(**wrong)
    with pytest.raises(BadRequest):
        build_tree(rows(3)[:0], TreeOptions())
