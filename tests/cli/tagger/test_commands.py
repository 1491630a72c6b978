from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import SIZES, Run


@pytest.fixture
def shop(vitrine: Run, pictures: Path) -> Run:
    """The twelve pictures, each tagged with its colour; ``few`` is on one of them."""
    rows = []
    for colour in ("red", "blue", "green"):
        for size in SIZES:
            more = "|few" if (colour, size) == ("red", SIZES[0]) else ""
            rows.append(f"{colour}/{size}.png,{colour},{colour}{more}")
    manifest = Path("manifest.csv")
    manifest.write_text("\n".join(["path,class,tags", *rows]))
    vitrine("index", "add", manifest, "-c", "shop", "--create", "--root", pictures)
    return vitrine


def test_all_tags_are_trained_reported_listed_and_shown(shop: Run, tmp_path: Path) -> None:
    trained = shop(
        "tagger",
        "train",
        "-c",
        "shop",
        "--min-examples",
        3,
        "--to",
        tmp_path / "report",
        "--no-plots",
        "--json",
    )
    assert trained.code == 0, trained.err
    assert {row["tag"] for row in trained.json["taggers"]} == {"red", "blue", "green"}
    assert "few" in trained.json["skipped"]
    assert json.loads((tmp_path / "report" / "report.json").read_text())["mean_average_precision"] > 0.9
    rows = shop("tagger", "list", "-c", "shop", "--json").json
    assert [row["tag"] for row in rows] == ["blue", "green", "red"]
    assert all(row["examples"] == 12 and row["stale"] == "" and row["scored"] == "no" for row in rows)
    shown = shop("tagger", "show", "red", "-c", "shop")
    assert "average precision:" in shown.out and "scores with the tag" in shown.out
    measured = shop("tagger", "eval", "red", "-c", "shop", "--json").json
    assert measured["same_examples"] and measured["metrics"]["positives"] == 4


def test_the_report_lies_beside_the_data_by_default(shop: Run, empty_data: Path) -> None:
    done = shop(
        "tagger", "train", "-c", "shop", "--field", "class", "--tag", "red", "--no-plots", "--min-examples", 3
    )
    assert done.code == 0 and "1 taggers in service" in done.err
    assert list((empty_data / "reports" / "taggers" / "shop").glob("*/report.md"))


def test_scores_of_a_trained_tagger_are_written_and_go_with_it(shop: Run) -> None:
    shop("tagger", "train", "-c", "shop", "--tag", "red", "--no-plots", "--min-examples", 3, "--json")
    assert shop("tagger", "score", "-c", "shop").code == 0
    assert shop("tagger", "list", "-c", "shop", "--json").json[0]["scored"] == "yes"
    assert shop("tagger", "delete", "red", "-c", "shop", input="n\n").code == 1
    assert shop("tagger", "delete", "red", "-c", "shop", "--yes").code == 0
    assert shop("tagger", "list", "-c", "shop", "--json").json == []
    assert shop("tagger", "show", "red", "-c", "shop").code == 1


def test_a_named_tag_with_too_few_images_is_an_error_that_says_so(shop: Run) -> None:
    done = shop("tagger", "train", "-c", "shop", "--tag", "few", "--json")
    assert done.code == 1 and done.json["error"]["code"] == "too_few_examples"
    assert "'few' has 1 images" in done.json["error"]["message"]
    assert (
        shop("tagger", "train", "-c", "shop", "--kind", "forest", "--min-examples", 3, "--json").json[
            "error"
        ]["code"]
        == "bad_request"
    )
