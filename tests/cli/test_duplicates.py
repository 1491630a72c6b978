"""``vitrine duplicates`` and ``vitrine search --collapse``."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.indexer.enrich.duplicates.scenes import scene


@pytest.fixture
def shop(vitrine: Run, tmp_path: Path) -> Run:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        scene(number).save(folder / f"{number}.png")
    scene(0).resize((100, 75), Image.Resampling.LANCZOS).save(folder / "0-half.png")
    scene(0).save(folder / "0.jpg", quality=70)
    assert vitrine("index", "add", folder, "-c", "shop", "--create").code == 0
    return vitrine


def test_duplicates_are_found_listed_shown_and_deleted(shop: Run, tmp_path: Path) -> None:
    assert shop("duplicates", "list", "-c", "shop", "--json").json["error"]["code"] == "not_found"
    tried = shop("duplicates", "find", "-c", "shop", "--dry-run", "--json").json
    assert tried["groups"] == 1 and len(tried["found"][0]["members"]) == 3
    found = shop("duplicates", "find", "-c", "shop", "--json").json
    assert (found["groups"], found["duplicates"], found["status"]) == (1, 2, "complete")
    (group,) = shop("duplicates", "list", "-c", "shop", "--json").json["groups"]
    sheet = tmp_path / "sheet.png"
    assert (
        "0-half.png" in shop("duplicates", "show", group["id"], "-c", "shop", "--to", sheet).out
        and sheet.is_file()
    )
    for name in ("groups.json", "groups.csv"):
        assert shop("duplicates", "export", "-c", "shop", "--to", tmp_path / name).code == 0
    assert (tmp_path / "groups.csv").read_text().count(group["id"]) == 3

    hits = shop(
        "search", "-c", "shop", "--image", tmp_path / "pictures" / "0.png", "--collapse", "--json"
    ).json
    assert len(hits["hits"]) == 3 and hits["similar"] == {hits["hits"][0]["id"]: 2}
    assert (
        "+2 similar"
        in shop("search", "-c", "shop", "--image", tmp_path / "pictures" / "0.png", "--collapse").out
    )
    assert shop("search", "-c", "shop", "--collapse").code == 2

    other = group["members"][1]["id"]
    assert shop("duplicates", "keep", group["id"], other, "-c", "shop", "--json").json["keep"] == other
    assert (
        shop("duplicates", "dismiss", group["id"], group["members"][2]["id"], "-c", "shop", "--json").json[
            "pairs"
        ]
        == 2
    )
    assert shop("duplicates", "delete", "-c", "shop", "--dry-run", "--json").json["images"] == 1
    assert shop("duplicates", "delete", "-c", "shop", input="n\n").code == 1
    assert shop("duplicates", "delete", "-c", "shop", "--yes", "--json").json["deleted"] == 1
    assert shop("images", "list", "-c", "shop", "--json").json["count"] == 4
    assert shop("duplicates", "list", "-c", "shop", "--json").json["groups"] == []


def test_new_copies_are_named_or_not_indexed(shop: Run, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    scene(1).save(folder / "1.jpg", quality=60)
    told = shop("index", "add", folder, "-c", "shop", "--near-duplicates", "skip", "--json").json
    assert (told["added"], told["duplicate"], told["images"]) == (0, 1, 5) and told["near_duplicates"][0][
        "filename"
    ] == "1.jpg"
    assert "not indexed" in shop("index", "add", folder, "-c", "shop", "--near-duplicates", "skip").out
    assert (
        "1 are near-duplicates" in shop("index", "add", folder, "-c", "shop", "--near-duplicates", "tell").out
    )
    assert shop("index", "add", folder, "-c", "shop", "--near-duplicates", "never").code == 2


def test_what_was_said_of_copies_is_kept(shop: Run, tmp_path: Path) -> None:
    shop("duplicates", "find", "-c", "shop")
    (group,) = shop("duplicates", "list", "-c", "shop", "--json").json["groups"]
    assert shop("images", "tag", group["members"][1]["id"], "-c", "shop", "--add", "mine").code == 0
    done = shop("duplicates", "delete", "-c", "shop", "--yes", "--json").json
    assert (done["deleted"], done["merged"]) == (2, 1)
    shown = shop("images", "show", group["keep"], "-c", "shop", "--json").json
    assert "mine" in shown["payload"]["tags"]
