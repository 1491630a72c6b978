"""The page of tags: what taggers are worth, images in a range of scores, and changing a tag everywhere."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.page.support.axe import axe
from tests.page.support.grid import number_of_images
from tests.page.support.shop import TAGGERS

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Locator, Page, expect

BROWN = "/c/shop/tags/brown"
API = "/v1/categories/shop"


def counts(page: Page) -> dict[str, int]:
    """How many images have each tag, by the API."""
    values = page.request.get(f"{API}/facets/tags?limit=1000").json()["values"]
    return {one["value"]: one["count"] for one in values}


def listed(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Tags").get_by_role("listitem")


def scored(page: Page, **bounds: float) -> list[str]:
    """Images whose score of brown lies in a range, the highest first."""
    query = {f"score.brown.{end}": value for end, value in bounds.items()}
    params: dict[str, Any] = {"limit": 100, "order_by": "scores.brown", "descending": "true", **query}
    hits = page.request.get(f"{API}/images", params=params).json()["hits"]
    return [hit["id"] for hit in hits]


def expect_in_range(page: Page, ids: list[str]) -> None:
    expect(page.locator(".range-line b")).to_have_text(str(len(ids)))
    links = page.locator(".in-range a")
    expect(links).to_have_count(len(ids))
    shown = links.evaluate_all("(links) => links.map((link) => link.href.split('/').at(-1))")
    assert sorted(shown) == sorted(ids)


def test_tags_are_listed_with_their_images_and_taggers(page: Page) -> None:
    page.goto("/c/shop/tags")
    expect(page.get_by_text("Choose a tag")).to_be_visible()
    tags = counts(page)
    taggers = {one["tag"]: one for one in page.request.get(f"{API}/taggers").json()["taggers"]}
    assert set(taggers) == set(TAGGERS)
    expect(listed(page)).to_have_count(len(tags))
    for tag in (*TAGGERS, "leaf"):
        worth = f"{taggers[tag]['metrics']['average_precision']:.2f}" if tag in taggers else ""
        line = listed(page).filter(has=page.get_by_text(tag, exact=True))
        expect(line).to_have_text(f"{tag}{worth}{tags[tag]}")


def test_a_tagger_shows_its_curve_and_how_its_scores_lie(page: Page) -> None:
    page.goto("/c/shop/tags")
    listed(page).get_by_text("brown", exact=True).click()
    detail = page.get_by_role("region", name="Tag brown")
    tagger = page.request.get(f"{API}/taggers/brown").json()
    metrics = tagger["metrics"]
    expect(detail.get_by_role("img", name=re.compile(r"Precision over recall, \d+ points"))).to_be_visible()
    expect(detail.locator("dl")).to_contain_text(f"Average precision{metrics['average_precision']:.2f}")
    expect(detail.locator("dl")).to_contain_text(
        f"precision {metrics['precision']:.2f}, recall {metrics['recall']:.2f}"
    )
    expect(detail.locator("dl")).to_contain_text(f"Threshold{tagger['threshold']:.2f}")
    examples = tagger["examples"]
    expect(detail.locator("dl")).to_contain_text(
        f"{examples['positives']} with it, {examples['negatives']} without"
    )
    bars = detail.get_by_role("group", name="Score of brown").locator("rect title")
    expect(bars).to_have_count(40)
    told = [text.rsplit(": ", 1)[1] for text in bars.all_text_contents()]
    histogram = page.request.get(f"{API}/histograms/scores.brown?bins=40").json()["bins"]
    assert [int(text) for text in told] == [one["count"] for one in histogram]
    expect_in_range(page, scored(page))


def test_a_range_that_is_dragged_shows_its_pictures(page: Page) -> None:
    page.goto(BROWN)
    bars = page.get_by_role("group", name="Score of brown")
    box = bars.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    for start, end, says in ((0.02, 0.35, "from="), (0.98, 0.9, "to=")):  # the lower end, then the upper one
        page.mouse.move(box["x"] + start * box["width"], middle)
        page.mouse.down()
        page.mouse.move(box["x"] + end * box["width"], middle, steps=3)
        page.mouse.up()
        expect(page).to_have_url(re.compile(rf"\b{says}"))
    query = parse_qs(urlsplit(page.url).query)
    lower, upper = float(query["from"][0]), float(query["to"][0])
    assert (lower, upper) == pytest.approx((0.35, 0.9), abs=0.01)
    found = scored(page, gte=lower, lte=upper)
    assert 0 < len(found) < 48
    expect_in_range(page, found)
    expect(page.get_by_text(f"images score {lower:.2f} to {upper:.2f}")).to_be_visible()
    page.reload()
    expect_in_range(page, found)
    page.get_by_role("link", name="As a search").click()
    expect(number_of_images(page)).to_contain_text(f"{len(found)} images")


def test_the_ends_of_the_range_are_moved_by_keys(page: Page) -> None:
    page.goto(BROWN)
    lower = page.get_by_role("slider", name="Score of brown: at least")
    lower.focus()
    page.keyboard.press("PageUp")
    expect(page).to_have_url(re.compile(r"from=0\.1$"))
    expect_in_range(page, scored(page, gte=0.1))
    page.keyboard.press("Home")
    expect(page).to_have_url(re.compile("/tags/brown$"))
    size = lower.bounding_box()
    assert size is not None and size["width"] == pytest.approx(size["height"], abs=1)  # round, however wide


def test_tags_are_found_by_a_word(page: Page) -> None:
    tags = counts(page)
    page.goto("/c/shop/tags")
    field = page.get_by_label("Find or make a tag")
    field.fill("GR")
    expect(listed(page)).to_have_count(sum("gr" in tag for tag in tags))
    label = page.get_by_role("link", name="Label GR")  # not one of them
    expect(label).to_have_attribute("href", "/c/shop/label/GR")
    field.fill("brown")
    expect(page.get_by_role("link", name="Label brown")).to_have_count(0)
    field.press("Enter")
    expect(page).to_have_url(re.compile("/tags/brown$"))


def test_a_tag_without_a_tagger(page: Page) -> None:
    page.goto("/c/shop/tags/leaf")
    detail = page.get_by_role("region", name="Tag leaf")
    expect(detail).to_contain_text(f"{counts(page)['leaf']} images")
    expect(detail).to_contain_text("No tagger yet")
    detail.get_by_role("link", name="See them").click()
    expect(number_of_images(page)).to_contain_text(f"{counts(page)['leaf']} images")
    page.go_back()
    detail.get_by_role("link", name="Label").click()
    expect(page).to_have_url(re.compile("/c/shop/label/leaf$"))


def test_a_tag_is_renamed_and_taken_away_and_both_are_undone(own_page: Page) -> None:
    own_page.goto("/c/shop/tags/leaf")
    before = counts(own_page)
    said = own_page.get_by_role("status")
    own_page.get_by_role("button", name="Rename or merge").click()
    own_page.get_by_label("New name").fill("foliage")
    own_page.keyboard.press("Enter")
    expect(own_page.get_by_role("heading", name="foliage")).to_be_visible()
    expect(said).to_contain_text(f"leaf is foliage now, on {before['leaf']} images")
    assert counts(own_page).get("foliage") == before["leaf"]
    own_page.get_by_role("button", name="Take away everywhere").click()
    expect(said).to_contain_text(f"Took foliage from {before['leaf']} images")
    expect(own_page.get_by_text("Choose a tag")).to_be_visible()
    assert not {"leaf", "foliage"} & set(counts(own_page))
    own_page.keyboard.press("z")
    expect(own_page.get_by_role("heading", name="foliage")).to_be_visible()
    own_page.keyboard.press("z")
    expect(listed(own_page).filter(has=own_page.get_by_text("leaf", exact=True))).to_be_visible()
    assert counts(own_page) == before


def test_a_category_without_tags(page: Page) -> None:
    page.goto("/c/cards/tags")
    expect(page.get_by_text("No tags yet")).to_be_visible()
    axe(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", ["desk", "phone"])
def test_everybody_can_use_the_page(page: Page) -> None:
    page.goto(f"{BROWN}?from=0.5")
    expect(page.locator(".in-range a").first).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    pages = page.get_by_role("navigation", name="Pages")
    expect(pages.get_by_role("link", name="Tags")).to_be_in_viewport(ratio=1)  # also where not all have room
    axe(page)
    page.get_by_role("button", name="Rename or merge").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    axe(page)
