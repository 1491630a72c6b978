"""``vitrine images previews`` on the embedded engine."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


def test_thumbnails_are_made_and_counted(vitrine: Run, pictures: Path) -> None:
    assert vitrine("index", "add", pictures / "red", "-c", "mine", "--create").code == 0
    done = vitrine("images", "previews", "-c", "mine", "--widths", "160,320", "--json")
    assert (done.code, done.json["status"]) == (0, "complete")
    assert (done.json["images"], done.json["filled"], done.json["thumbnails"]) == (4, 0, 8)
    again = vitrine("images", "previews", "-c", "mine", "--widths", "160", "--again")
    assert "4 of 4 images got a colour and a blur, 4 thumbnails made." in again.out
    shown = vitrine("images", "list", "-c", "mine", "--json").json["hits"][0]["payload"]
    assert shown["colour"].startswith("#") and len(shown["blur"]) == 28
    missing = vitrine("images", "previews", "-c", "none")
    assert missing.code != 0 and "no category 'none'" in missing.err
