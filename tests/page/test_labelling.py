"""Labelling: answers by keys, alone or nine at a time, taken back, and the tagger that learns from them."""

from __future__ import annotations

import re

import pytest

from tests.page.support.axe import axe
from tests.page.support.faults import Faults

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Locator, Page, expect

GREEN = "/c/shop/label/green"
API = "/v1/categories/shop"


def shown(page: Page) -> Locator:
    """The picture that is asked about."""
    return page.get_by_role("img", name="The image to judge")


def nine(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile(r"^Image \d is not it$"))


def id_of(picture: Locator) -> str:
    return re.findall("/images/([^/]+)/", picture.get_attribute("src") or "")[0]


def press(page: Page, keys: str) -> list[str]:
    """Answer by keys; returns the images that were asked about. The next picture is there at once."""
    asked = []
    for key in keys:
        asked.append(id_of(shown(page)))
        page.keyboard.press(key)
        expect(shown(page)).not_to_have_attribute("src", re.compile(asked[-1]))
    return asked


def having(page: Page, condition: str, tag: str = "green") -> set[str]:
    """The images with the tag, or with it rejected, by the API."""
    hits = page.request.get(f"{API}/images", params={condition: tag, "limit": 100}).json()["hits"]
    return {hit["id"] for hit in hits}


def progress(page: Page) -> Locator:
    return page.locator(".label-page").get_by_role("status")


def test_ten_answers_train_the_tagger(own_page: Page) -> None:
    tagger = own_page.request.get(f"{API}/taggers/green").json()
    before, labels = tagger["metrics"]["average_precision"], tagger["labels"]
    had = having(own_page, "tag")
    own_page.goto(GREEN)
    expect(own_page.get_by_role("heading", name="Is this green?")).to_be_visible()
    expect(own_page.get_by_text("the tagger says 0.")).to_be_visible()
    keys = "ynnsynnnnny"  # one of them is skipped
    asked = press(own_page, keys)
    assert len(set(asked)) == 11
    accepted = {id for id, key in zip(asked, keys, strict=True) if key == "y"}
    rejected = {id for id, key in zip(asked, keys, strict=True) if key == "n"}
    expect(progress(own_page)).to_contain_text("trained in")
    tagger = own_page.request.get(f"{API}/taggers/green").json()
    expect(progress(own_page)).to_have_text(
        re.compile(
            rf"^10 labels \({labels['accepted'] + 3} yes, {labels['rejected'] + 7} no in all\), "
            rf"AP {before:.2f} to {tagger['metrics']['average_precision']:.2f}, trained in [\d.]+ s$"
        )
    )
    assert len(tagger["history"]) == 2
    assert having(own_page, "tag") == had | accepted
    assert having(own_page, "rejected_tag") == rejected
    own_page.get_by_role("link", name="Done").click()
    expect(own_page.get_by_role("region", name="Tag green")).to_contain_text(f"{len(had) + 3} images")


def test_an_answer_is_taken_back(own_page: Page) -> None:
    own_page.goto(GREEN)
    had = having(own_page, "tag")
    total = progress(own_page)
    expect(own_page.get_by_role("button", name="Back")).to_be_disabled()
    first, second = press(own_page, "yn")
    expect(total).to_have_text(f"2 labels ({len(had) + 1} yes, 1 no in all)")
    own_page.keyboard.press("z")
    expect(shown(own_page)).to_have_attribute("src", re.compile(second))
    expect(total).to_have_text(f"1 label ({len(had) + 1} yes, 0 no in all)")
    own_page.get_by_role("button", name="Back").click()
    expect(shown(own_page)).to_have_attribute("src", re.compile(first))
    expect(total).to_have_text(f"0 labels ({len(had)} yes, 0 no in all)")
    assert having(own_page, "tag") == had
    assert having(own_page, "rejected_tag") == set()


def test_buttons_answer_as_well(own_page: Page) -> None:
    own_page.goto(GREEN)
    had = having(own_page, "tag")
    for name in ("Skip", "Yes", "No"):
        asked = id_of(shown(own_page))
        own_page.get_by_role("button", name=name).click()
        expect(shown(own_page)).not_to_have_attribute("src", re.compile(asked))
    expect(progress(own_page)).to_have_text(f"2 labels ({len(had) + 1} yes, 1 no in all)")


def test_nine_at_a_time(own_page: Page) -> None:
    own_page.goto(GREEN)
    had = having(own_page, "tag")
    expect(shown(own_page)).to_be_visible()
    own_page.keyboard.press("g")
    expect(nine(own_page)).to_have_count(9)
    asked = [id_of(one.locator("img")) for one in nine(own_page).all()]
    nine(own_page).nth(1).click()
    nine(own_page).nth(4).click()
    own_page.keyboard.press("4")
    own_page.keyboard.press("5")  # it is one after all
    expect(nine(own_page).nth(3)).to_have_attribute("aria-pressed", "true")
    expect(nine(own_page).nth(4)).to_have_attribute("aria-pressed", "false")
    expect(own_page.get_by_role("button", name="The other 7 are it")).to_be_visible()
    own_page.keyboard.press("Enter")
    expect(progress(own_page)).to_have_text(f"9 labels ({len(had) + 7} yes, 2 no in all)")
    rejected = {asked[1], asked[3]}
    assert having(own_page, "tag") == had | set(asked) - rejected
    assert having(own_page, "rejected_tag") == rejected
    assert not set(asked) & {id_of(one.locator("img")) for one in nine(own_page).all()}
    own_page.keyboard.press("z")  # all nine answers at once
    expect(progress(own_page)).to_have_text(f"0 labels ({len(had)} yes, 0 no in all)")
    assert [id_of(one.locator("img")) for one in nine(own_page).all()] == asked
    assert having(own_page, "tag") == had


def test_a_new_tag_is_learnt_from_nothing(own_page: Page, faults: Faults) -> None:
    own_page.goto("/c/shop/tags")
    own_page.get_by_label("Find or make a tag").fill("spiky")
    own_page.keyboard.press("Enter")
    expect(own_page.get_by_role("heading", name="Is this spiky?")).to_be_visible()
    faults.expect("status of 422")  # no image has the tag yet, so that none is like them
    press(own_page, "ynyn")
    expect(progress(own_page)).to_have_text("4 labels (2 yes, 2 no in all)")
    own_page.keyboard.press("t")
    expect(progress(own_page)).to_contain_text(re.compile(r"AP [\d.]+, trained in"))
    own_page.get_by_role("link", name="Done").click()
    expect(own_page.get_by_role("region", name="Tag spiky")).to_contain_text("Average precision")


def test_too_few_examples_are_told(own_page: Page, faults: Faults) -> None:
    own_page.goto("/c/shop/label/leaf")
    expect(shown(own_page)).to_be_visible()
    own_page.get_by_role("button", name="Train").click()
    said = own_page.get_by_role("status").filter(has=own_page.get_by_role("button", name="Dismiss"))
    expect(said).to_contain_text("rejected")
    faults.expect("status of 422")
    expect(own_page.get_by_role("button", name="Train")).to_be_enabled()


def test_when_all_is_judged_that_is_said(own_page: Page) -> None:
    own_page.goto(GREEN)
    left = 48 - len(having(own_page, "tag"))
    expect(shown(own_page)).to_be_visible()
    own_page.keyboard.press("g")
    for _ in range(-(-left // 9)):
        asked = id_of(nine(own_page).first.locator("img"))
        own_page.keyboard.press("s")
        expect(own_page.locator(f"img[src*='{asked}']")).to_have_count(0)
    expect(own_page.get_by_text("Every image has been judged")).to_be_visible()
    own_page.keyboard.press("z")
    expect(nine(own_page).first).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", ["desk", "phone"])
def test_everybody_can_use_the_page(page: Page) -> None:
    page.goto(GREEN)
    expect(shown(page)).to_be_visible()
    expect(page.get_by_role("button", name="Yes")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    axe(page)
    page.get_by_role("button", name="3 × 3").click()
    nine(page).first.click()
    expect(page.get_by_role("button", name="The other 8 are it")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    axe(page)
