"""One image: its panel next to the grid, what people change there, and the picture as large as the window."""

from __future__ import annotations

import re

import pytest

from tests.page.support.axe import axe
from tests.page.support.faults import Faults
from tests.page.support.grid import grid, number_of_images, tile
from tests.page.support.wait import wait_until

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Locator, Page, expect


def panel(page: Page) -> Locator:
    return page.get_by_role("complementary", name=re.compile("^Image "))


def position(page: Page) -> Locator:
    """Which picture of the answer the panel shows, such as ``2 of 48``."""
    return panel(page).get_by_role("heading", level=2)


def ids(page: Page) -> list[str]:
    return [hit["id"] for hit in page.request.get("/v1/categories/shop/images?limit=100").json()["hits"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_image_is_opened_and_closed(page: Page) -> None:
    page.goto("/c/shop/search")
    first = ids(page)[0]
    image = page.request.get(f"/v1/categories/shop/images/{first}").json()
    known = image["payload"]
    tile(page, 1).click()
    expect(page).to_have_url(re.compile(f"/c/shop/image/{first}$"))
    expect(position(page)).to_have_text(f"{known['class']} 1 of 48")
    for tag in known["tags"]:
        expect(panel(page).get_by_role("button", name=f"Take away {tag}", exact=True)).to_be_visible()
    expect(panel(page).get_by_role("link", name=known["filename"])).to_have_attribute(
        "href", image["urls"]["file"]
    )
    expect(panel(page).get_by_text(f"{known['width']} × {known['height']}")).to_be_visible()
    for tag, score in known["scores"].items():
        expect(panel(page).get_by_role("listitem").filter(has_text=tag)).to_contain_text(f"{score:.2f}")
    expect(panel(page).get_by_label("Caption")).to_have_value(known["caption"])
    expect(panel(page).get_by_text(known["sha256"])).to_be_hidden()
    panel(page).get_by_text("All that is stored").click()
    expect(panel(page).get_by_text(known["sha256"])).to_be_visible()
    axe(page)
    page.keyboard.press("Escape")
    expect(panel(page)).to_be_hidden()
    expect(page).to_have_url(re.compile("/c/shop/search$"))


def test_an_address_opens_an_image_in_its_answer(page: Page) -> None:
    answer = page.request.post("/v1/categories/shop/search", data={"text": "a hat", "limit": 3}).json()
    page.goto(f"/c/shop/image/{answer['hits'][2]['id']}?q=a%20hat")
    expect(position(page)).to_have_text(f"{answer['hits'][2]['payload']['class']} 3 of 48")
    expect(panel(page).get_by_text(f"{answer['hits'][2]['similarity']:.3f}")).to_be_visible()
    expect(page.get_by_label("Ask in words")).to_have_value("a hat")
    page.get_by_role("button", name="Close the image").click()
    expect(page).to_have_url(re.compile(r"/c/shop/search\?q=a\+hat$"))


def test_an_image_that_is_not_there_is_told(page: Page, faults: Faults) -> None:
    page.goto("/c/shop/image/00000000-0000-5000-8000-000000000000")
    faults.expect("status of 404")
    expect(page.get_by_text(re.compile("There is no image 0{8}"))).to_be_visible()
    page.get_by_role("button", name="Close the image").click()
    expect(page).to_have_url(re.compile("/c/shop/search$"))


def test_one_image_after_the_other(page: Page) -> None:
    page.goto("/c/shop/search")
    all_ids = ids(page)
    tile(page, 2).click()
    expect(position(page)).to_contain_text("2 of 48")
    page.keyboard.press("j")
    expect(position(page)).to_contain_text("3 of 48")
    expect(page).to_have_url(re.compile(all_ids[2]))
    page.keyboard.press("k")
    page.keyboard.press("k")
    expect(position(page)).to_contain_text("1 of 48")
    page.keyboard.press("k")
    expect(page).to_have_url(re.compile(all_ids[0]))
    page.go_back()  # going on takes the place of the image before
    expect(panel(page)).to_be_hidden()
    expect(page).to_have_url(re.compile("/c/shop/search$"))


def test_what_is_near_is_opened_and_searched_by(page: Page) -> None:
    page.goto("/c/shop/search")
    first = ids(page)[0]
    near = page.request.post("/v1/categories/shop/search", data={"id": first, "limit": 1}).json()["hits"][0]
    tile(page, 1).click()
    nearest = panel(page).get_by_role("button", name=re.compile("^Similarity"))
    expect(nearest).to_have_count(10)
    nearest.first.click()
    expect(page).to_have_url(re.compile(near["id"]))
    expect(panel(page).get_by_title(near["id"])).to_be_visible()
    page.keyboard.press("n")
    expect(page).to_have_url(re.compile(rf"/c/shop/search\?like={near['id']}$"))
    expect(number_of_images(page)).to_have_text(re.compile("^47 images"))
    tile(page, 1).click()
    why = panel(page).get_by_role("listitem").filter(has_text="+ example 1")
    similarity = page.request.post(
        "/v1/categories/shop/search", data={"positive": [near["id"]], "limit": 1}
    ).json()["hits"][0]["similarity"]
    expect(why).to_contain_text(f"{similarity:.2f}")


def test_a_tag_is_added_taken_away_and_brought_back(own_page: Page) -> None:
    page = own_page
    page.goto("/c/shop/search")
    expect(tile(page, 1)).to_be_visible()
    grid(page).hover()
    page.mouse.wheel(0, 500)
    expect(tile(page, 48)).to_be_visible()
    tile(page, 30).click()  # a picture that lies below the first screen
    expect(position(page)).to_contain_text("30 of 48")
    page.get_by_label("Tag", exact=True).fill("on sale")
    page.keyboard.press("Enter")
    added = panel(page).get_by_role("button", name="Take away on sale")
    expect(added).to_be_visible()
    expect(page.get_by_label("Tag", exact=True)).to_have_value("")
    scrolled = grid(page).evaluate("(it) => it.scrollTop")
    assert scrolled > 0
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undone: Tagged on sale")).to_be_visible()
    expect(added).to_be_hidden()
    assert grid(page).evaluate("(it) => it.scrollTop") == scrolled  # the grid stays where it was
    id = ids(page)[29]
    tags = page.request.get(f"/v1/categories/shop/images/{id}").json()["payload"]["tags"]
    assert "on sale" not in tags
    panel(page).get_by_role("button", name=f"Take away {tags[0]}", exact=True).click()
    expect(panel(page).get_by_role("button", name=f"Take away {tags[0]}", exact=True)).to_be_hidden()
    page.keyboard.press("z")
    expect(panel(page).get_by_role("button", name=f"Take away {tags[0]}", exact=True)).to_be_visible()


def test_class_and_caption_are_changed_in_place(own_page: Page) -> None:
    page = own_page
    page.goto(f"/c/shop/image/{ids(page)[0]}")
    page.get_by_role("textbox", name="Class").fill("stool")
    page.keyboard.press("Tab")
    expect(position(page)).to_contain_text("stool")
    expect(page.get_by_text("Class changed")).to_be_visible()
    page.get_by_label("Caption").fill("")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Caption changed")).to_be_visible()
    page.reload()
    expect(position(page)).to_contain_text("stool")
    expect(page.get_by_label("Caption")).to_have_value("")


def large(page: Page, number: int) -> Locator:
    return page.get_by_role("dialog", name=f"Picture {number} of 48")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_is_looked_at_large(page: Page) -> None:
    page.goto("/c/shop/search")
    expect(tile(page, 1)).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(large(page, 1)).to_be_visible()
    expect(large(page, 1).get_by_role("button", name="Before")).to_be_disabled()
    axe(page)
    page.keyboard.press("ArrowRight")
    expect(large(page, 2)).to_be_visible()
    large(page, 2).get_by_role("button", name="Next").click()
    expect(large(page, 3)).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("x")
    expect(large(page, 2).get_by_text("chosen")).to_be_visible()
    page.keyboard.press("Space")
    expect(large(page, 2)).to_be_hidden()
    expect(tile(page, 2)).to_have_attribute("aria-selected", "true")
    expect(grid(page)).to_have_attribute("aria-activedescendant", "tile-1")  # the one that was looked at last


def test_the_wheel_enlarges_and_dragging_moves(page: Page) -> None:
    page.goto(f"/c/shop/image/{ids(page)[4]}")
    expect(position(page)).to_contain_text("5 of 48")
    page.get_by_role("button", name="Look at it large").click()
    picture = large(page, 5).locator("img")
    expect(picture).to_have_css("transform", "matrix(1, 0, 0, 1, 0, 0)")
    page.mouse.move(900, 450)
    page.mouse.wheel(0, -400)
    expect(picture).to_have_css("transform", re.compile(r"matrix\(2\.7"))
    expect(picture).to_have_attribute("src", re.compile("/file$"))  # enlarged, it is the picture itself
    x = "(it) => new DOMMatrix(getComputedStyle(it).transform).e"
    before = picture.evaluate(x)
    page.mouse.down()
    page.mouse.move(960, 450, steps=3)
    page.mouse.up()
    wait_until(page, lambda: picture.evaluate(x) == pytest.approx(before + 60, abs=0.5))
    page.keyboard.press("0")
    expect(picture).to_have_css("transform", "matrix(1, 0, 0, 1, 0, 0)")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(large(page, 5)).to_be_hidden()
    expect(position(page)).to_contain_text("5 of 48")
