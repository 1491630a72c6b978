"""Home: the categories as cards, pictures that come in, a category that is made and one that is deleted."""

from __future__ import annotations

import io
import re
import zipfile

import pytest

from tests.api.helpers import COLOURS, picture
from tests.page.conftest import Open, Start
from tests.page.support.axe import axe
from tests.page.support.faults import Faults

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import FilePayload, Page, expect


def card(name: str, colour: str) -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": picture(COLOURS[colour])}


def choose(page: Page, *files: FilePayload) -> None:
    page.get_by_label("Pictures or a zip archive").set_input_files(list(files))


def add_to(page: Page, category: str) -> None:
    """Say which category the files go to: one that is there, or a new one."""
    asked = page.get_by_role("dialog", name="Into which category?")
    asked.get_by_label("Category").fill(category)
    asked.get_by_role("button", name=re.compile("^(Add to it|Make it and add)$")).click()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", ["desk", "phone"])
def test_cards_show_what_there_is(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="Collections")).to_be_visible()
    cards = page.get_by_role("article")
    expect(cards).to_have_count(2)
    shop = cards.filter(has=page.get_by_role("link", name="shop 48 images"))
    expect(shop).to_contain_text("Drawn things")
    expect(shop.locator("img")).to_have_count(5)
    expect(cards.filter(has_text="Coloured cards").locator("img")).to_have_count(3)
    axe(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="shop 48 images").click()
    expect(page).to_have_url(re.compile("/c/shop/search$"))
    page.get_by_role("link", name="Vitrine: all categories").click()
    expect(cards).to_have_count(2)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_broken_files_are_refused_by_name_and_reason(own_page: Page) -> None:
    page = own_page
    page.goto("/")
    cut = picture(COLOURS["green"])[:60]
    choose(
        page,
        card("red.png", "red"),
        {"name": "cut.png", "mimeType": "image/png", "buffer": cut},
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture at all"},
        card("blue.png", "blue"),
    )
    axe(page)
    add_to(page, "cards")
    told = page.get_by_role("region", name="Upload")
    expect(told).to_contain_text("Added to cards")
    expect(told.get_by_role("status")).to_have_text("2 images added, 2 refused")
    refused = told.get_by_role("list", name="Refused files").get_by_role("listitem")
    expect(refused).to_have_count(2)
    for name in ("cut.png", "notes.txt"):
        expect(refused.filter(has_text=name)).to_have_text(re.compile(rf"^{re.escape(name)} .{{12,}}"))
    expect(page.get_by_role("link", name="cards 5 images")).to_be_visible()
    axe(page)
    choose(page, card("again.png", "red"))
    add_to(page, "cards")
    expect(told.get_by_role("status")).to_have_text("0 images added, 1 was there already")


def test_where_all_files_are_broken_each_is_told(own_page: Page, faults: Faults) -> None:
    page = own_page
    page.goto("/")
    broken = [FilePayload(name=f"{n}.png", mimeType="image/png", buffer=b"no") for n in range(3)]
    choose(page, *broken)
    add_to(page, "cards")
    faults.expect("status of 4")
    told = page.get_by_role("region", name="Upload")
    expect(told.get_by_role("status")).to_have_text("0 images added, 3 refused")
    expect(told.get_by_role("listitem")).to_have_text([re.compile(rf"^{n}\.png .{{12,}}") for n in range(3)])
    expect(page.get_by_role("link", name="cards 3 images")).to_be_visible()


def zipped(*files: FilePayload) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._red.png", b"left out")
        for file in files:
            archive.writestr(f"pictures/{file['name']}", file["buffer"])
    return made.getvalue()


def test_an_archive_is_unpacked(own_page: Page) -> None:
    page = own_page
    page.goto("/")
    archive = zipped(card("red.png", "red"), card("blue.png", "blue"), card("green.png", "green"))
    choose(page, {"name": "cards.zip", "mimeType": "application/zip", "buffer": archive})
    add_to(page, "cards")
    told = page.get_by_role("region", name="Upload")
    expect(told.get_by_role("status")).to_have_text("3 images added")
    expect(told).to_contain_text("3 of 3")
    expect(page.get_by_role("link", name="cards 6 images")).to_be_visible()


def test_an_archive_that_is_cut_off_is_told(own_page: Page) -> None:
    page = own_page
    page.goto("/")
    archive = zipped(card("red.png", "red"))[:-40]
    choose(page, {"name": "cards.zip", "mimeType": "application/zip", "buffer": archive})
    add_to(page, "cards")
    told = page.get_by_role("region", name="Upload")
    expect(told.get_by_role("listitem")).to_have_text(re.compile("no zip archive, or its end is missing"))
    expect(told.get_by_role("status")).to_have_text("0 images added, 1 refused")


def test_the_demo_is_started_as_a_job(open_page: Open, start_site: Start) -> None:
    page = open_page(start_site(empty=True))
    page.goto("/")
    page.get_by_role("button", name="Draw one").click()
    expect(page).to_have_url(re.compile("/jobs/[0-9a-f]+$"))
    (job,) = page.request.get("/v1/jobs").json()["jobs"]
    assert (job["kind"], job["arguments"]) == ("demo", {})


def test_the_first_pictures_make_a_category(open_page: Open, start_site: Start) -> None:
    page = open_page(start_site(empty=True))
    page.goto("/")
    expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    expect(page.get_by_text("vitrine demo")).to_be_visible()
    expect(page.get_by_role("button", name="Draw one")).to_be_visible()
    axe(page)
    choose(page, card("red.png", "red"), card("blue.png", "blue"))
    asked = page.get_by_role("dialog", name="Into which category?")
    asked.get_by_label("Category").fill("holidays")
    asked.get_by_label("Encoder").select_option("colour")
    axe(page)
    asked.get_by_role("button", name="Make it and add").click()
    expect(page.get_by_role("region", name="Upload").get_by_role("status")).to_have_text("2 images added")
    page.get_by_role("link", name="holidays 2 images").click()
    expect(page.get_by_role("button", name="holidays 2")).to_be_visible()
    found = page.request.get("/v1/categories/holidays").json()
    assert [one["name"] for one in found["encoders"]] == ["colour"]


def test_a_name_that_no_category_can_have_is_not_sent(own_page: Page) -> None:
    page = own_page
    page.goto("/")
    choose(page, card("red.png", "red"))
    add_to(page, "My Holidays!")
    asked = page.get_by_role("dialog", name="Into which category?")
    expect(asked).to_be_visible()
    assert not asked.get_by_label("Category").evaluate("(field) => field.validity.valid")
    page.keyboard.press("Escape")
    expect(asked).to_be_hidden()
    assert len(page.request.get("/v1/categories").json()["categories"]) == 2


def test_deleting_a_category_asks_for_its_name(own_page: Page) -> None:
    page = own_page
    page.goto("/")
    page.get_by_role("button", name="Delete cards").click()
    asked = page.get_by_role("dialog", name="Delete cards?")
    delete = asked.get_by_role("button", name="Delete")
    expect(delete).to_be_disabled()
    asked.get_by_label("Name of the category").fill("card")
    expect(delete).to_be_disabled()
    axe(page)
    asked.get_by_label("Name of the category").fill("cards")
    delete.click()
    expect(page.get_by_text("Deleted cards.")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(1)
