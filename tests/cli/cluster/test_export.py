"""``vitrine cluster export`` in all its kinds."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.cli.conftest import Answer, Run

TREE = ("cluster", "run", "look", "-c", "shop", "--branching", 3, "--leaf-size", 4)
IMAGES = 12


@pytest.fixture
def clustered(vitrine: Run, pictures: Path) -> Run:
    """Twelve pictures of three colours, in a tree."""
    assert vitrine("index", "add", pictures, "-c", "shop", "--create", "--json").json["added"] == IMAGES
    assert vitrine(*TREE).code == 0
    return vitrine


def export(run: Run, to: object, *options: object, name: str = "look", input: str | None = None) -> Answer:
    return run("cluster", "export", name, "-c", "shop", "--to", to, *options, input=input)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.png"))


def test_nodes_as_json_and_csv(clustered: Run, tmp_path: Path) -> None:
    told = export(clustered, tmp_path / "out" / "tree.json", "--json")
    tree = json.loads((tmp_path / "out" / "tree.json").read_text())
    assert told.json["kind"] == "file" and tree["id"] == "root" and tree["count"] == IMAGES
    assert export(clustered, tmp_path / "tree.CSV").code == 0
    rows = list(csv.DictReader((tmp_path / "tree.CSV").open()))
    assert len(rows) == told.json["nodes"] and rows[0]["id"] == "root"
    [gone] = clustered("images", "list", "-c", "shop", "--where", "filename=red/24.png", "--json").json[
        "hits"
    ]
    assert clustered("images", "delete", gone["id"], "-c", "shop", "--yes").code == 0
    assert (
        export(clustered, tmp_path / "tree.csv").code == 0
        and export(clustered, tmp_path / "tree.json").code == 0
    )
    rows = list(csv.DictReader((tmp_path / "tree.csv").open()))
    assert (rows[0]["count"], rows[0]["count_at_run"]) == (
        str(IMAGES - 1),
        str(IMAGES),
    )  # as it is now, and as it was
    tree = json.loads((tmp_path / "tree.json").read_text())
    assert (tree["count"], tree["count_at_run"]) == (IMAGES - 1, IMAGES)


def test_treemaps(clustered: Run, tmp_path: Path) -> None:
    told = export(clustered, tmp_path / "map.svg", "--levels", 1, "--json")
    assert (told.json["kind"], told.json["images"], told.json["missing"]) == ("treemap", IMAGES, 0)
    assert ElementTree.parse(tmp_path / "map.svg").getroot().get("width") == "1600"
    assert (
        export(clustered, tmp_path / "map.png", "--size", "500x400", "--where", "filename=red/24.png").code
        == 0
    )
    with Image.open(tmp_path / "map.png") as image:
        assert image.size == (500, 400)
    assert "such as 1600x1000" in export(clustered, tmp_path / "map.png", "--size", "big").err


def test_sheets_and_their_page(clustered: Run, tmp_path: Path) -> None:
    told = export(clustered, tmp_path / "sheets", "--sheets", "--per-node", 3, "--levels", 1, "--json")
    assert (
        told.json["kind"] == "sheets"
        and Path(told.json["index"]).is_file()
        and Path(told.json["treemap"]).is_file()
    )
    assert [Path(path).name for path in told.json["sheets"]] == ["root.png"]
    again = export(clustered, tmp_path / "sheets", "--sheets")
    assert again.code == 0 and "Begin at" in again.err


def test_folders_and_only_what_is_new(clustered: Run, tmp_path: Path) -> None:
    target = tmp_path / "folders"
    told = export(clustered, target, "--json")
    assert (told.json["images"], told.json["files"], told.json["moved"]) == (IMAGES, IMAGES, 0)
    assert sum(told.json["folders"].values()) == IMAGES == len(files(target))
    assert all(path.relative_to(target).parts[0].startswith("root-") for path in files(target))
    shutout = files(target)[0]
    shutout.unlink()
    again = export(clustered, target, "--json").json
    assert (again["files"], again["there"]) == (1, IMAGES - 1)
    links = export(
        clustered, tmp_path / "links", "--mode", "symlink", "--depth", 1, "--where", "filename=red/24.png"
    )
    assert links.code == 0 and [path.is_symlink() for path in files(tmp_path / "links")] == [True]
    dotted = export(clustered, f"{tmp_path}/v1.2/", "--json")
    assert dotted.json["kind"] == "folders" and len(files(tmp_path / "v1.2")) == IMAGES


def test_moving_asks_first_and_empties_the_category(clustered: Run, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert export(clustered, target, "--move", input="n\n").code == 1
    assert not target.exists() and clustered("category", "show", "shop", "--json").json["images"] == IMAGES
    some = export(clustered, target, "--move", "--where", "filename=red/24.png", input="y\n")
    assert some.code == 0 and "1 image left Vitrine" in some.out
    rest = export(clustered, target, "--move", "--yes", "--json").json
    assert (rest["images"], rest["moved"]) == (IMAGES - 1, IMAGES - 1) and len(files(target)) == IMAGES
    assert clustered("category", "show", "shop", "--json").json["images"] == 0
    empty = export(clustered, tmp_path / "map.svg", "--json")
    assert empty.code == 1 and empty.json["error"]["code"] == "bad_request"


@pytest.mark.parametrize(
    ("to", "options", "words"),
    [
        ("tree.xml", (), "write tree.xml/ for a folder"),
        ("map.svg", ("--sheets",), "give --to a folder"),
        ("map.svg", ("--mode", "copy"), "leave it out"),
        ("map.png", ("--depth", 1), "say --levels"),
        ("map.png", ("--move", "--yes"), "leave it out"),
        ("tree.json", ("--levels", 1), "leave it out"),
        ("tree.csv", ("--tag", "red"), "filters such as --tag"),
        ("tree.csv", ("--size", "9x9"), "is for a treemap"),
        ("out", ("--levels", 1), "say --depth"),
        ("out", ("--per-node", 4), "which is for sheets"),
        ("out", ("--sheets", "--depth", 1), "say --levels"),
        ("out", ("--sheets", "--size", "800x600"), "leave it out"),
        ("out", ("--move", "--mode", "symlink", "--yes"), "leave out --mode symlink"),
    ],
)
def test_contradictions_are_refused_with_what_to_do(
    vitrine: Run, to: str, options: tuple[object, ...], words: str
) -> None:
    answer = export(vitrine, to, *options)
    assert answer.code == 1 and words in answer.err and not Path(to).exists()


def test_what_is_not_there(clustered: Run, tmp_path: Path) -> None:
    assert "has no cluster run" in export(clustered, tmp_path / "map.svg", name="mood").err
    answer = clustered("cluster", "export", "look", "-c", "nowhere", "--to", tmp_path / "map.svg", "--json")
    assert answer.json["error"]["code"] == "not_found"
    assert "such as 1600x1000" in export(clustered, tmp_path / "map.svg", "--size", "9²x9").err
    (tmp_path / "file").write_text("")
    for to in ("file/map.svg", "file/tree.json"):
        assert "cannot be written" in export(clustered, tmp_path / to).err


def test_a_folder_takes_one_version_of_one_run(clustered: Run, tmp_path: Path) -> None:
    target = tmp_path / "out"
    assert export(clustered, target, "--depth", 1).code == 0
    assert "with --depth 1: say the same again" in export(clustered, target).err
    assert clustered(*TREE).code == 0  # the run is made anew
    before = files(target)
    for options in ((), ("--depth", 1), ("--move", "--yes")):
        assert "another than this one: choose another folder" in export(clustered, target, *options).err
    assert files(target) == before
    (target / ".vitrine-run.json").unlink()
    assert "not known of which run" in export(clustered, target, "--depth", 1).err
    for path in before:
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    assert (
        export(clustered, target, "--depth", 1, "--json").json["files"] == IMAGES
    )  # nothing of the former is left


@pytest.mark.parametrize("options", [(), ("--move", "--yes")])
def test_a_node_that_gets_another_name_keeps_its_folder(
    clustered: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    target = tmp_path / "out"
    assert export(clustered, target, "--where", "filename=red/24.png", *options).code == 0
    [first] = files(target)
    parts = first.parent.relative_to(target).parts
    moved = target.joinpath(
        *(f"{part} of another name" for part in parts), first.name
    )  # as if it was called so then
    for depth in range(len(parts), 0, -1):
        folder = target.joinpath(*parts[:depth])
        folder.rename(folder.with_name(f"{folder.name} of another name"))
    told = export(clustered, target, *options, "--json").json
    assert moved in files(target) and len(files(target)) == IMAGES
    assert told["files"] == IMAGES - 1
    tops = [path.name.partition(" ")[0] for path in target.iterdir() if path.is_dir()]
    assert len(tops) == len(set(tops))


def test_runs_are_fields_to_count_and_columns_of_a_table(clustered: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert clustered(*TREE).code == clustered("map", "make", "-c", "shop", "--method", "pca").code == 0
    counted = {value["value"]: value["count"] for value in facets(clustered, "cluster.look").json["values"]}
    assert (
        counted["root"] == IMAGES and facets(clustered, "cluster:look").json["values"][0]["value"] == "root"
    )
    refused = facets(clustered, "caption").json["error"]["message"]
    assert "cluster.look" in refused and "look-" not in refused
    assert facets(clustered, "cluster.mood").json["error"]["code"] == "not_found"
    assert clustered("cluster", "show", "look", "-c", "shop", "--by", "cluster.look", "--json").code == 0
    assert (
        clustered(
            "map", "plot", "pca", "-c", "shop", "--to", tmp_path / "map.svg", "--by", "cluster.look"
        ).code
        == 0
    )
    assert clustered("export", "table", "-c", "shop", "--to", tmp_path / "all.csv").code == 0
    rows = list(csv.DictReader((tmp_path / "all.csv").open()))
    assert all(counted[row["cluster.look"]] for row in rows) and all(
        0 <= float(row["map.pca.x"]) <= 1 for row in rows
    )
    assert not [name for name in rows[0] if name.startswith(("clusters", "maps"))]
    joined = clustered(
        "images", "annotate", "-c", "shop", "-t", tmp_path / "all.csv", "--on", "id", "--json"
    ).json
    assert (joined["matched"], joined["updated"]) == (
        IMAGES,
        0,
    ) and "cluster.look, map.pca.x, map.pca.y" in joined["notes"][0]
    assert clustered("export", "table", "-c", "shop", "--to", tmp_path / "all.json").code == 0
    row = json.loads((tmp_path / "all.json").read_text())[0]
    assert set(row["cluster"]) == {"look"} and set(row["map"]["pca"]) == {"x", "y"} and "clusters" not in row


def facets(run: Run, field: str) -> Answer:
    return run("images", "facets", field, "-c", "shop", "--json")
