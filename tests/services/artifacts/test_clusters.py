from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.indexer.enrich.scores.heads import id_of, unit_rows
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.services.artifacts.clusters import (
    ClusterRun,
    ClusterStore,
    Node,
    assign_leaves,
    membership,
    path_of,
)
from vitrine.services.category.filters import Conditions, conditions_from_pairs
from vitrine.services.domain import Embeddings, Point
from vitrine.services.errors import BadRequest, NotFound, UnknownField
from vitrine.services.object_store.keys import CLUSTERS
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime
from vitrine.services.search.cluster_nodes import children

CHILDREN = {
    "root": ("root-0", "root-1"),
    "root-0": ("root-0-0", "root-0-1"),
    "root-1": (),
    "root-0-0": (),
    "root-0-1": (),
}


def make_run(name: str = "look", seed: int = 0, dim: int = 64, key: str = "") -> ClusterRun:
    nodes = {
        id: Node(
            id,
            id.rpartition("-")[0] or None,
            id.count("-"),
            4,
            id_of(1),
            (id_of(1), id_of(2)),
            -1.0,
            f"name {id}",
            below,
        )
        for id, below in CHILDREN.items()
    }
    return ClusterRun(
        name,
        "tree",
        "colour",
        "r1",
        nodes,
        unit_rows(5, dim, seed),
        12,
        seed,
        {"branching": 2},
        {"a": 0.5},
        key=key,
    )


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return make_runtime(tmp_path)


def test_a_run_comes_back_as_it_was_saved(objects: LocalObjectStore) -> None:
    saved = ClusterStore(objects).save("shop", make_run())
    ClusterStore(objects).put_in_service("shop", saved.key)
    found = ClusterStore(objects).get("shop", "look")
    assert found.key == "look-1" and found.created_at and found.payload_field == "clusters.look-1.path"
    assert dict(found.nodes) == dict(saved.nodes) and list(found.nodes) == list(saved.nodes)
    assert (found.centres == make_run().centres).all()
    assert (found.method, found.using, found.parameters, found.metrics) == (
        "tree",
        "colour",
        {"branching": 2},
        {"a": 0.5},
    )
    assert [node.id for node in found.leaves] == ["root-1", "root-0-0", "root-0-1"] and found.depth == 2


def test_nothing_is_seen_before_it_is_put_in_service(objects: LocalObjectStore) -> None:
    store = ClusterStore(objects)
    saved = store.save("shop", make_run())
    assert store.in_service("shop") == [] and store.leftovers("shop", "look") == ["look-1"]
    with pytest.raises(NotFound, match="it has: none"):
        store.get("shop", "look")
    store.put_in_service("shop", saved.key)
    assert [run.key for run in store.in_service("shop")] == ["look-1"] and store.leftovers(
        "shop", "look"
    ) == []
    with pytest.raises(NotFound, match="again"):
        store.put_in_service("shop", "look-7")


def test_the_next_run_of_a_name_has_another_key_and_numbers_come_free_again(
    objects: LocalObjectStore,
) -> None:
    store, other = ClusterStore(objects), ClusterStore(objects)
    for number, (key, former) in enumerate([("look-1", None), ("look-2", "look-1"), ("look-1", "look-2")]):
        saved = store.save("shop", make_run(seed=number))
        assert saved.key == key
        store.put_in_service("shop", key)
        assert store.leftovers("shop", "look") == ([former] if former else [])
        if former:
            store.remove("shop", former)
        other._known.forget_all("_clusters/")  # a second later
        assert other.get("shop", "look").seed == store.get("shop", "look").seed == number


def test_names_that_look_like_keys_keep_apart(objects: LocalObjectStore) -> None:
    store = ClusterStore(objects)
    for name in ("look", "look-1", "look-1-1"):
        store.put_in_service("shop", store.save("shop", make_run(name)).key)
    assert [run.key for run in store.in_service("shop")] == ["look-1", "look-1-1", "look-1-1-1"]
    store.save("shop", make_run("look-1"))
    assert (store.leftovers("shop", "look"), store.leftovers("shop", "look-1")) == ([], ["look-1-2"])


@pytest.mark.parametrize("name", ["", "a.b", 'a"b', "-a", "a b", "x" * 64, "../x"])
def test_names_that_cannot_be(objects: LocalObjectStore, name: str) -> None:
    with pytest.raises(BadRequest, match="cannot name"):
        ClusterStore(objects).save("shop", make_run(name))


def test_deleting_a_run_and_a_category_leaves_no_files(runtime: Runtime) -> None:
    for name in ("look", "mood"):
        runtime.clusters.put_in_service(CATEGORY, runtime.clusters.save(CATEGORY, make_run(name)).key)
    runtime.clusters.withdraw(CATEGORY, "look")
    runtime.clusters.remove(CATEGORY, "look-1")
    assert [run.run for run in runtime.clusters.in_service(CATEGORY)] == ["mood"]
    assert not any("look" in stat.key for stat in runtime.objects.list(CLUSTERS))
    with pytest.raises(NotFound):
        runtime.clusters.withdraw(CATEGORY, "look")
    runtime.catalog.delete(CATEGORY)
    assert list(runtime.objects.list(CLUSTERS)) == []


def test_rows_go_down_to_the_nearest_mean_at_each_node() -> None:
    run = make_run(dim=8)
    centre = dict(
        zip(run.nodes, run.centres * np.array([[1.0], [0.5], [0.9], [1.2], [0.3]], np.float32), strict=True)
    )
    x = unit_rows(50, 8, 3)
    found = assign_leaves(run.nodes, np.stack(list(centre.values())), x)
    for row, leaf in zip(x, found, strict=True):
        id = "root"
        while CHILDREN[id]:
            id = min(CHILDREN[id], key=lambda child: float(((row - centre[child]) ** 2).sum()))
        assert leaf == id
    assert set(found) == {"root-1", "root-0-0", "root-0-1"}
    empty: Embeddings = x[:0]
    assert assign_leaves(run.nodes, run.centres, empty) == []


def test_paths_and_the_payload() -> None:
    assert path_of("root-14-3") == ("root", "root-14", "root-14-3") and path_of("root-noise") == (
        "root",
        "root-noise",
    )
    assert membership(path_of("root-noise")) == {"id": "noise", "path": ["root", "root-noise"]}
    assert membership(("root",)) == {"id": "root", "path": ["root"]}


def look(runtime, node, group_by=()):
    return children(runtime.searcher, runtime.clusters, CATEGORY, "look", node, group_by)


def fill(runtime: Runtime) -> ClusterRun:
    """Twelve images, of which 6, 4 and 2 are in the leaves, under a key in service; and half of them under
    another."""
    run = runtime.clusters.save(CATEGORY, make_run())
    kinds = {
        "clusters.look-1.path": "keyword",
        "clusters.look-2.path": "keyword",
        "metadata.season": "keyword",
    }
    runtime.catalog.ensure_indexes(CATEGORY, kinds)  # type: ignore[arg-type]
    leaves = ["root-0-0"] * 6 + ["root-0-1"] * 4 + ["root-1"] * 2
    points = [
        Point(
            id_of(n),
            {"colour": row},
            {
                "clusters": {"look-1": membership(path_of(leaf))}
                | ({"look-2": membership(("root",))} if n % 2 else {}),
                "metadata": {"season": "winter" if n % 3 else "summer"},
                "caption": "x",
            },
        )
        for n, (row, leaf) in enumerate(zip(unit_rows(12, 64), leaves, strict=True))
    ]
    runtime.vectors.upsert(CATEGORY, points)
    runtime.clusters.put_in_service(CATEGORY, run.key)
    return run


def test_conditions_name_the_run_and_reach_the_key_in_service(runtime: Runtime) -> None:
    fill(runtime)
    counts = {
        node: runtime.searcher.count(CATEGORY, conditions_from_pairs([("cluster.look", node)]))
        for node in CHILDREN
    }
    assert counts == {"root": 12, "root-0": 10, "root-1": 2, "root-0-0": 6, "root-0-1": 4}
    listed = runtime.searcher.listing(CATEGORY, Conditions(clusters={"look": "root-1"})).hits
    assert {hit.id for hit in listed} == {id_of(10), id_of(11)}
    for clusters in ({"mood": "root"}, {"look": "root-9"}, {"look-2": "root"}, {"look-1": "root"}):
        with pytest.raises(NotFound):
            runtime.searcher.count(CATEGORY, Conditions(clusters=clusters))


def test_children_with_their_counts_as_they_are_now_and_groupings(runtime: Runtime) -> None:
    fill(runtime)
    runtime.vectors.delete(CATEGORY, [id_of(0)])
    found = look(runtime, "root-0", ("metadata.season",))
    assert (found.view.count, [view.count for view in found.children]) == (9, [5, 4])
    assert [node.id for node in found.above] == ["root"]
    season = [
        {facet.value: facet.count for facet in view.groupings["metadata.season"]} for view in found.children
    ]
    assert season == [{"winter": 4, "summer": 1}, {"winter": 2, "summer": 2}]
    leaf = look(runtime, "root-1")
    assert leaf.children == () and leaf.view.count == 2 and leaf.view.groupings == {}
    with pytest.raises(UnknownField):
        look(runtime, "root", ("caption",))
    with pytest.raises(NotFound, match="begin at root"):
        look(runtime, "root-5")
    with pytest.raises(BadRequest, match="too many"):
        children(
            runtime.searcher,
            runtime.clusters,
            CATEGORY,
            "look",
            "root",
            [f"metadata.m{n}" for n in range(11)],
        )


def test_counts_are_right_where_descendants_are_more_than_one_answer_holds(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(runtime)
    monkeypatch.setattr("vitrine.services.search.cluster_nodes.MAX_LIMIT", 2)
    assert [view.count for view in look(runtime, "root").children] == [10, 2]


def test_a_changed_run_is_another_object(objects: LocalObjectStore) -> None:
    """What a caller holds does not change under it."""
    store = ClusterStore(objects)
    store.put_in_service("shop", store.save("shop", make_run()).key)
    held = store.get("shop", "look")
    store.put_in_service("shop", store.save("shop", replace(make_run(), seed=5)).key)
    assert (held.seed, store.get("shop", "look").seed) == (0, 5)
