"""Who can use Home, Search and an image: by a key for reading, by keys alone, on a phone, with any eyes."""

from __future__ import annotations

import re

import pytest

from tests.page.conftest import KEYS, Open, Start
from tests.page.support.axe import axe
from tests.page.support.grid import grid, number_of_images, tile

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Page, expect


def focus(page: Page) -> str:
    """What has the focus, by its label or text."""
    found = page.evaluate(
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()"
    )
    return str(found)


def test_a_key_for_reading_is_offered_no_changes(open_page: Open, start_site: Start) -> None:
    page = open_page(start_site(keys=True))
    page.goto("/")
    page.get_by_label("Key", exact=True).fill(KEYS["read"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="shop 48 images")).to_be_visible()
    expect(page.get_by_label("Pictures or a zip archive")).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("^Delete"))).to_have_count(0)
    page.get_by_role("link", name="shop 48 images").click()
    page.get_by_label("Ask in words").fill("a lamp")
    page.keyboard.press("Enter")
    expect(number_of_images(page)).to_have_text(re.compile("^48 images"))
    expect(page.get_by_role("button", name="Save search")).to_have_count(0)
    tile(page, 1).click()
    panel = page.get_by_role("complementary", name=re.compile("^Image "))
    expect(panel.get_by_label("Tags")).to_contain_text("background")
    for offered in ("button", "textbox", "combobox"):
        expect(panel.get_by_role(offered, name=re.compile("Take away|Tag|Class|Caption"))).to_have_count(0)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    tray = page.get_by_role("toolbar", name="What is chosen")
    expect(tray).to_contain_text("1 selected")
    expect(tray.get_by_role("button", name=re.compile("^(Tag|Delete)"))).to_have_count(0)
    page.keyboard.press("t")
    page.keyboard.press("Delete")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.request.get("/v1/categories/shop").json()["images"] == 48


def test_search_is_used_by_keys_alone(page: Page) -> None:
    page.goto("/c/shop/search")
    expect(tile(page, 1)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("a chair")
    page.keyboard.press("Enter")
    expect(tile(page, 1)).to_have_accessible_name(re.compile("similarity"))
    passed = []
    while not focus(page).endswith("pictures"):  # from the box by Tab to the pictures
        page.keyboard.press("Tab")
        passed.append(focus(page))
        assert len(passed) < 20, passed
    assert {"Picture: choose files", "Variety", "Copy as code", "Save search"} <= set(passed)
    chosen = grid(page)
    expect(chosen).to_have_attribute("aria-activedescendant", "tile-0")
    page.keyboard.press("ArrowRight")
    expect(chosen).to_have_attribute("aria-activedescendant", "tile-1")
    page.keyboard.press("ArrowDown")
    expect(chosen).not_to_have_attribute("aria-activedescendant", "tile-1")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+x")
    expect(page.get_by_role("toolbar", name="What is chosen")).to_contain_text("3 selected")
    for number in (1, 2, 3):
        expect(tile(page, number)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(page.get_by_role("toolbar", name="What is chosen")).to_have_count(0)
    page.keyboard.press("End")
    expect(tile(page, 48)).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="48 of 48")).to_be_visible()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    for does in ("Ask in words", "Choose it, or no longer", "Close the image", "Choose all of this query"):
        expect(keys).to_contain_text(does)
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    expect(page.get_by_role("heading", name="48 of 48")).to_be_visible()


def test_keys_do_nothing_in_fields(page: Page) -> None:
    page.goto("/c/shop/search")
    expect(tile(page, 1)).to_be_visible()
    page.keyboard.press("ArrowRight")
    words = page.get_by_label("Ask in words")
    words.focus()
    page.keyboard.type("x?/+- nmet")
    expect(words).to_have_value("x?/+- nmet")
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("toolbar", name="What is chosen")).to_have_count(0)
    expect(grid(page)).to_have_attribute("aria-activedescendant", "tile-0")
    expect(page).to_have_url(re.compile("/c/shop/search$"))
    page.get_by_label("Find in Tags").press("x")
    expect(page.get_by_role("toolbar", name="What is chosen")).to_have_count(0)


def test_a_dialog_has_the_keys_to_itself(page: Page) -> None:
    page.goto("/c/shop/search")
    expect(tile(page, 1)).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("toolbar", name="What is chosen")).to_have_count(0)
    expect(grid(page)).to_have_attribute("aria-activedescendant", "tile-0")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", ["desk", "phone"])
def test_everybody_can_use_search(page: Page) -> None:
    listed = page.request.get("/v1/categories/shop/images?limit=2").json()["hits"]
    like, unlike = (one["id"] for one in listed)
    page.goto(f"/c/shop/search?q=large&like={like}&unlike={unlike}&tags=green&tags.none=pink%20background")
    expect(tile(page, 1)).to_be_visible()
    expect(page.locator("svg[aria-label=Similarity]")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    expect(page.get_by_role("toolbar", name="What is chosen")).to_be_visible()
    axe(page)
    page.goto("/c/shop/search?class=lamp&class.none=lamp")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    axe(page)


@pytest.mark.parametrize("viewport", ["phone", "narrow"])
def test_search_is_used_on_a_phone(page: Page) -> None:
    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("document.querySelector('main').scrollWidth <= innerWidth")

    page.goto("/c/shop/search")
    expect(tile(page, 1)).to_be_visible()
    for link in page.get_by_role("navigation", name="Pages").get_by_role("link").all():
        expect(link).to_be_in_viewport(ratio=1)
    fits()
    page.get_by_label("Ask in words").fill("a lamp")
    page.keyboard.press("Enter")
    expect(tile(page, 1)).to_have_accessible_name(re.compile("similarity"))
    page.get_by_role("button", name="Narrow down").click()
    page.get_by_role("button", name=re.compile("^lamp 6")).click()
    fits()
    page.get_by_role("button", name="Show pictures").click()
    expect(number_of_images(page)).to_have_text(re.compile("^6 images"))
    expect(page.get_by_role("button", name="Take away: class is lamp")).to_be_visible()
    fits()
    tile(page, 2).click()
    expect(page.get_by_role("heading", name="lamp 2 of 6")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Narrow down")).to_be_hidden()
    fits()
    page.get_by_role("button", name="Look at it large").click()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("dialog", name="Picture 3 of 6")).to_be_visible()
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_role("button", name="Close the image").click()
    expect(tile(page, 6)).to_be_in_viewport()
    fits()


@pytest.mark.parametrize("viewport", ["desk", "phone"])
def test_nothing_moves_while_pictures_load(page: Page) -> None:
    page.add_init_script(
        "window.moved = [];"
        "new PerformanceObserver((list) => { for (const one of list.getEntries()) moved.push("
        "  [one.value, one.sources.map((source) => source.node?.outerHTML?.slice(0, 60)).join()]"
        ") }).observe({ type: 'layout-shift', buffered: true });"
    )
    page.goto("/c/shop/search")
    expect(tile(page, 1)).to_be_visible()
    expect(tile(page, 1).locator("img")).to_have_css("opacity", "1")
    for number in range(2, 12):
        expect(tile(page, number).locator("img")).to_have_css("opacity", "1")
    expect(page.get_by_role("button", name="shop 48")).to_be_visible()
    moved = page.evaluate("moved")
    assert not [nodes for _, nodes in moved if re.search("grid|tile", nodes)]
    assert sum(value for value, _ in moved) < 0.005, moved
