"""``vitrine backup`` on real engines: beside a program that has the data open, and into another folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, fill_shop, runner


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A data folder with the category ``shop``."""
    return fill_shop(tmp_path_factory.mktemp("shop"), pictures)


@pytest.fixture(scope="module")
def backups(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("backups")
    made = runner(shop)("backup", "create", place, "--json")
    assert (made.code, made.json["categories"]) == (0, {"shop": 12})
    return place


def test_restored_into_another_folder_it_answers_alike(shop: Path, backups: Path, tmp_path: Path) -> None:
    there, here = runner(shop), runner(tmp_path / "data")
    restored = here("backup", "restore", backups)
    assert restored.code == 0 and "shop: 12 images" in restored.out
    questions = [
        ("images", "list", "-c", "shop", "--json"),
        ("images", "facets", "tags", "-c", "shop", "--json"),
        ("search", "-c", "shop", "--where", "metadata.year.gte=2002", "--json"),
        ("category", "show", "shop", "--json"),
    ]
    before = there(*questions[0]).json
    questions += [("search", "-c", "shop", "--id", hit["id"], "--json") for hit in before["hits"][::4]]
    for asked in questions:
        theirs, ours = there(*asked).json, here(*asked).json
        for answer in (theirs, ours):
            for changing in ("timing", "updated_at", "indexed", "status"):
                answer.pop(changing, None)
        assert ours == theirs, asked


def test_beside_a_program_that_has_it_open(filled: Run, tmp_path: Path) -> None:
    made = filled("backup", "create", tmp_path / "backups", "-c", "shop", "--json")
    assert made.json["categories"] == {"shop": 12}
    listed = filled("backup", "list", tmp_path / "backups", "--json").json["backups"]
    assert [(one["backup"], one["categories"]) for one in listed] == [(made.json["backup"], {"shop": 12})]
    assert filled("backup", "verify", tmp_path / "backups", "--json").json["faults"] == []
    refused = filled("backup", "restore", tmp_path / "backups", "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "already_exists")


def test_the_place_may_come_from_the_settings(shop: Path, backups: Path) -> None:
    run = runner(shop)
    assert run("backup", "list", env={"VITRINE_BACKUPS": str(backups)}).code == 0
    nowhere = run("backup", "list", "--json", env={"VITRINE_BACKUPS": ""})
    assert (nowhere.code, nowhere.json["error"]["code"]) == (1, "bad_request")
    assert run("backup", "prune", backups, "--keep", "3", "--json").json["deleted"] == []


def test_a_damaged_file_ends_it_by_name(shop: Path, tmp_path: Path) -> None:
    place, here = tmp_path / "backups", runner(tmp_path / "data")
    runner(shop)("backup", "create", place)
    picture = max(place.glob("content/*/*"), key=lambda file: file.stat().st_size)
    picture.write_bytes(b"\0" * picture.stat().st_size)
    verified = here("backup", "verify", place)
    assert verified.code == 3 and picture.name in verified.out
    restored = here("backup", "restore", place)
    assert restored.code == 1 and picture.name in restored.err
    assert here("category", "list", "--json").json["categories"] == []


def test_a_mistyped_place_makes_no_data_folder(tmp_path: Path) -> None:
    assert runner(tmp_path / "data")("backup", "restore", tmp_path / "nowhere").code == 1
    assert not (tmp_path / "data").exists()


def test_a_folder_beside_the_images_holds_backups_and_one_among_them_none(shop: Path) -> None:
    assert runner(shop)("backup", "create", shop / "objects-backup").code == 0
    assert "folder of the images" in runner(shop)("backup", "create", shop / "objects" / "b").err
