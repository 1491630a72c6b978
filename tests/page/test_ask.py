"""Asking: in words, by pictures that are sent, by examples for and against. And the address that holds it."""

from __future__ import annotations

import base64
import json
import re

import pytest

from tests.page.support.faults import Faults
from tests.page.support.grid import file_of, grid, number_of_images, shown_pictures, tile

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import FilePayload, JSHandle, Page, Route, expect


def ask(page: Page, words: str) -> None:
    page.get_by_label("Ask in words").fill(words)
    page.keyboard.press("Enter")


def test_words_find_what_they_name(page: Page) -> None:
    page.goto("/c/shop/search")
    expect(number_of_images(page)).to_have_text(re.compile("^48 images"))
    ask(page, "a green lamp")
    expect(page).to_have_url(re.compile(r"/c/shop/search\?q=a\+green\+lamp$"))
    expect(tile(page, 1)).to_have_accessible_name(re.compile("^Image 1, similarity 0"))
    expect(page.get_by_text("Closest first")).to_be_visible()
    tile(page, 1).click()
    expect(page.get_by_role("heading", name="lamp 1 of 48")).to_be_visible()
    page.get_by_label("Ask in words").press("Escape")
    expect(page).to_have_url(re.compile("/c/shop/search$"))
    expect(tile(page, 1)).to_have_accessible_name("Image 1")


def test_words_that_nothing_can_match_say_so(page: Page) -> None:
    page.goto("/c/shop/search?class=lamp&tags=flower")
    expect(page.get_by_text("Nothing matches")).to_be_visible()
    page.get_by_role("button", name="Take away 2 conditions").click()
    expect(number_of_images(page)).to_have_text(re.compile("^48 images"))
    expect(page.get_by_text("Nothing matches")).to_be_hidden()


def choose_file(page: Page, file: FilePayload) -> None:
    page.get_by_label("Pictures to search by").set_input_files(file)


def drop_file(page: Page, file: FilePayload) -> None:
    page.dispatch_event("body", "dragover", {"dataTransfer": transfer(page, file)})
    expect(page.get_by_role("search")).to_have_css("outline-style", "dashed")
    page.dispatch_event("body", "drop", {"dataTransfer": transfer(page, file)})
    expect(page.get_by_role("search")).not_to_have_css("outline-style", "dashed")


def paste_file(page: Page, file: FilePayload) -> None:
    page.get_by_label("Ask in words").focus()
    page.evaluate(
        "(data) => document.activeElement.dispatchEvent("
        "new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }))",
        transfer(page, file),
    )


def transfer(page: Page, file: FilePayload) -> JSHandle:
    """The file as a browser hands it over when it is dropped or pasted."""
    return page.evaluate_handle(
        "async ([data, name, type]) => {"
        "  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));"
        "  const all = new DataTransfer();"
        "  all.items.add(new File([bytes], name, { type }));"
        "  return all; }",
        [base64.b64encode(file["buffer"]).decode(), file["name"], file["mimeType"]],
    )


@pytest.mark.parametrize("send", [choose_file, drop_file, paste_file])
def test_a_picture_that_is_sent_finds_itself(page: Page, send: object) -> None:
    assert callable(send)
    id = page.request.get("/v1/categories/shop/images?limit=20").json()["hits"][-1]["id"]
    page.goto("/c/shop/search")
    expect(number_of_images(page)).to_have_text(re.compile("^48 images"))
    send(page, file_of(page, id))
    expect(page).to_have_url(re.compile(r"/c/shop/search\?like=picture:[0-9a-f]{64}$"))
    sent = page.get_by_role("img", name="Example", exact=True)
    expect(sent).to_be_visible()
    assert sent.evaluate("async (it) => { await it.decode(); return it.naturalWidth }") > 0
    expect(tile(page, 1)).to_have_accessible_name(re.compile("^Image 1, similarity 1"))
    tile(page, 1).click()
    expect(page).to_have_url(re.compile(f"/c/shop/image/{id}"))


def test_what_is_no_picture_is_not_sent(page: Page) -> None:
    page.goto("/c/shop/search")
    choose_file(page, {"name": "list.txt", "mimeType": "text/plain", "buffer": b"one"})
    expect(page.get_by_text("That is no picture.")).to_be_visible()
    expect(page).to_have_url(re.compile("/c/shop/search$"))


def test_examples_for_and_against(page: Page) -> None:
    page.goto("/c/shop/search?q=a%20leaf")
    liked = id_of(page, 1)
    tile(page, 1).hover()
    tile(page, 1).get_by_title("More like this").click()
    expect(page).to_have_url(re.compile(f"like={liked}$"))
    expect(number_of_images(page)).to_have_text(re.compile("^47 images"))  # without the example itself
    expect(page.get_by_role("img", name="Example", exact=True)).to_have_count(1)
    less = id_of(page, 5)
    tile(page, 5).hover()
    tile(page, 5).get_by_title("Less like this").click()
    expect(page).to_have_url(re.compile(f"like={liked}&unlike={less}$"))
    expect(number_of_images(page)).to_have_text(re.compile("^46 images"))
    expect(page.get_by_role("img", name="Counterexample")).to_have_count(1)
    page.get_by_role("button", name="Less like it").click()  # the sign of the example for it turns it over
    expect(page).to_have_url(re.compile(f"unlike={less},{liked}$"))
    page.get_by_role("button", name="Take the example away").first.click(force=True)
    expect(page).to_have_url(re.compile(f"unlike={liked}$"))


def id_of(page: Page, number: int) -> str:
    address = tile(page, number).locator("img").get_attribute("src")
    found = re.search("/images/([0-9a-f-]{36})/", address or "")
    assert found, address
    return found[1]


def test_the_address_holds_all_that_is_asked(page: Page) -> None:
    listed = page.request.get("/v1/categories/shop/images?limit=2").json()["hits"]
    like, unlike = (one["id"] for one in listed)
    page.goto(
        f"/c/shop/search?q=large&like={like}&unlike={unlike}&least=0&variety=0.2&collapse=true"
        "&class=leaf&class=chair&metadata.price.gte=20"
    )

    def look() -> list[object]:
        expect(number_of_images(page)).to_be_visible()
        expect(page.get_by_label("One of each copy")).to_be_checked()
        expect(page.get_by_label("Variety")).to_have_value("0.2")
        expect(page.get_by_label("Ask in words")).to_have_value("large")
        expect(page.get_by_role("img", name=re.compile("xample"))).to_have_count(2)
        expect(tile(page, 1)).to_be_visible()
        chips = page.get_by_role("button", name="Take away: ")
        names = [one.get_attribute("aria-label") for one in chips.all()]
        return [page.url, names, shown_pictures(page), number_of_images(page).inner_text().split()[0]]

    before = look()
    assert before[1] == [
        "Take away: class is leaf or chair",
        "Take away: price ≥ 20",
        "Take away: similarity ≥ 0",
        "Take away: without copies",
    ]
    page.reload()
    assert look() == before


def test_back_finds_the_page_as_it_was_left(page: Page) -> None:
    page.goto("/c/shop/search")
    for number in (2, 5):
        tile(page, number).hover()
        tile(page, number).get_by_title("Choose").click()
    expect(page.get_by_text("2 selected")).to_be_visible()
    grid(page).hover()
    page.mouse.wheel(0, 400)
    settle(page, "history.state?.scroll > 300")
    before = page.evaluate("history.state.scroll")
    ask(page, "a hat")
    expect(tile(page, 1)).to_have_accessible_name(re.compile("similarity"))
    settle(page, "document.querySelector('[role=listbox]').scrollTop === 0")
    page.get_by_role("button", name="Clear Esc").click()
    expect(page.get_by_text("2 selected")).to_be_hidden()
    page.go_back()
    expect(page.get_by_text("2 selected")).to_be_visible()
    settle(page, f"document.querySelector('[role=listbox]').scrollTop === {json.dumps(before)}")
    expect(tile(page, 5)).to_have_attribute("aria-selected", "true")
    page.go_forward()
    expect(page.get_by_label("Ask in words")).to_have_value("a hat")


def settle(page: Page, condition: str) -> None:
    """Wait, a frame at a time, until a condition holds: what has no element to wait for."""
    page.evaluate(
        "() => new Promise((held) => {"
        f"  const look = () => ({condition}) ? held() : requestAnimationFrame(look);"
        "  look(); })"
    )


def test_the_last_question_wins(page: Page) -> None:
    page.goto("/c/shop/search")
    expect(tile(page, 1)).to_be_visible()
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "a chair" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/search", hold)
    with page.expect_request("**/search"):
        ask(page, "a chair")
    with page.expect_event("requestfailed", lambda one: "a chair" in (one.post_data or "")):
        ask(page, "a lamp")
    expect(tile(page, 1)).to_have_accessible_name(re.compile("similarity"))
    tile(page, 1).click()
    expect(page.get_by_role("heading", name="lamp 1 of 48")).to_be_visible()
    expect(page.get_by_role("button", name="Dismiss")).to_have_count(0)
    assert len(held) == 1


def test_an_answer_that_does_not_come_is_told(page: Page, faults: Faults) -> None:
    page.goto("/c/shop/search")
    expect(tile(page, 1)).to_be_visible()
    page.route("**/search", lambda route: route.abort())
    ask(page, "a chair")
    faults.expect("net::ERR_FAILED")
    expect(page.get_by_text("The server does not answer. Is it running?")).to_be_visible()
    expect(page.get_by_text("Nothing matches")).to_be_hidden()
    page.unroute("**/search")
    ask(page, "a lamp")
    expect(tile(page, 1)).to_have_accessible_name(re.compile("similarity"))
