from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run
from vitrine.services.images.open import pixel_hash


def test_a_folder_is_indexed_once_and_again_for_free(vitrine: Run, pictures: Path) -> None:
    first = vitrine(
        "index",
        "add",
        pictures,
        "-c",
        "shop",
        "--create",
        "--tags-from-folders",
        1,
        "--tags",
        "new,sale",
        "--json",
    )
    assert first.code == 0
    assert (first.json["added"], first.json["images"], first.json["status"]) == (12, 12, "complete")
    again = vitrine("index", "add", pictures, "-c", "shop", "--json").json
    assert (again["added"], again["known"]) == (0, 12)
    tags = vitrine("images", "facets", "tags", "-c", "shop", "--json").json["values"]
    assert {facet["value"]: facet["count"] for facet in tags} == {
        "new": 12,
        "sale": 12,
        "red": 4,
        "blue": 4,
        "green": 4,
    }


def test_the_class_may_come_from_folders_and_tags_from_a_table(
    vitrine: Run, pictures: Path, tmp_path: Path
) -> None:
    table = tmp_path / "more.csv"
    table.write_text("file,tags,season\n24,tiny,winter\n")
    options = ("--class-from", "folder", "--metadata", table, "--join-on", "stem")
    assert (
        vitrine("index", "add", pictures, "-c", "shop", "--create", "--encoder", "colour", *options).code == 0
    )
    classes = vitrine("images", "facets", "class", "-c", "shop", "--json").json["values"]
    assert {facet["value"] for facet in classes} == {"red", "blue", "green"}
    tiny = vitrine(
        "images", "list", "-c", "shop", "--tag", "tiny", "--where", "metadata.season=winter", "--json"
    ).json
    assert tiny["count"] == 3


def test_refused_files_give_exit_3_and_are_written_down(vitrine: Run, tmp_path: Path) -> None:
    folder, refused = tmp_path / "mixed", tmp_path / "refused.jsonl"
    folder.mkdir()
    Image.new("RGB", (20, 20), "red").save(folder / "good.png")
    (folder / "broken.png").write_bytes((folder / "good.png").read_bytes()[:40])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("words")
    (folder / ".thumbs").mkdir()
    skipped = tmp_path / "skipped.jsonl"
    options = ("--refused", refused, "--skipped", skipped)
    answer = vitrine("index", "add", folder, "-c", "mixed", "--create", *options)
    assert [json.loads(line) for line in skipped.read_text().splitlines()] == [
        {"filename": ".thumbs", "reason": "hidden"},
        {"filename": "notes.txt", "reason": "no_picture"},
    ]
    assert answer.code == 3
    assert "1 added" in answer.out and "2 refused" in answer.out
    rows = [json.loads(line) for line in refused.read_text().splitlines()]
    assert {(row["filename"], row["reason"]) for row in rows} == {
        ("broken.png", "damaged_image"),
        ("empty.jpg", "empty_file"),
    }


def test_a_category_follows_a_folder(vitrine: Run, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (20, 20), colour).save(folder / f"{name}.png")
    first = vitrine("index", "sync", folder, "-c", "shop", "--create", "--tags", "new,sale", "--json")
    assert (first.code, first.json["added"], first.json["gone"]) == (0, 2, 0)
    (folder / "a.png").unlink()
    options = ("--tags", "new,sale", "--json")
    assert vitrine("index", "sync", folder, "-c", "shop", "--dry-run", *options).json["gone"] == 1
    refused = vitrine("index", "sync", folder, "-c", "shop", "--max-gone", 0, *options)
    assert (refused.code, refused.json["error"]["code"]) == (1, "too_many_gone")
    done = vitrine("index", "sync", folder, "-c", "shop", *options)
    assert [left["filename"] for left in done.json["left"]] == ["a.png"]
    assert f"vitrine undo {done.json['undo']['token']}" in done.err
    assert vitrine("images", "list", "-c", "shop", "--tag", "sale", "--json").json["count"] == 1
    assert vitrine("index", "sync", tmp_path / "nothing", "-c", "shop").code == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nowhere", "--create"], "bad_source"),
        (["."], "not_found"),
        ([".", "--create", "--encoder", "no/such-model"], "model_unavailable"),
        ([".", "--create", "--refused", "no/such/folder/x"], "bad_request"),
    ],
)
def test_what_cannot_be_indexed_is_told(vitrine: Run, arguments: list[str], code: str) -> None:
    answer = vitrine("index", "add", *arguments, "-c", "shop", "--json")
    assert answer.code == 1
    assert answer.json["error"]["code"] == code


def test_an_encoder_without_create_is_wrong_usage(vitrine: Run) -> None:
    assert vitrine("index", "add", ".", "-c", "shop", "--encoder", "colour").code == 2
    assert vitrine("index", "add", ".", "-c", "shop", "--batch-size", "0").code == 2
    assert vitrine("index", "add", ".").code == 2


def test_an_older_collection_is_taken_over_with_its_vectors(
    vitrine: Run, pictures: Path, tmp_path: Path
) -> None:
    files = sorted(pictures.rglob("*.png"))[:3]
    random = np.random.default_rng(1)
    dump = {
        pixel_hash(file.read_bytes()): {
            "file_name": file.name,
            "image_tags": ["old"],
            "embeddings_vector": random.random(8).tolist(),
        }
        for file in files
    }
    source = tmp_path / "input-metadata.json"
    source.write_text(json.dumps(dump))
    assert vitrine("index", "import", source, "-c", "old").code == 2
    assert vitrine("index", "import", source, "-c", "old", "--images", pictures).code == 1
    options = (
        "--images",
        pictures,
        "--vector-name",
        "legacy",
        "--vector-model",
        "vgg",
        "--create",
        "--encoder",
        "colour",
    )
    done = vitrine("index", "import", source, "-c", "old", *options, "--json")
    assert (done.code, done.json["added"]) == (0, 3)
    assert [spec["name"] for spec in vitrine("category", "show", "old", "--json").json["encoders"]] == [
        "colour",
        "legacy",
    ]
    first = vitrine("images", "list", "-c", "old", "--json").json["hits"][0]
    for using in ("legacy", "colour"):
        assert (
            len(vitrine("search", "-c", "old", "--id", first["id"], "--using", using, "--json").json["hits"])
            == 2
        )
    fused = vitrine(
        "search", "-c", "old", "--id", first["id"], "--using", "legacy", "--using", "colour", "--json"
    )
    assert len(fused.json["hits"]) == 2


def test_an_older_class_table_is_taken_over(vitrine: Run, pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "classes.csv"
    table.write_text("file,class,label\nred/24.png,warm,1\nblue/24.png,cold,0\n")
    done = vitrine("index", "import", table, "-c", "old", "--images", pictures, "--create", "--json")
    assert (done.code, done.json["added"]) == (0, 2)
    assert (
        vitrine(
            "images", "list", "-c", "old", "--where", "metadata.label=1", "--class", "warm", "--json"
        ).json["count"]
        == 1
    )


def test_a_tree_of_clusters_is_taken_over_as_a_run(vitrine: Run, pictures: Path, tmp_path: Path) -> None:
    names = sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png"))[:6]
    tree = {
        "children": [
            {"name": "one", "images": names[:4]},
            {"name": "two", "paths": [f"/old/{name}" for name in names[4:]]},
        ]
    }
    (tmp_path / "tree.json").write_text(json.dumps(tree))
    done = vitrine(
        "index",
        "import",
        tmp_path / "tree.json",
        "--images",
        pictures,
        "-c",
        "old",
        "--create",
        "--run",
        "theirs",
        "--json",
    )
    assert done.code == 0 and done.json["added"] == 6 and "theirs" in done.json["notes"][0]
    (tmp_path / "tree.json").write_text(json.dumps({"images": ["nowhere.png"]}))
    none = vitrine(
        "index", "import", tmp_path / "tree.json", "--images", pictures, "-c", "empty", "--create", "--json"
    )
    assert none.code == 3 and "no cluster run" in none.json["notes"][0]
    shown = vitrine("cluster", "show", "theirs", "-c", "old", "--json").json
    assert [(child["id"], child["name"], child["count"]) for child in shown["children"]] == [
        ("root-0", "one", 4),
        ("root-1", "two", 2),
    ]
