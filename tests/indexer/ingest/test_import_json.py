"""Folders of JSON files and trees of clusters of older systems, imported into a category."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.indexer.pictures import CATEGORY, payloads, picture, write
from vitrine.indexer.enrich.clusters.runs import cluster
from vitrine.indexer.ingest.import_json import (
    ClusteredPictures,
    GivenClusters,
    NamedPictures,
    clusters_of,
    json_files,
)
from vitrine.indexer.ingest.importers import VectorDump
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.job.report import IndexReport
from vitrine.services.artifacts.clusters import NOISE
from vitrine.services.errors import BadSource
from vitrine.services.images.open import pixel_hash
from vitrine.services.runtime import Runtime


def put(folder: Path, files: dict[str, Any]) -> Path:
    return write(folder, {name: json.dumps(value).encode() for name, value in files.items()})


def imported(runtime: Runtime, folder: Path, tree: Any) -> IndexReport:
    """Index what a tree names, and make its clusters the run ``old``."""
    put(folder, {"tree.json": tree})
    given = clusters_of([folder / "tree.json"])
    assert given is not None
    source = ClusteredPictures("tree.json", given, NamedPictures(folder / "images"), 1 << 20)
    report = index_images(source, runtime, CATEGORY)
    cluster(runtime, CATEGORY, "old", source.fit)
    return report


def nodes(runtime: Runtime) -> dict[str, str]:
    """The leaf of each image by file name."""
    run = runtime.clusters.get(CATEGORY, "old")
    hits = runtime.vectors.scroll(CATEGORY, limit=100).hits
    return {str(hit.payload["filename"]): hit.payload["clusters"][run.key]["path"][-1] for hit in hits}


def test_a_tree_of_clusters_becomes_a_run(tmp_path: Path, runtime: Runtime) -> None:
    write(tmp_path / "images", {f"{n}.png": picture(n) for n in range(6)} | {"sub/6.png": picture(6)})
    tree = {
        "radius": 1.5,
        "children": [
            {"name": "few", "images": ["5.png"]},
            {
                "name": "many",
                "children": [
                    {"images": [{"path": "C:\\old\\0.png"}, "1.png"]},
                    {"paths": ["/srv/old/2.png"]},
                ],
                "images": ["3.png"],
            },
            {"label": "lost", "files": ["nowhere.png"]},
        ],
    }
    report = imported(runtime, tmp_path, tree)
    assert (report.added, report.refused) == (5, 1) and report.refusals[0][:2] == (
        "nowhere.png",
        "image_missing",
    )
    run = runtime.clusters.get(CATEGORY, "old")
    assert {
        id: (node.count, node.name, node.named_by) for id, node in run.nodes.items() if node.depth == 1
    } == {
        "root-0": (4, "many", "file"),
        "root-1": (1, "few", "file"),
    }
    leaves = nodes(runtime)
    assert leaves["0.png"] == leaves["1.png"] == "root-0-0"
    assert {leaves["2.png"], leaves["3.png"]} == {
        "root-0-1",
        "root-0-2",
    }  # images beside children are a child too
    assert leaves["5.png"] == "root-1" and run.method == "imported"


def test_images_of_the_category_in_no_cluster_are_noise(tmp_path: Path, runtime: Runtime) -> None:
    write(tmp_path / "images", {f"{n}.png": picture(n) for n in range(3)})
    index_images(
        ClusteredPictures(
            "x", GivenClusters(images=[("2.png", ())]), NamedPictures(tmp_path / "images"), 1 << 20
        ),
        runtime,
        CATEGORY,
    )
    imported(runtime, tmp_path, [{"images": ["0.png"]}, {"images": ["1.png", "0.png"]}])
    assert nodes(runtime) == {"0.png": "root-0", "1.png": "root-1", "2.png": NOISE}


def test_an_image_in_several_clusters_is_in_the_first_whatever_is_read_first(
    tmp_path: Path, runtime: Runtime
) -> None:
    write(tmp_path / "images", {f"{n}.png": picture(n) for n in range(2)})
    given = GivenClusters(images=[("0.png", (0,)), ("1.png", (1,)), ("0.png", (1,))])
    pictures = NamedPictures(tmp_path / "images")
    index_images(ClusteredPictures("x", given, pictures, 1 << 20), runtime, CATEGORY)
    source = ClusteredPictures("x", given, pictures, 1 << 20)
    for record in reversed(list(source)):
        assert record.read is not None
        record.read()
    cluster(runtime, CATEGORY, "old", source.fit)
    assert nodes(runtime) == {"0.png": "root-0", "1.png": "root-1"}
    assert source.notes()[0].startswith("1 images are in several clusters")


@pytest.mark.parametrize(
    ("tree", "images"),
    [
        ({"children": [{"children": ["a.png", "b.png"]}, {"children": [{"children": ["c.png"]}]}]}, 3),
        ({"red": {"images": ["a.png"]}, "blue": {"images": ["b.png"]}}, 2),
        ({"clusters": {"7": ["a.png", "b.png"], "8": ["c.png"]}}, 3),
        ({"name": "root", "children": [{"name": "a.png"}, {"name": "b.png"}]}, 2),
        ({"children": [], "images": [{"file_name": "a.png", "score": 1}, 7, None, {}]}, 1),
    ],
)
def test_shapes_of_trees(tmp_path: Path, tree: Any, images: int) -> None:
    put(tmp_path, {"t.json": tree})
    given = clusters_of(json_files(tmp_path / "t.json"))
    assert given is not None and len(given.images) == images
    assert len({way for _, way in given.images}) == len({str(way) for _, way in given.images})


def test_very_deep_trees_end_somewhere(tmp_path: Path) -> None:
    text = '{"children":[' * 400 + '{"images":["a.png"]}' + "]}" * 400
    (tmp_path / "t.json").write_text(text)
    given = clusters_of([tmp_path / "t.json"])
    assert given is not None and [(name, len(way)) for name, way in given.images] == [("a.png", 32)]
    (tmp_path / "t.json").write_text("[" * 100_000)
    assert clusters_of([tmp_path / "t.json"]) is None


def test_a_folder_of_json_files_is_one_collection(tmp_path: Path, runtime: Runtime) -> None:
    write(tmp_path / "images", {f"{n}.png": picture(n) for n in range(6)})
    dump = {
        pixel_hash(picture(n)): {
            "file_name": f"old-{n}.png",
            "image_tags": ["red"],
            "embeddings_vector": [n + 1, 1],
        }
        for n in (0, 1)
    }
    put(
        tmp_path / "json",
        {
            "a-metadata.json": dump,
            "a-tag-to-image-hash-list.json": {"red": list(dump)},
            "deep/one.json": {
                "file_name": "2.png",
                "tags": ["blue"],
                "class": "mug",
                "embeddings_vector": [1, 0],
            },
            "many.json": [
                {"file_path": "/old/3.png", "embeddings_vector": [0, 1]},
                {"file_name": "4.png", "embeddings_vector": [1]},
            ],
        },
    )
    write(tmp_path / "json", {"broken.json": b"{nope"})
    source = VectorDump(tmp_path / "json", tmp_path / "images", vector_name="old", vector_model="x")
    runtime.catalog.create("old", [source.spec])
    report = index_images(source, runtime, "old")
    assert (report.added, source.spec.dim) == (4, 2)
    assert {name: reason for name, reason, _ in report.refusals} == {
        "broken.json": "bad_row",
        "4.png": "bad_vector",
    }
    found = {hit.payload["filename"]: hit.payload for hit in runtime.vectors.scroll("old").hits}
    assert found["old-0.png"]["tags"] == ["red"] and (found["2.png"]["tags"], found["2.png"]["class"]) == (
        ["blue"],
        "mug",
    )
    assert any("a-tag-to-image-hash-list.json" in note for note in report.notes)


def test_entries_without_vectors_are_encoded(tmp_path: Path, runtime: Runtime) -> None:
    write(tmp_path / "images", {f"{n}.png": picture(n) for n in range(2)})
    put(
        tmp_path / "json", {f"{n}.json": {"file_name": f"{n}.png", "image_tags": [f"t{n}"]} for n in range(2)}
    )
    source = VectorDump(tmp_path / "json", tmp_path / "images", vector_name="old", vector_model="x")
    assert not source.has_vectors and index_images(source, runtime, CATEGORY).added == 2
    assert payloads(runtime)["1.png"]["tags"] == ["t1"]
    for folder in ("empty", "nowhere"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(BadSource):
            json_files(tmp_path / folder)
