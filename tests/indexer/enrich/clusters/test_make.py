"""Runs by their options, and clusterings that are tried without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.indexer.enrich.scores.heads import fill
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.indexer.enrich.clusters.compare import compare, make_dendrogram
from vitrine.indexer.enrich.clusters.flat.grid import grid_table
from vitrine.indexer.enrich.clusters.make import make_run
from vitrine.indexer.enrich.clusters.options import ClusterOptions, CompareOptions, DendrogramOptions
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime

IMAGES = 60


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    made = make_runtime(tmp_path)
    fill(made, IMAGES, {n: {"class": "even" if n % 2 == 0 else "odd"} for n in range(IMAGES)})
    return made


def test_the_tree_and_the_best_of_a_grid_become_runs(runtime: Runtime) -> None:
    tree = make_run(runtime, CATEGORY, "tree", ClusterOptions(branching=3, leaf_size=10, stability=1))
    assert tree.method == "tree" and tree.parameters == {"branching": 3, "leaf_size": 10, "depth": 8}
    assert len(tree.metrics["stability"]["seeds"]) == 2
    flat = make_run(runtime, CATEGORY, "flat", ClusterOptions(method="kmeans", clusters=(2, 4), choose=2))
    assert (flat.leaves, flat.metrics["grid"]["best"], flat.metrics["grid"]["chosen_by"]) == (4, 2, "hand")
    assert [row[3] for row in grid_table(flat.metrics["grid"])] == ["clusters=2", "clusters=4"]
    assert {run.run for run in runtime.clusters.in_service(CATEGORY)} == {"tree", "flat"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"method": "magic"}, "no method"),
        ({"clusters": (3,)}, "does not take clusters"),
        ({"reduce": "pca"}, "does not take reduce"),
        ({"leaf_size": 0}, "leaf_size must be at least 1"),
    ],
)
def test_options_that_contradict_each_other(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        ClusterOptions(**wrong)


def test_methods_are_compared_and_images_merged_without_a_run(runtime: Runtime) -> None:
    options = CompareOptions(method=("kmeans", "agglomerative"), clusters=(2, 3), linkage=("ward",))
    found = compare(runtime, CATEGORY, options, against="class")
    assert (found.images, found.of, len(found.grid["rows"])) == (IMAGES, IMAGES, 4)
    assert all({"nmi", "ari", "purity"} <= row.keys() for row in found.to_json()["rows"])
    with pytest.raises(BadRequest, match="eps means nothing to kmeans"):
        compare(runtime, CATEGORY, CompareOptions(method=("kmeans",), eps=(0.1,)))
    cut = make_dendrogram(runtime, CATEGORY, DendrogramOptions(clusters=3, names="class"))
    assert sum(cut.sizes or []) == IMAGES and len(cut.sizes or []) == 3 and set(cut.names) == {"even", "odd"}
    with pytest.raises(BadRequest, match="not both"):
        DendrogramOptions(clusters=3, distance=0.5)
    assert runtime.clusters.in_service(CATEGORY) == []
