from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.cli.conftest import Run


def test_the_demo_draws_indexes_searches_learns_and_is_free_the_second_time(vitrine: Run, tmp_path: Path) -> None:
    options = ("--folder", tmp_path / "out", "--count", 50)
    first = vitrine("demo", *options, "-e", "colour", "--json")
    assert first.code == 0, first.err
    assert first.json["index"]["added"] == 50
    assert [search["kind"] for search in first.json["searches"]] == [
        "picture", "text", "tag and score", "picture and class", "taggers",
    ]  # fmt: skip
    learned = first.json["learned"]
    assert learned["encoder"]["fresh"] and learned["encoder"]["metrics"].keys() == {"candidate", "trunk"}
    assert learned["taggers"]["fresh"] and 0 < learned["taggers"]["mean"] <= 1
    for search in first.json["searches"]:
        assert search["hits"][0].keys() == {"id", "similarity", "class", "design"}
        with Image.open(search["sheet"]) as sheet:
            assert sheet.format == "PNG"
    second = vitrine("demo", *options, "-e", "colour")
    assert "All 50 pictures are indexed already" in second.err
    assert "make serve" in second.out and "curl -s http://127.0.0.1:8000/v1/categories/demo/search" in second.out
    assert second.out.count("Contact sheet: ") == 5
    assert "Trained before; report" in second.out and "Training an encoder" not in second.err
    another = vitrine("demo", *options, "-e", "second=vitrine/colour", "--json")
    assert another.json["index"]["updated"] == 50
