"""``vitrine images annotate`` and ``hashtags`` on the embedded engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def shop(vitrine: Run, pictures: Path) -> Run:
    """A category of eight images: four sizes of two colours, so that every file name is there twice."""
    for colour in ("red", "blue"):
        assert (
            vitrine("index", "add", pictures / colour, "-c", "mine", "--create", "--tags", colour).code == 0
        )
    return vitrine


def test_a_table_is_joined_and_what_was_refused_is_told(shop: Run, tmp_path: Path) -> None:
    table = tmp_path / "later.csv"
    table.write_text("filename,season,post\n24.png,winter,#Snow\nlost.png,summer,\n32.png\n")
    refused = shop("images", "annotate", "-c", "mine", "-t", table)
    assert (
        refused.code == 3
        and "name several images" in refused.out
        and "row 4: 1 cells in a table of 3 columns" in refused.out
    )
    tried = shop("images", "annotate", "-c", "mine", "-t", table, "--all-of-a-name", "--dry-run", "--json")
    assert (tried.json["images"], tried.json["updated"], tried.json["dry_run"]) == (2, 2, True)
    done = shop(
        "images", "annotate", "-c", "mine", "-t", table, "--all-of-a-name", "--hashtags", "post", "--json"
    )
    assert done.json["updated"] == 2 and done.json["unmatched"] == {"rows": 1, "first": ["lost.png"]}
    assert (
        shop("images", "list", "-c", "mine", "--where", "metadata.hashtags=snow", "--json").json["count"] == 2
    )
    again = shop("images", "annotate", "-c", "mine", "-t", table, "--all-of-a-name", "--hashtags", "post")
    assert "0 updated, 2 said so already" in again.out


def test_what_is_no_table_is_refused(shop: Run, tmp_path: Path) -> None:
    assert "There is no file" in shop("images", "annotate", "-c", "mine", "-t", tmp_path / "nope.csv").err
    (tmp_path / "t.csv").write_text("season\nwinter\n")
    answer = shop("images", "annotate", "-c", "mine", "-t", tmp_path / "t.csv", "--json")
    assert answer.code == 1 and answer.json["error"]["code"] == "bad_source"
    assert shop("images", "annotate", "-c", "mine", "-t", tmp_path / "t.csv", "--on", "nose").code == 1


def test_hashtags_of_stored_text_can_be_counted(shop: Run, tmp_path: Path) -> None:
    ids = [image["id"] for image in shop("images", "list", "-c", "mine", "--json").json["hits"]]
    for id in ids[:3]:
        shop("images", "tag", id, "-c", "mine", "--caption", "At the #Beach")
    found = shop("images", "hashtags", "-c", "mine", "--from", "caption", "--json")
    assert (found.json["updated"], found.json["hashtags"]) == (3, [{"value": "beach", "count": 3}])
    assert "0 updated" in shop("images", "hashtags", "-c", "mine", "--from", "caption").out
    counted = shop("images", "facets", "metadata.hashtags", "-c", "mine", "--json").json["values"]
    assert counted == [{"value": "beach", "count": 3}]
    assert shop("images", "hashtags", "-c", "mine", "--from", "tags").code == 1


def test_new_images_get_theirs_as_they_are_indexed(vitrine: Run, pictures: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("file,post\n24.png,A #Small one\n")
    options = ("--metadata", table, "--hashtags", "post", "--create")
    assert vitrine("index", "add", pictures / "red", "-c", "mine", *options).code == 0
    assert (
        vitrine("images", "list", "-c", "mine", "--where", "metadata.hashtags=small", "--json").json["count"]
        == 1
    )
    assert "no table" in vitrine("index", "add", pictures / "red", "-c", "mine", "--hashtags", "post").err
