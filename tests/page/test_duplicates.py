"""Near-duplicates on the page: looked at, decided, taken back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.page.conftest import KEYS, Open, Start
from tests.page.support.axe import axe
from tests.page.test_session import sign_in

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Page, expect

PATH = "/c/shop/duplicates"
API = "/v1/categories/shop/duplicates"


def groups(page: Page) -> list[dict[str, Any]]:
    """What the API says of the groups."""
    answer = page.request.get(f"{API}/groups")
    found: list[dict[str, Any]] = answer.json()["groups"]
    return found


def shown(page: Page, group: str) -> None:
    """Wait until the page shows a group."""
    expect(page.get_by_role("region", name=f"Group {group}", exact=True)).to_be_visible()


def test_what_is_kept_is_chosen_with_its_reason_and_the_differences(page: Page) -> None:
    first = groups(page)[0]
    page.goto(PATH)
    shown(page, first["id"])
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"One of .+ is kept: .+"))
    expect(page.get_by_alt_text("The image to keep")).to_have_attribute("src", re.compile(first["keep"]))
    kept, other = (member["payload"] for member in first["members"][:2])
    sizes = page.get_by_role("row", name="Size")
    expect(sizes).to_contain_text(f"{kept['width']} × {kept['height']}")
    if kept["width"] != other["width"]:
        expect(sizes).to_contain_text(f"{other['width']} × {other['height']}")
    expect(page.get_by_role("row", name="File")).to_contain_text(Path(other["filename"]).name)


def test_space_held_shows_both_in_one_place(page: Page) -> None:
    page.goto(PATH)
    kept, other = page.get_by_alt_text("The image to keep"), page.get_by_alt_text("The other image")
    expect(kept).to_be_visible()
    apart = kept.bounding_box(), other.bounding_box()
    page.keyboard.down("Space")
    expect(kept).not_to_be_visible()  # less motion is asked for: the other one alone, while space is held
    expect(other).to_be_visible()
    assert other.bounding_box() not in apart
    page.keyboard.up("Space")
    expect(kept).to_be_visible()


def test_keys_go_through_the_groups_and_the_address_says_where(page: Page) -> None:
    first, second, *_ = groups(page)
    page.goto(PATH)
    shown(page, first["id"])
    page.keyboard.press("ArrowDown")
    shown(page, second["id"])
    expect(page).to_have_url(re.compile(f"{PATH}/{second['id']}$"))
    page.reload()
    shown(page, second["id"])
    page.keyboard.press("ArrowUp")
    shown(page, first["id"])


def test_the_other_image_can_be_kept(page: Page) -> None:
    first = groups(page)[0]
    page.goto(PATH)
    shown(page, first["id"])
    page.keyboard.press("c")
    other = first["members"][1]["id"]
    expect(page.get_by_alt_text("The image to keep")).to_have_attribute("src", re.compile(other))
    expect(page.get_by_role("heading", level=1)).to_contain_text("your choice")


def test_keep_moves_the_copies_and_z_brings_them_back(own_page: Page) -> None:
    page = own_page
    before = groups(page)
    page.goto(PATH)
    shown(page, before[0]["id"])
    page.keyboard.press("k")
    shown(page, before[1]["id"])
    expect(page.get_by_text(re.compile("moved to the bin")).first).to_be_visible()
    assert [group["id"] for group in groups(page)] == [group["id"] for group in before[1:]]
    gone = before[0]["members"][1]["id"]
    assert page.request.get(f"/v1/categories/shop/images/{gone}").status == 404
    page.keyboard.press("z")
    shown(page, before[0]["id"])
    assert groups(page) == before


def test_a_copy_is_dismissed_for_good(own_page: Page) -> None:
    page = own_page
    before = groups(page)
    page.goto(PATH)
    shown(page, before[0]["id"])
    page.keyboard.press("d")
    shown(page, before[1]["id"])
    expect(page.get_by_text("Dismissed: no later search puts them together")).to_be_visible()
    assert page.request.get(API).json()["dismissed"] >= 1
    page.get_by_role("button", name="Undo").click()
    shown(page, before[0]["id"])
    assert page.request.get(API).json()["dismissed"] == 0


def test_all_of_a_kind_are_accepted_after_an_overview(own_page: Page) -> None:
    page = own_page
    kinds = page.request.get(API).json()["kinds"]
    before = page.request.get("/v1/categories/shop").json()["images"]
    kind, name = ("resized", "Resized") if "resized" in kinds else ("identical", "Saved again")
    page.goto(PATH)
    page.get_by_role("button", name=f"{name} {kinds[kind]}").click()
    page.get_by_role("button", name=f"Accept all {kinds[kind]}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_alt_text("Stays").first).to_be_visible()
    dialog.get_by_role("button", name=re.compile(r"^Move \d+ cop")).click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    after = page.request.get("/v1/categories/shop").json()["images"]
    assert 0 < before - after <= kinds[kind]
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text(re.compile("^Undone"))).to_be_visible()
    assert page.request.get("/v1/categories/shop").json()["images"] == before


def test_a_category_without_a_search_says_how_to_make_one(page: Page, faults: Any) -> None:
    page.goto("/c/cards/duplicates")
    expect(page.get_by_text("vitrine duplicates find -c cards")).to_be_visible()
    faults.expect(r"status of 404.*/duplicates")


def test_a_key_for_reading_decides_nothing(open_page: Open, start_site: Start) -> None:
    page = open_page(start_site(keys=True))
    page.goto(PATH)
    sign_in(page, KEYS["read"])
    expect(page.get_by_alt_text("The image to keep")).to_be_visible()
    expect(page.get_by_role("button", name="No duplicates")).to_have_count(0)
    before = groups(page)
    for key in ("k", "d", "c"):
        page.keyboard.press(key)
    assert groups(page) == before


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", ["desk", "phone"])
def test_everyone_can_use_it(page: Page, theme: Literal["light", "dark"], viewport: str) -> None:
    page.goto(PATH)
    expect(page.get_by_alt_text("The image to keep")).to_be_visible()
    axe(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
