"""``vitrine map`` on a category of coloured pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Run


def make(vitrine: Run, pictures: Path) -> None:
    added = vitrine("index", "add", pictures, "-c", "shop", "--create", "--class-from", "folder", "--json")
    assert added.json["added"] == 12
    made = vitrine("map", "make", "-c", "shop", "flat", "--method", "pca", "--json")
    assert made.code == 0, made.err
    assert {
        key: made.json[key]
        for key in ("status", "map", "key", "method", "using", "images", "written", "in_service")
    } == {
        "status": "complete",
        "map": "flat",
        "key": "flat-1",
        "method": "pca",
        "using": "colour",
        "images": 12,
        "written": 12,
        "in_service": True,
    }


def test_a_map_is_made_listed_drawn_and_deleted(vitrine: Run, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    make(vitrine, pictures)
    [listed] = vitrine("map", "list", "-c", "shop", "--json").json
    assert (listed["name"], listed["images"], listed["missing"]) == ("flat", 12, 0)
    assert "flat\tpca\tcolour\t12\t0" in vitrine("map", "list", "-c", "shop").out
    drawn = vitrine(
        "map",
        "plot",
        "flat",
        "-c",
        "shop",
        "--by",
        "class",
        "--thumbnails",
        6,
        "--to",
        "out/map.png",
        "--json",
    )
    assert drawn.code == 0 and (drawn.json["images"], drawn.json["kind"]) == (12, "words")
    assert {entry["label"]: entry["count"] for entry in drawn.json["legend"]} == {
        "red": 4,
        "blue": 4,
        "green": 4,
    }
    assert Image.open("out/map.png").width > 500
    part = vitrine("map", "plot", "flat", "-c", "shop", "--to", "map.svg", "--where", "map.flat.x.gte=0.9")
    assert (
        part.code == 0
        and Path("map.svg").exists()
        and "images drawn" in part.err
        and "others in grey" in part.err
    )
    svg = Path("map.svg").read_text(encoding="utf-8")
    assert " of 12 images where map.flat.x.gte=0.9 by pca" in svg
    crowded = vitrine("map", "plot", "flat", "-c", "shop", "--thumbnails", 50, "--to", "map.png")
    assert "of 50 pictures are drawn: there are only 12 images" in crowded.err
    assert vitrine("map", "delete", "flat", "-c", "shop", input="n\n").code == 1
    assert vitrine("map", "delete", "flat", "-c", "shop", "--yes", "--json").json["deleted"] is True
    assert vitrine("map", "list", "-c", "shop", "--json").json == []
    assert "vitrine map make -c shop" in vitrine("map", "list", "-c", "shop").err


def test_a_box_of_a_map_filters_searches(vitrine: Run, pictures: Path) -> None:
    make(vitrine, pictures)

    def found(*where: str) -> int:
        options = [part for one in where for part in ("--where", one)]
        return len(
            vitrine("search", "-c", "shop", "--text", "red", "-n", 50, *options, "--json").json["hits"]
        )

    left, right = found("map.flat.x.lt=0.5"), found("map.flat.x.gte=0.5")
    assert left + right == 12 and min(left, right) > 0
    assert found("map.flat.x.gte=0", "map.flat.y.lte=1") == 12
    unknown = vitrine("search", "-c", "shop", "--text", "red", "--where", "map.round.x.gte=0", "--json")
    assert unknown.code == 1 and unknown.json["error"]["code"] == "not_found"


def test_new_pictures_are_missing_until_they_are_placed(vitrine: Run, pictures: Path, tmp_path: Path) -> None:
    make(vitrine, pictures)
    Image.new("RGB", (30, 30), (250, 200, 20)).save("new.png")
    vitrine("index", "add", "new.png", "-c", "shop")
    assert vitrine("map", "list", "-c", "shop", "--json").json[0]["missing"] == 1
    assert vitrine("map", "make", "flat", "-c", "shop", "--missing", "--json").json["written"] == 1
    assert vitrine("map", "list", "-c", "shop", "--json").json[0]["missing"] == 0


def test_what_is_refused(vitrine: Run, pictures: Path) -> None:
    make(vitrine, pictures)
    for arguments in (
        ("make", "--method", "tsne"),
        ("make", "a.b", "--method", "pca"),
        ("make", "none", "--missing"),
        ("plot", "none", "--to", "a.png"),
        ("plot", "flat", "--to", "a.txt"),
        ("delete", "none", "--yes"),
        ("plot", "flat", "--to", "a.png", "--by", "object_key"),
    ):
        assert vitrine("map", *arguments, "-c", "shop").code == 1, arguments
