"""Narrowing an answer down: facets, histograms, chips, order, copies. And keeping the question for later."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.page.support.axe import axe
from tests.page.support.grid import number_of_images, tile

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Locator, Page, expect


def images(page: Page) -> list[dict[str, Any]]:
    """What is known of each image of the shop."""
    return [hit["payload"] for hit in page.request.get("/v1/categories/shop/images?limit=100").json()["hits"]]


def section(page: Page, title: str) -> Locator:
    column = page.get_by_role("complementary", name="Narrow down")
    return column.locator("section").filter(has=page.locator("h3", has_text=title))


def value(page: Page, title: str, name: str) -> Locator:
    """A value of a facet."""
    return section(page, title).get_by_role("button", name=re.compile(rf"^{name}( \(without\))? *\d+$"))


def expect_images(page: Page, number: int) -> None:
    expect(number_of_images(page)).to_have_text(re.compile(rf"^{number} images?\b"))


def test_a_click_asks_for_any_again_for_all_with_alt_for_none(page: Page) -> None:
    page.goto("/c/shop/search")
    tags = [set(image["tags"]) for image in images(page)]
    green, plain = (value(page, "Tags", name) for name in ("green", "plain"))
    green.click()
    expect_images(page, sum("green" in each for each in tags))
    expect(green).to_have_attribute("aria-pressed", "true")
    plain.click()
    expect_images(page, sum(bool({"green", "plain"} & each) for each in tags))
    expect(page).to_have_url(re.compile(r"\?tags=green&tags=plain$"))
    green.click()
    expect_images(page, sum({"green", "plain"} <= each for each in tags))
    expect(page).to_have_url(re.compile(r"\?tags=plain&tags\.all=green$"))
    green.click()
    expect_images(page, sum("plain" in each for each in tags))
    green.click(modifiers=["Alt"])
    expect_images(page, sum("plain" in each and "green" not in each for each in tags))
    expect(green).to_have_attribute("aria-pressed", "mixed")
    expect(green).to_have_accessible_name(re.compile(r"green \(without\)"))
    green.click(modifiers=["Alt"])
    plain.click()  # all of it
    plain.click()
    expect_images(page, len(tags))
    expect(page).to_have_url(re.compile("/c/shop/search$"))


def test_counts_are_those_of_the_question(page: Page) -> None:
    page.goto("/c/shop/search?tags=brown")
    brown = [image["class"] for image in images(page) if "brown" in image["tags"]]
    for name in set(brown):
        expect(value(page, "Class", name)).to_have_text(re.compile(rf"{name} *{brown.count(name)}$"))
    value(page, "Class", "leaf").click()
    expect_images(page, brown.count("leaf"))
    value(page, "Class", "leaf").click()  # an image has one class: again takes it away
    expect_images(page, len(brown))


def test_values_are_found_and_fields_shown(page: Page) -> None:
    page.goto("/c/shop/search")
    expect(value(page, "Tags", "large")).to_be_visible()
    page.get_by_label("Find in Tags").fill("BACKGROUND")
    expect(value(page, "Tags", "large")).to_be_hidden()
    expect(value(page, "Tags", "pink background")).to_be_visible()
    section(page, "Tags").get_by_role("button", name="More values").click()
    expect(value(page, "Tags", "green background")).to_be_visible()
    value(page, "Tags", "pink background").click()
    expect(page).to_have_url(re.compile("tags="))
    expect(value(page, "Tags", "pink background")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name=re.compile("^Take away")).click()
    expect(value(page, "Tags", "green background")).to_be_visible()  # more values stay
    page.get_by_role("button", name="Show Design no longer").click()
    expect(section(page, "Design")).to_be_hidden()
    page.get_by_label("Narrow down by another field").select_option("Score of Green")
    expect(page.get_by_role("slider", name="Green: at least")).to_be_visible()
    page.reload()
    expect(page.get_by_role("slider", name="Green: at least")).to_be_visible()
    expect(section(page, "Design")).to_be_hidden()


def test_a_histogram_is_dragged(page: Page) -> None:
    page.goto("/c/shop/search")
    prices = [image["metadata"]["price"] for image in images(page)]
    bars = section(page, "Price").get_by_role("group", name="Price")
    bars.scroll_into_view_if_needed()
    drag(page, bars, 0.02, 0.4)
    least = bound(page, "gte")
    assert min(prices) < least < max(prices)
    expect_images(page, sum(price >= least for price in prices))
    expect(page.get_by_role("slider", name="Price: at least")).to_have_attribute(
        "aria-valuenow", re.compile(rf"^{least:g}")
    )
    drag(page, bars, 0.98, 0.7)
    most = bound(page, "lte")
    assert least < most < max(prices)
    expect_images(page, sum(least <= price <= most for price in prices))
    expect(section(page, "Price").locator("h3")).to_contain_text(" to ")
    drag(page, bars, 0.4, 0)  # at the edge there is no bound
    expect(page).not_to_have_url(re.compile("gte"))
    expect_images(page, sum(price <= most for price in prices))


def drag(page: Page, bars: Locator, start: float, end: float) -> None:
    box = bars.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], y, steps=4)
    page.mouse.up()


def bound(page: Page, end: str) -> float:
    expect(page).to_have_url(re.compile(rf"metadata\.price\.{end}=[\d.]+"))
    found = re.search(rf"metadata\.price\.{end}=([\d.]+)", page.url)
    assert found
    return float(found[1])


def test_a_histogram_is_moved_by_keys(page: Page) -> None:
    page.goto("/c/shop/search")
    prices = [image["metadata"]["price"] for image in images(page)]
    lower = page.get_by_role("slider", name="Price: at least")
    lower.focus()
    page.keyboard.press("ArrowRight")
    one = bound(page, "gte")
    expect_images(page, sum(price >= one for price in prices))
    page.keyboard.press("PageUp")
    expect(lower).not_to_have_attribute("aria-valuenow", f"{one:g}")
    expect(page).not_to_have_url(re.compile(rf"\.gte={one:g}(&|$)"))
    assert bound(page, "gte") > one
    expect(lower).to_be_focused()
    page.keyboard.press("Home")
    expect(page).not_to_have_url(re.compile("gte"))
    expect_images(page, len(prices))
    page.keyboard.press("Tab")
    expect(page.get_by_role("slider", name="Price: at most")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    most = bound(page, "lte")
    expect_images(page, sum(price <= most for price in prices))


def test_only_what_is_near_enough(page: Page) -> None:
    page.goto("/c/shop/search?q=a%20lamp")
    expect_images(page, 48)
    bars = page.get_by_role("group", name="Similarity")
    drag(page, bars, 0.02, 0.9)
    expect(page).to_have_url(re.compile(r"least=0\.\d+$"))
    chip = page.get_by_role("button", name=re.compile("^Take away: similarity ≥ 0"))
    expect(chip).to_be_visible()
    expect(number_of_images(page)).not_to_have_text(re.compile("^48 images"))
    chip.click()
    expect_images(page, 48)


def test_chips_are_taken_away_one_by_one(page: Page) -> None:
    page.goto(
        "/c/shop/search?class=leaf&class=lamp&tags.all=green&tags.none=large"
        "&metadata.year.gte=2016&metadata.year.lte=2022"
    )
    away = page.get_by_role("button", name="Take away: ")
    told = ["class is leaf or lamp", "tags has green", "tags is not large", "year ≥ 2016", "year ≤ 2022"]
    numbers = []
    while told:
        expect(away).to_have_count(len(told))
        assert [one.get_attribute("aria-label") for one in away.all()] == [
            f"Take away: {one}" for one in told
        ]
        expect(number_of_images(page)).to_be_visible()
        numbers.append(int(number_of_images(page).inner_text().split()[0]))
        away.last.click()
        told.pop()
    expect(away).to_have_count(0)
    expect_images(page, 48)
    assert numbers == sorted(numbers)
    assert numbers[0] < 16


def test_the_order_is_chosen(page: Page) -> None:
    page.goto("/c/shop/search")
    page.get_by_label("Order").select_option("Price, rising")
    expect(page).to_have_url(re.compile(r"sort=metadata\.price$"))
    cheapest = min(images(page), key=lambda image: image["metadata"]["price"])
    expect(page.get_by_label("Order")).to_have_value("metadata.price")
    tile(page, 1).click()
    expect(page.get_by_role("link", name=cheapest["filename"])).to_be_visible()


def test_one_of_each_copy(page: Page) -> None:
    page.goto("/c/shop/search?q=a%20chair")
    expect_images(page, 48)
    collapse = page.get_by_label("One of each copy")
    collapse.check()
    copies = page.request.get("/v1/categories/shop/duplicates").json()["kinds"]["resized"]
    assert copies > 0
    expect_images(page, 48 - copies)
    expect(page.get_by_role("option", name=re.compile("1 copy left out")).first).to_contain_text("+1")
    page.get_by_role("button", name="Take away: without copies").click()
    expect_images(page, 48)
    expect(collapse).not_to_be_checked()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_search_is_saved_opened_and_forgotten(own_page: Page) -> None:
    page = own_page
    page.goto("/c/shop/search?q=a%20hat&tags=blue")
    expect(page.get_by_role("button", name="Saved")).to_be_hidden()
    page.get_by_role("button", name="Save search").click()
    page.get_by_role("dialog", name="Save this search").get_by_label("Name").fill("Blue hats")
    axe(page)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved as Blue hats.")).to_be_visible()
    page.goto("/c/shop/search")
    expect_images(page, 48)
    page.get_by_role("button", name="Saved").click()
    axe(page)
    page.get_by_role("menuitem", name="Blue hats", exact=True).click()
    expect(page).to_have_url(re.compile(r"\?q=a\+hat&tags=blue$"))
    expect(page.get_by_label("Ask in words")).to_have_value("a hat")
    page.get_by_role("button", name="Saved").click()
    page.get_by_role("menuitem", name="Forget Blue hats").click()
    expect(page.get_by_text("Forgot Blue hats.")).to_be_visible()
    expect(page.get_by_role("button", name="Saved")).to_be_hidden()
    assert page.request.get("/v1/categories/shop/saved").json()["saved"] == []


def test_the_question_as_code(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/c/shop/search?q=it%27s%20large&tags=green&metadata.price.gte=20")
    expect(tile(page, 1)).to_be_visible()
    number = int(number_of_images(page).inner_text().split()[0])
    asked = {
        "curl": ["/v1/categories/shop/search", '"green"', '"gte": 20'],
        "CLI": ["vitrine search -c shop", "--any-tag green", "--where metadata.price.gte=20"],
        "Python": ['v["shop"].search(', 'any_tags=["green"]', '"metadata.price.gte":20', '"it\'s large"'],
    }
    for language, parts in asked.items():
        page.get_by_role("button", name="Copy as code").click()
        page.get_by_role("tab", name=language).click()
        axe(page)
        page.get_by_role("button", name="Copy", exact=True).click()
        expect(page.get_by_text("Copied.").last).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        for part in parts:
            assert part in copied
        if language == "curl":
            words = shlex.split(copied)
            answer = page.request.post(urlsplit(words[1]).path, data=json.loads(words[words.index("-d") + 1]))
            assert len(answer.json()["hits"]) == number
        elif language == "CLI":
            assert "it's large" in shlex.split(copied)
