"""The page about the API: every operation, and a form that asks it."""

from __future__ import annotations

import pytest

from tests.api.helpers import picture
from tests.page.conftest import Open, Start
from tests.page.support.axe import axe
from tests.page.support.faults import Faults

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Page, expect


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", ["desk", "phone"])
def test_every_operation_is_listed_and_told(page: Page) -> None:
    page.goto("/docs")
    expect(page.get_by_role("heading", name="Vitrine’s API")).to_be_visible()
    paths = page.request.get("/openapi.json").json()["paths"]
    operations = [operation for methods in paths.values() for operation in methods.values()]
    listed = page.get_by_role("navigation", name="Operations").get_by_role("link")
    expect(listed).to_have_count(len(operations) + 1)
    axe(page)
    page.get_by_role("link", name="Search", exact=True).click()
    expect(page.get_by_role("heading", name="POST /v1/categories/{category}/search")).to_be_visible()
    axe(page)
    page.go_back()
    expect(page.get_by_role("heading", name="Vitrine’s API")).to_be_visible()


def test_a_search_is_tried(page: Page) -> None:
    page.goto("/docs/search")
    page.get_by_label("category").fill("shop")
    page.get_by_label("Body as JSON").fill('{"text": "a lamp", "limit": 2}')
    curl = page.get_by_label("The request as curl")
    expect(curl).to_contain_text("/v1/categories/shop/search")
    expect(curl).to_contain_text("""-d '{"text":"a lamp","limit":2}'""")
    page.get_by_role("button", name="Send").click()
    answer = page.get_by_role("region", name="Answer")
    expect(answer).to_contain_text("200")
    expect(answer).to_contain_text('"similarity"')


def test_a_picture_is_shown_and_places_are_kept(page: Page) -> None:
    id = page.request.get("/v1/categories/shop/images?limit=1").json()["hits"][0]["id"]
    page.goto("/docs/image_thumbnail")
    page.get_by_label("category").fill("shop")
    page.get_by_label("id needed").fill(id)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("img", name="The answer is a picture")).to_be_visible()
    page.get_by_role("link", name="Get image", exact=True).click()
    expect(page.get_by_label("category")).to_have_value("shop")


def test_files_are_sent_by_the_form(own_page: Page) -> None:
    own_page.goto("/docs/add_images")
    own_page.get_by_label("category").fill("cards")
    own_page.get_by_label("files").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": picture()}
    )
    expect(own_page.get_by_label("The request as curl")).to_contain_text("-F files=@a.png")
    own_page.get_by_role("button", name="Send").click()
    expect(own_page.get_by_role("region", name="Answer")).to_contain_text("a.png")


def test_errors_are_shown_with_their_code(page: Page, faults: Faults) -> None:
    page.goto("/docs/get_category")
    page.get_by_label("category").fill("nothing")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("region", name="Answer")).to_contain_text('"not_found"')
    faults.expect("status of 404")


def test_it_is_read_without_a_key(open_page: Open, start_site: Start) -> None:
    page = open_page(start_site(keys=True))
    page.goto("/docs/search")
    expect(page.get_by_role("heading", name="POST /v1/categories/{category}/search")).to_be_visible()
    expect(page.get_by_label("The request as curl")).to_contain_text('-H "X-API-Key: $KEY"')
