from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.indexer.enrich.clusters.blobs import blobs, scattered
from vitrine.indexer.enrich.clusters.agreement import adjusted_rand
from vitrine.indexer.enrich.clusters.flat.methods import LINKAGES, Linkage
from vitrine.indexer.enrich.clusters.tree import dendrogram
from vitrine.indexer.enrich.clusters.tree.dendrogram import Merges, merge
from vitrine.indexer.export.clusters.plots import draw_dendrogram, write_json
from vitrine.services.errors import BadRequest


@pytest.mark.parametrize("geometry", ["cosine", "euclidean"])
@pytest.mark.parametrize("linkage", LINKAGES)
def test_merges_equal_those_of_scipy(linkage: Linkage, geometry: str) -> None:
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    x = scattered(150)
    found = merge(x, linkage, geometry)  # type: ignore[arg-type]
    expected = hierarchy.linkage(
        x.astype(np.float64), linkage, "euclidean" if linkage == "ward" else geometry
    )
    assert found.distances == pytest.approx(expected[:, 2], abs=2e-6)
    assert found.counts.tolist() == expected[:, 3].astype(int).tolist()
    for clusters in (1, 2, 7, 40, 150):
        assert adjusted_rand(found.into(clusters), hierarchy.fcluster(expected, clusters, "maxclust")) == 1
    height = float(expected[-12:-10, 2].mean())
    assert adjusted_rand(found.at(height), hierarchy.fcluster(expected, height, "distance")) == 1


def test_copies_merge_at_no_distance_and_every_image_is_merged_once() -> None:
    x = np.repeat(scattered(6), 5, axis=0)
    for linkage in LINKAGES:
        found = merge(x, linkage)
        assert found.distances[:24] == pytest.approx(np.zeros(24), abs=1e-3)
        assert sorted(found.children.ravel().tolist()) == list(range(58))
        assert adjusted_rand(found.into(6), np.repeat(np.arange(6), 5)) == 1


def test_ends_of_the_cuts_and_the_tops() -> None:
    x, truth = blobs()
    found = merge(x)
    assert found.into(1).tolist() == [0] * 90 and found.into(90).tolist() == list(range(90))
    assert found.at(-1.0).max() == 89 and found.at(9.0).max() == 0
    assert adjusted_rand(found.into(3), truth) == 1 and [found.count(top) for top in found.tops(3)] == [
        40,
        30,
        20,
    ]
    for clusters in (0, 91):
        with pytest.raises(BadRequest, match="1 to 90"):
            found.into(clusters)


def test_too_many_images_are_refused_before_any_memory_is_taken() -> None:
    x = np.zeros((dendrogram.LIMIT + 1, 2), np.float32)
    with pytest.raises(BadRequest, match="use the tree or kmeans"):
        merge(x)
    with pytest.raises(BadRequest, match="two images"):
        merge(x[:1])
    with pytest.raises(BadRequest, match="average, complete, ward"):
        merge(scattered(4), "single")  # type: ignore[arg-type]


def test_progress_and_stop() -> None:
    told: list[tuple[int, int]] = []
    merge(scattered(600), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (599, 599) and told[0][0] < 599
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedError):
        merge(scattered(10), stop=stop)


def chain(images: int) -> Merges:
    """One image more at each merge."""
    left = np.concatenate([[0], np.arange(images, 2 * images - 2)])
    children = np.stack([left, np.arange(1, images)], axis=1)
    return Merges(children, np.arange(1, images, dtype=np.float32), np.arange(2, images + 1))


def flat_walk(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node["children"] for below in flat_walk(child))]


def test_json_is_nested_and_holds_every_image() -> None:
    x, _ = blobs((5, 4))
    found = merge(x)
    out = io.StringIO()
    write_json(found, [f"picture {row}" for row in range(9)], out)
    nodes = flat_walk(json.loads(out.getvalue()))
    assert sorted(node["name"] for node in nodes if not node["children"]) == [
        f"picture {row}" for row in range(9)
    ]
    assert nodes[0]["count"] == 9 and nodes[0]["distance"] == pytest.approx(
        float(found.distances[-1]), abs=1e-5
    )
    assert all(node["distance"] >= child["distance"] for node in nodes for child in node["children"])
    out = io.StringIO()
    write_json(found, [], out, clusters=2)
    top = json.loads(out.getvalue())
    assert [child["count"] for child in top["children"]] in ([5, 4], [4, 5]) and not top["children"][0][
        "children"
    ]


def test_a_chain_deeper_than_any_recursion_is_written_and_cut() -> None:
    out = io.StringIO()
    write_json(chain(20_000), [str(row) for row in range(20_000)], out)
    text = out.getvalue()
    assert text.count('"children": [') == 39_999 and text.count("]}") == 39_999
    assert sorted(np.bincount(chain(20_000).into(3))) == [1, 1, 19_998]


def test_the_top_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    x, _ = blobs((5, 4))
    found = draw_dendrogram(merge(x), tmp_path / "dendrogram.png", names=[str(row) for row in range(9)])
    assert found.read_bytes().startswith(b"\x89PNG")
    draw_dendrogram(chain(3_000), tmp_path / "chain.png", top=8)
