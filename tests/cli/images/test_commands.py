from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from vitrine.cli.images.commands import bar

UNKNOWN = "5b1f4a43-94e7-5d5c-8f4e-0a8f6f3c2b11"


@pytest.fixture
def shop(vitrine: Run, pictures: Path) -> tuple[Run, list[str]]:
    """A category of the test's own, and the ids of its four images."""
    assert vitrine("index", "add", pictures / "red", "-c", "mine", "--create").code == 0
    return vitrine, [image["id"] for image in vitrine("images", "list", "-c", "mine", "--json").json["hits"]]


def images(run: Run, *arguments: object) -> dict[str, Any]:
    answer = run("images", *arguments, "--json")
    assert answer.code == 0, answer.out + answer.err
    tree: dict[str, Any] = answer.json
    return tree


def test_listing_counts_all_and_pages_by_cursor(filled: Run) -> None:
    first = images(filled, "list", "-c", "shop", "--tag", "small", "-n", 7)
    second = images(filled, "list", "-c", "shop", "--tag", "small", "-n", 7, "--cursor", first["cursor"])
    assert (first["count"], len(first["hits"]), len(second["hits"]), second["cursor"]) == (12, 7, 5, None)
    assert len({image["id"] for image in first["hits"] + second["hits"]}) == 12
    plain = filled("images", "list", "-c", "shop", "--order-by", "quality:desc", "-n", 2)
    assert plain.out.splitlines()[1].split("\t")[3:] == ["48x32", plain.out.splitlines()[1].split("\t")[4]]
    assert plain.err.startswith("2 of 12 images. More: --cursor ")


def test_showing_and_saving_an_image(filled: Run, pictures: Path, tmp_path: Path) -> None:
    image = images(filled, "list", "-c", "shop", "--where", "filename=red/24.png")["hits"][0]
    assert images(filled, "show", image["id"], "-c", "shop") == image
    plain = filled("images", "show", image["id"], "-c", "shop", "--to", tmp_path / "copy.png")
    assert "scores.striped:" in plain.out and "metadata.year:" in plain.out
    assert (tmp_path / "copy.png").read_bytes() == (pictures / "red" / "24.png").read_bytes()
    assert filled("images", "show", image["id"], "-c", "shop", "--to", "/no-such-folder/a/b").code == 1
    assert "not_found" in filled("images", "show", UNKNOWN, "-c", "shop").err


def test_tags_class_and_metadata_are_changed(shop: tuple[Run, list[str]]) -> None:
    run, ids = shop
    options = (
        "--add",
        "new",
        "--add",
        "old",
        "--class",
        "warm",
        "--caption",
        "A bar",
        "--quality",
        0.5,
        "--metadata",
        "year=1999",
    )
    changed = images(run, "tag", *ids[:2], "-c", "mine", *options, "--metadata", "place=Oslo")["hits"]
    assert [image["id"] for image in changed] == ids[:2]
    payload = changed[0]["payload"]
    assert (payload["tags"], payload["class"], payload["caption"], payload["quality"]) == (
        ["new", "old"],
        "warm",
        "A bar",
        0.5,
    )
    assert payload["metadata"] == {"year": 1999, "place": "Oslo"}
    payload = images(
        run, "tag", ids[0], "-c", "mine", "--remove", "old", "--class", "", "--metadata", "place="
    )["hits"][0]["payload"]
    assert payload["tags"] == ["new"] and "class" not in payload and payload["metadata"] == {"year": 1999}
    payload = images(run, "tag", ids[0], "-c", "mine", "--set", "one", "--set", "two")["hits"][0]["payload"]
    assert payload["tags"] == ["one", "two"]
    assert images(run, "tag", ids[0], "-c", "mine", "--set", "")["hits"][0]["payload"]["tags"] == []


def test_nothing_is_changed_if_one_image_is_unknown_or_nothing_is_asked(shop: tuple[Run, list[str]]) -> None:
    run, ids = shop
    assert run("images", "tag", ids[0], "-c", "mine").code == 2
    assert run("images", "tag", ids[0], "-c", "mine", "--metadata", "x").code == 2
    answer = run("images", "tag", ids[0], UNKNOWN, "-c", "mine", "--add", "new", "--json")
    assert answer.json["error"]["code"] == "not_found"
    assert images(run, "list", "-c", "mine", "--tag", "new")["count"] == 0


def test_deleting_images_asks_first(shop: tuple[Run, list[str]]) -> None:
    run, ids = shop
    assert run("images", "delete", ids[0], "-c", "mine", input="n\n").code == 1
    assert images(run, "list", "-c", "mine")["count"] == 4
    assert run("images", "delete", ids[0], "-c", "mine", input="y\n").code == 0
    done = images(run, "delete", *ids[:2], UNKNOWN, "-c", "mine", "--yes")
    assert done.pop("undo")["token"].startswith("mine.")
    assert done == {
        "category": "mine",
        "deleted": 1,
        "unknown": 2,
    }
    assert images(run, "list", "-c", "mine")["count"] == 2


def test_deleted_images_wait_in_the_bin(shop: tuple[Run, list[str]]) -> None:
    run, ids = shop
    before = images(run, "list", "-c", "mine")["hits"]
    done = run("images", "delete", *ids[:2], "-c", "mine", "--yes")
    token = done.err.split("vitrine undo ")[1].strip()
    listed = images(run, "bin", "-c", "mine")
    assert listed["total"] == 2 and {one["id"] for one in listed["images"]} == set(ids[:2])
    assert run("images", "bin", "-c", "mine").err.startswith("2 of 2 images in the bin.")
    restored = images(run, "restore", ids[0], ids[2], UNKNOWN, "-c", "mine")
    assert (restored["restored"], restored["there"], restored["missing"]) == (1, 1, [UNKNOWN])
    undone = run("undo", token, "--json").json
    assert (undone["undone"], undone["kept"]) == (1, [])
    assert images(run, "list", "-c", "mine")["hits"] == before
    assert run("undo", token, "--json").json["error"]["code"] == "not_found"
    again = run("undo", undone["undo"]["token"])
    assert again.err.startswith("1 image as before.") and images(run, "bin", "-c", "mine")["total"] == 1
    assert run("images", "bin", "-c", "mine", "--empty", input="n\n").code == 1
    assert images(run, "bin", "-c", "mine", "--empty", "--yes") == {"category": "mine", "removed": 1}
    assert images(run, "bin", "-c", "mine")["total"] == 0
    images(run, "delete", ids[2], "-c", "mine", "--for-good", "--yes")
    assert images(run, "bin", "-c", "mine")["total"] == 0


def test_a_change_of_tags_is_undone(shop: tuple[Run, list[str]]) -> None:
    run, ids = shop
    before = images(run, "list", "-c", "mine")["hits"]
    changed = images(run, "tag", *ids, "-c", "mine", "--add", "new", "--class", "warm")
    assert images(run, "list", "-c", "mine", "--tag", "new")["count"] == 4
    assert run("undo", changed["undo"]["token"]).code == 0
    assert images(run, "list", "-c", "mine")["hits"] == before


def test_facets_and_histograms(filled: Run) -> None:
    facets = images(filled, "facets", "tags", "-c", "shop", "--class", "red")["values"]
    assert facets == [{"value": "red", "count": 4}, {"value": "small", "count": 4}]
    bins = images(filled, "histogram", "quality", "-c", "shop", "--bins", 2)["bins"]
    assert bins == [{"lower": 0.0, "upper": 0.5, "count": 3}, {"lower": 0.5, "upper": 1.0, "count": 9}]
    drawn = filled("images", "histogram", "quality", "-c", "shop", "--bins", 2).out.splitlines()
    assert [line.count("█") for line in drawn] == [0, 14, 40]
    assert filled("images", "facets", "tags", "-c", "shop").out.splitlines()[1] == "small\t12"
    assert "unknown_field" in filled("images", "facets", "caption", "-c", "shop").err
    assert "unknown_field" in filled("images", "histogram", "tags", "-c", "shop").err


def test_a_bar_is_seen_for_any_image_and_none_for_none() -> None:
    assert bar(1, 1000) == "█"
    assert bar(0, 1000) == bar(0, 0) == ""
    assert len(bar(7, 7)) == 40


def test_columns_may_be_called_as_cameras_and_tables_call_them(
    vitrine: Run, pictures: Path, tmp_path: Path
) -> None:
    rows = [f"{pictures}/red/{size}.png;{size},5;{size};{size};Canon;{size / 100}" for size in (24, 32, 40)]
    (tmp_path / "list.csv").write_text(
        "\n".join(["FILE;Preis;EXIF:ISO;a=b;camera.make;scores.St. Moritz", *rows])
    )
    added = vitrine("index", "add", tmp_path / "list.csv", "-c", "odd", "--create", "--root", pictures)
    assert added.code == 0, added.out + added.err

    def found(*arguments: str) -> list[str]:
        return [
            hit["payload"]["filename"] for hit in images(vitrine, "list", "-c", "odd", *arguments)["hits"]
        ]

    small, middle, large = "red/24.png", "red/32.png", "red/40.png"
    for field in (
        "metadata.EXIF:ISO",
        'metadata."EXIF:ISO"',
        "metadata.a=b",
        "scores.St. Moritz",
        'scores."St. Moritz"',
    ):
        assert found("--order-by", f"{field}:desc") == [large, middle, small]
        assert found("--order-by", field) == [small, middle, large]
    assert (
        found("--where", "metadata.EXIF:ISO.gte=40")
        == found("--where", 'metadata."EXIF:ISO".gte=40')
        == [large]
    )
    assert found("--where", "metadata.a=b=32") == found("--where", 'metadata."a=b"=32') == [middle]
    assert found("--where", "metadata.Preis=24.5", "--where", "metadata.camera.make=Canon") == [small]
    for asked in (("--score", "St. Moritz=0.3.."), ("--where", "score.St. Moritz.gte=0.3")):
        assert set(found(*asked)) == {middle, large}
    assert (
        vitrine("images", "facets", "metadata.camera.make", "-c", "odd", "--json").json["values"][0]["count"]
        == 3
    )
    id = images(vitrine, "list", "-c", "odd", "--where", "metadata.a=b=32")["hits"][0]["id"]
    images(vitrine, "tag", id, "-c", "odd", "--metadata", "a=b=7", "--metadata", "x.y=8")
    assert found("--where", "metadata.a=b=7", "--where", "metadata.x.y=8") == [middle]
    told = vitrine("images", "list", "-c", "odd", "--where", "metadata.EXIF=1")
    assert told.code == 1 and 'metadata."EXIF:ISO"' in told.err
