from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.cli.conftest import Run


def test_the_demo_draws_indexes_and_searches_and_is_free_the_second_time(vitrine: Run, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    first = vitrine("demo", "--folder", folder, "--count", 60, "--encoder", "colour", "--json")
    assert first.code == 0, first.err
    assert first.json["index"]["added"] == 60
    assert [search["kind"] for search in first.json["searches"]] == ["picture", "text", "tag and score"]
    for search in first.json["searches"]:
        assert search["hits"][0].keys() == {"id", "similarity", "class", "design"}
        with Image.open(search["sheet"]) as sheet:
            assert sheet.format == "PNG"
    second = vitrine("demo", "--folder", folder, "--count", 60, "-e", "colour")
    assert "All 60 pictures are indexed already" in second.err
    assert "make serve" in second.out and "curl -s http://127.0.0.1:8000/v1/categories/demo/search" in second.out
    assert second.out.count("Contact sheet: ") == 3


def test_another_encoder_joins_the_category(vitrine: Run, tmp_path: Path) -> None:
    options = ("--folder", tmp_path / "out", "--count", 50, "--json")
    assert vitrine("demo", *options, "-e", "colour").json["index"]["added"] == 50
    assert vitrine("demo", *options, "-e", "second=vitrine/colour").json["index"]["updated"] == 50
    assert [spec["name"] for spec in vitrine("category", "show", "demo", "--json").json["encoders"]] == ["colour", "second"]
