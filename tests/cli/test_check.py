"""``vitrine check`` and ``vitrine category rebuild``: what they print, and how they exit."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


def test_what_is_wrong_is_said_and_its_pictures_make_a_category_again(
    vitrine: Run, empty_data: Path, pictures: Path
) -> None:
    assert vitrine("index", "add", pictures, "-c", "shop", "--create").code == 0
    healthy = vitrine("check", "--json")
    assert (healthy.code, healthy.json["ok"], healthy.json["findings"]) == (0, True, [])
    assert healthy.json["images"] == 12

    file = next((empty_data / "objects/shop/images").glob("*/*/*.png"))
    file.write_bytes(b"")
    found = vitrine("check", "shop", "--json")
    (finding,) = found.json["findings"]
    assert (found.code, finding["code"], finding["repaired"]) == (3, "object_damaged", False)
    assert finding["where"] == [file.relative_to(empty_data / "objects").as_posix()]
    shown = vitrine("check", "shop", "--repair")
    assert shown.code == 3 and "object_damaged" in shown.out

    assert vitrine("category", "rebuild", "shop", input="n\n").code == 1
    again = vitrine("category", "rebuild", "shop", "--yes", "--json")
    assert (again.code, again.json["added"]) == (3, 11)  # the damaged picture is refused
    assert vitrine("check", "other").code == 1


def test_a_picture_of_other_bytes_is_no_new_image(vitrine: Run, empty_data: Path, pictures: Path) -> None:
    assert vitrine("index", "add", pictures, "-c", "shop", "--create").code == 0
    one, other = sorted((empty_data / "objects/shop/images").glob("*/*/*.png"))[:2]
    damaged = bytearray(other.read_bytes())
    damaged[-10] ^= 1
    one.write_bytes(damaged)
    added = vitrine("index", "add", "objects:shop/images/", "-c", "copy", "--create", "--json")
    assert (added.code, added.json["added"], added.json["refused"]) == (3, 11, 1)
