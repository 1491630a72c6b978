"""``vitrine cluster``, as commands on their own."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Answer, Fill, Kept, runner
from vitrine.services.domain import Point
from vitrine.services.images.open import point_id
from vitrine.services.runtime import Runtime
from vitrine.services.settings import Settings

NAME = "clustered"
IMAGES = 60


def run(data: Path, *arguments: object, input: str | None = None) -> Answer:
    return runner(data)(*arguments, input=input)


@pytest.fixture
def data(filled_by: Callable[[Fill], Path]) -> Path:
    """A category of three groups, on the engine."""
    return filled_by(fill)


def fill(runtime: Runtime) -> None:
    spec = runtime.encoders.get("colour").spec
    runtime.catalog.create(NAME, [spec])
    draw = np.random.default_rng(1)
    rows = np.repeat(np.eye(3, spec.dim), (30, 20, 10), axis=0) + 0.05 * draw.normal(size=(IMAGES, spec.dim))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    words = ["boat"] * 30 + ["cat"] * 20 + ["dog"] * 10
    points = [
        Point(
            point_id(f"{n:064x}"),
            {spec.name: rows[n]},
            {"tags": [words[n]], "metadata": {"season": "winter" if n % 2 else "summer"}},
        )
        for n in range(IMAGES)
    ]
    runtime.catalog.ensure_indexes(NAME, {"metadata.season": "keyword"})
    runtime.vectors.upsert(NAME, points)


def make_tree(data: Path) -> Answer:
    return run(
        data,
        "cluster",
        "run",
        "look",
        "-c",
        NAME,
        "--branching",
        3,
        "--leaf-size",
        20,
        "--depth",
        1,
        "--json",
    )


def test_a_tree_is_made_listed_and_shown(data: Path) -> None:
    made = make_tree(data)
    assert made.code == 0, made.err
    assert {
        key: made.json[key] for key in ("status", "images", "written", "nodes", "leaves", "depth", "method")
    } == {
        "status": "complete",
        "images": IMAGES,
        "written": IMAGES,
        "nodes": 4,
        "leaves": 3,
        "depth": 1,
        "method": "tree",
    }
    [listed] = run(data, "cluster", "list", "-c", NAME, "--json").json
    assert (listed["run"], listed["key"], listed["nodes"]) == ("look", "look-1", 4)
    assert "look\ttree\tcolour\t60\t4\t3\t1" in run(data, "cluster", "list", "-c", NAME).out
    shown = run(data, "cluster", "show", "look", "-c", NAME, "--by", "metadata.season", "--json").json
    assert [(child["id"], child["count"], child["name"]) for child in shown["children"]] == [
        ("root-0", 30, "boat"), ("root-1", 20, "cat"), ("root-2", 10, "dog"),
    ]  # fmt: skip
    assert shown["children"][1]["groupings"]["metadata.season"] == [
        {"value": "summer", "count": 10}, {"value": "winter", "count": 10},
    ]  # fmt: skip
    table = run(data, "cluster", "show", "look", "-c", NAME, "--by", "tags").out
    assert "root-1\t20\tcat\t" in table and "cat 20" in table
    leaf = run(data, "cluster", "show", "look", "root-2", "-c", NAME)
    assert "A leaf" in leaf.err and "root" in leaf.out
    assert "root-0, root-1, root-2." in run(data, "cluster", "show", "look", "root-7", "-c", NAME).err


def test_without_runs_the_list_says_how_to_make_one(data: Path) -> None:
    listed = run(data, "cluster", "list", "-c", NAME)
    assert listed.out == "" and f"vitrine cluster run look -c {NAME}" in listed.err


def test_many_children_are_named_in_part_and_the_largest_are_on_the_sheet(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    run(data, "cluster", "run", "many", "-c", NAME, "--method", "kmeans", "--clusters", "40")
    unknown = run(data, "cluster", "show", "many", "root-99", "-c", NAME).err
    assert "root-0, root-1, root-2, root-3, root-4 and 35 more." in unknown
    sheet = tmp_path / "many.png"
    shown = run(data, "cluster", "show", "many", "-c", NAME, "--to", sheet)
    assert "30 largest of 40 children, 10 are left out" in shown.err and "--to FOLDER --sheets" in shown.err
    assert Image.open(sheet).height < 6_000


def test_images_that_were_deleted_are_shown_no_more(data: Path, kept: Kept) -> None:
    make_tree(data)
    settings = Settings(data=data, encoder="colour", _env_file=None)  # type: ignore[call-arg,unused-ignore]
    before = run(data, "cluster", "show", "look", "-c", NAME, "--json").json["children"]
    with kept.open_runtime(settings) as runtime:
        runtime.vectors.delete(NAME, [before[0]["medoid"], *(point_id(f"{n:064x}") for n in range(50, 60))])
    after = run(data, "cluster", "show", "look", "-c", NAME, "--json").json["children"]
    assert after[0]["representatives"] == before[0]["representatives"][1:] and after[1] == before[1]
    assert after[0]["medoid"] == before[0]["representatives"][1]
    assert (after[2]["count"], after[2]["medoid"], after[2]["representatives"]) == (0, None, [])
    assert run(data, "cluster", "show", "look", "root-2", "-c", NAME, "--to", "left.png").code == 0


def test_images_of_a_node_are_a_filter(data: Path) -> None:
    make_tree(data)
    found = run(
        data, "search", "-c", NAME, "--text", "red", "--where", "cluster.look=root-1", "-n", "50", "--json"
    )
    assert len(found.json["hits"]) == 20 and {hit["payload"]["tags"][0] for hit in found.json["hits"]} == {
        "cat"
    }
    unknown = run(data, "search", "-c", NAME, "--text", "red", "--where", "cluster.mood=root-1", "--json")
    assert unknown.code == 1 and unknown.json["error"]["code"] == "not_found"


def test_a_grid_of_flat_clusterings_chooses_one(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    flat = ("cluster", "run", "flat", "-c", NAME, "--method", "kmeans", "--clusters", "2,3,5")
    made = run(data, *flat, "--json")
    assert made.code == 0, made.err
    assert made.json["parameters"]["clusters"] == 3 and len(made.json["metrics"]["grid"]["rows"]) == 3
    chosen = run(data, *flat, "--choose", 1)
    assert "2 clusters by kmeans" in chosen.out and "silhouette" in chosen.out
    shown = run(data, "cluster", "show", "flat", "-c", NAME, "--json").json
    assert len(shown["children"]) == 2
    assert run(data, "cluster", "run", "x", "-c", NAME, "--clusters", "5").code == 1
    assert run(data, "cluster", "run", "x", "-c", NAME, "--method", "magic").code == 1


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("minibatch-kmeans", ("--clusters", "3")),
        ("gaussian-mixture", ("--clusters", "3", "--covariance", "diag")),
        ("agglomerative", ("--clusters", "3", "--linkage", "average,ward")),
        ("dbscan", ("--eps", "0.2,0.5", "--min-samples", "3")),
        ("hdbscan", ("--min-cluster-size", "5,8")),
    ],
)
def test_every_flat_method_finds_the_three_groups(data: Path, method: str, options: tuple[str, ...]) -> None:
    pytest.importorskip("sklearn")
    made = run(data, "cluster", "run", "flat", "-c", NAME, "--method", method, *options, "--json")
    assert made.code == 0, made.err
    assert made.json["method"] == method
    shown = run(data, "cluster", "show", "flat", "-c", NAME, "--json").json
    assert [(child["count"], child["name"]) for child in shown["children"]] == [
        (30, "boat"),
        (20, "cat"),
        (10, "dog"),
    ]


def test_nodes_are_exported_and_drawn(data: Path, tmp_path: Path) -> None:
    make_tree(data)
    for name in ("tree.json", "tree.csv"):
        assert run(data, "cluster", "export", "look", "-c", NAME, "--to", tmp_path / "out" / name).code == 0
    tree = json.loads((tmp_path / "out/tree.json").read_text())
    assert tree["id"] == "root" and [child["name"] for child in tree["children"]] == ["boat", "cat", "dog"]
    rows = list(csv.DictReader((tmp_path / "out/tree.csv").open()))
    assert [(row["id"], row["parent"], row["count"]) for row in rows][1] == ("root-0", "root", "30")
    assert run(data, "cluster", "export", "look", "-c", NAME, "--to", tmp_path / "tree.xml").code == 1
    sheet = tmp_path / "sheets" / "look.png"
    assert run(data, "cluster", "show", "look", "-c", NAME, "--to", sheet).code == 0
    assert Image.open(sheet).width > 300


def test_assign_finds_those_without_a_node(data: Path, kept: Kept) -> None:
    make_tree(data)
    settings = Settings(data=data, encoder="colour", _env_file=None)  # type: ignore[call-arg,unused-ignore]
    with kept.open_runtime(settings) as runtime:
        runtime.vectors.delete_payload(NAME, [point_id(f"{3:064x}")], ["clusters.look-1"])
    assert run(data, "cluster", "assign", "-c", NAME, "--json").json[0]["written"] == 1
    assert "0 images" in run(data, "cluster", "assign", "look", "-c", NAME).out
    assert run(data, "cluster", "show", "look", "-c", NAME, "--json").json["count"] == IMAGES


def test_deleting_asks_first(data: Path) -> None:
    make_tree(data)
    assert run(data, "cluster", "delete", "look", "-c", NAME, input="n\n").code == 1
    assert run(data, "cluster", "delete", "look", "-c", NAME, "--yes", "--json").json["deleted"] is True
    assert run(data, "cluster", "list", "-c", NAME, "--json").json == []
    assert run(data, "cluster", "delete", "look", "-c", NAME, "--yes").code == 1
