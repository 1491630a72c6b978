"""What columns hold, on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "list.csv"
    path.write_text(
        "file,price,taken\n24.png,10,2019-06-01\n32.png,n/a,2022-05-01\n40.png,cheap,2024-W18-3\n48.png,30.5,NULL\n"
    )
    return path


def test_a_named_kind_refuses_other_values_by_name(vitrine: Run, pictures: Path, table: Path) -> None:
    done = vitrine(
        "index", "add", table, "--root", pictures / "red", "-c", "mine", "--create", "--column", "price:float"
    )
    assert done.code == 3 and "40.png: Column 'price' holds numbers: 'cheap' is not a number" in done.out
    assert "mean that there is no value: 1 n/a" in done.out
    listed = vitrine("images", "list", "-c", "mine", "--where", "metadata.price.gte=10", "--json").json
    assert listed["count"] == 2
    assert (
        vitrine("images", "list", "-c", "mine", "--where", "metadata.taken.lte=2022", "--json").json["count"]
        == 2
    )


def test_a_column_of_words_becomes_one_of_numbers(
    vitrine: Run, pictures: Path, table: Path, tmp_path: Path
) -> None:
    first = vitrine("index", "add", table, "--root", pictures / "red", "-c", "mine", "--create", "--json")
    assert first.code == 0 and any("'cheap' in row 4" in note for note in first.json["notes"])
    refused = vitrine("images", "list", "-c", "mine", "--where", "metadata.price.gte=10")
    assert refused.code == 1 and "holds words" in refused.err
    later = tmp_path / "later.csv"
    later.write_text("file,price\n40.png,7.5\n")
    done = vitrine("images", "annotate", "-c", "mine", "-t", later, "--column", "price:float")
    assert done.code == 0 and "Column 'price' holds numbers; values of 2 images were converted." in done.out
    assert (
        vitrine("images", "list", "-c", "mine", "--where", "metadata.price.gte=7", "--json").json["count"]
        == 3
    )


def test_edits_are_cast_or_refused(vitrine: Run, pictures: Path, table: Path) -> None:
    assert (
        vitrine(
            "index",
            "add",
            table,
            "--root",
            pictures / "red",
            "-c",
            "mine",
            "--create",
            "--column",
            "price:float",
        ).code
        == 3
    )
    (id, *_) = [hit["id"] for hit in vitrine("images", "list", "-c", "mine", "--json").json["hits"]]
    assert vitrine("images", "tag", id, "-c", "mine", "--metadata", "price=99.50").code == 0
    assert (
        vitrine("images", "list", "-c", "mine", "--where", "metadata.price=99.5", "--json").json["count"] == 1
    )
    refused = vitrine("images", "tag", id, "-c", "mine", "--metadata", "taken=last week")
    assert refused.code == 1 and "Column 'taken' holds dates: 'last week' is not a date" in refused.err
    wide = [word for n in range(70) for word in ("--metadata", f"c{n}={n}")]
    assert "no filter, order or facet finds them" in vitrine("images", "tag", id, "-c", "mine", *wide).err


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("price", "price:float"),
        ("price:money", "is not a kind of column"),
        ("prize:float", "no metadata column 'prize'"),
    ],
)
def test_what_is_no_kind_of_a_column_is_refused(
    vitrine: Run, pictures: Path, table: Path, said: str, words: str
) -> None:
    refused = vitrine(
        "index", "add", table, "--root", pictures / "red", "-c", "mine", "--create", "--column", said
    )
    assert refused.code == 1 and words in refused.err
