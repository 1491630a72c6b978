"""Uploads of many files: what is there is not sent, a broken connection loses nothing and repeats nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.api.helpers import picture
from tests.page.conftest import Open, Start
from tests.page.support.faults import Faults
from tests.page.test_home import add_to, choose

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import FilePayload, Locator, Page, Route, expect

Interrupted = Callable[[], AbstractContextManager[None]]
IMAGES = re.compile("/v1/categories/cards/images$")
ANY = re.compile("/v1/categories/cards/images")
NOTE_WHAT_IS_SENT = """
window.answered = [];
window.losing = 0; // answers
const real = window.fetch;
window.fetch = async (path, request) => {
  const answer = await real(path, request);
  if (!(request?.body instanceof FormData)) return answer;
  answered.push(request.body.getAll("files").map((file) => file.name));
  if (window.losing > 0) {
    window.losing -= 1;
    throw new TypeError("network error");
  }
  return answer;
};
"""
"""``answered``: the names of the files of each request that the server took."""


def folder(count: int) -> list[FilePayload]:
    """Return that many pictures, more than go into one request."""
    return [
        FilePayload(name=f"{n}.png", mimeType="image/png", buffer=picture((n * 5, 90, 250 - n * 5)))
        for n in range(count)
    ]


def names(page: Page) -> Counter[str]:
    """Return how often each file arrived since the page was opened."""
    return Counter(name for request in page.evaluate("answered") for name in request)


def count(page: Page) -> int:
    return int(page.request.get("/v1/categories/cards").json()["images"])


@pytest.fixture
def told(own_page: Page) -> Locator:
    own_page.add_init_script(NOTE_WHAT_IS_SENT)
    own_page.goto("/")
    return own_page.get_by_role("region", name="Upload").get_by_role("status")


@pytest.fixture
def interrupted(own_page: Page, told: Locator, faults: Faults) -> Interrupted:
    """An upload of 40 images that begins in this block: the connection breaks after the first request, and is
    mended once the page has said so."""

    @contextmanager
    def begun() -> Iterator[None]:
        left = 1

        def handle(route: Route) -> None:
            nonlocal left
            if left > 0:
                left -= bool(IMAGES.search(route.request.url))
                route.continue_()
            else:
                route.abort("connectionreset")

        faults.expect("ERR_CONNECTION_RESET")
        own_page.route(ANY, handle)
        yield
        expect(told).to_have_text("16 images added. The connection is lost: trying again")
        own_page.unroute(ANY)

    return begun


def test_an_upload_goes_on_after_a_broken_connection(
    own_page: Page, told: Locator, interrupted: Interrupted
) -> None:
    page, files = own_page, folder(40)
    before = count(page)
    with interrupted():
        choose(page, *files)
        add_to(page, "cards")
    expect(told).to_have_text("40 images added")
    assert names(page) == Counter({file["name"]: 1 for file in files})
    assert count(page) == before + 40
    choose(page, *files)
    add_to(page, "cards")
    expect(told).to_have_text("0 images added, 40 were there already")
    assert sum(names(page).values()) == 40


def test_the_same_files_after_a_broken_upload_are_sent_where_they_are_missing(
    own_page: Page, told: Locator, interrupted: Interrupted
) -> None:
    page, files = own_page, folder(40)
    with interrupted():
        choose(page, *files)
        add_to(page, "cards")
    page.reload()
    choose(page, *files)
    add_to(page, "cards")
    expect(told).to_have_text("24 images added, 16 were there already")
    assert names(page) == Counter({file["name"]: 1 for file in files[16:]})


def test_what_arrived_before_its_answer_was_lost_is_not_sent_again(own_page: Page, told: Locator) -> None:
    page, files = own_page, folder(40)
    page.evaluate("window.losing = 2")
    choose(page, *files)
    add_to(page, "cards")
    expect(told).to_have_text("40 images added")
    assert names(page) == Counter({file["name"]: 1 for file in files})


def test_the_same_bytes_under_two_names_are_sent_once(own_page: Page, told: Locator) -> None:
    page, (one, two) = own_page, folder(2)
    broken = FilePayload(name="cut.png", mimeType="image/png", buffer=b"no picture")
    choose(page, one, {**one, "name": "copy.png"}, two, broken, {**broken, "name": "cut again.png"})
    add_to(page, "cards")
    expect(told).to_have_text("2 images added, 1 was there already, 2 refused")
    assert sorted(names(page)) == ["0.png", "1.png", "cut.png"]
    expect(page.get_by_role("list", name="Refused files").get_by_role("listitem")).to_have_text(
        [re.compile("^cut.png"), "cut again.png Another file of the same bytes was refused."]
    )


def test_where_a_browser_does_not_hash_all_is_sent(open_page: Open, start_site: Start) -> None:
    page = open_page(start_site())
    page.add_init_script(NOTE_WHAT_IS_SENT + "delete Crypto.prototype.subtle;")
    page.goto("/")
    told = page.get_by_role("region", name="Upload").get_by_role("status")
    for words in ("3 images added", "0 images added, 3 were there already"):
        choose(page, *folder(3))
        add_to(page, "cards")
        expect(told).to_have_text(words)
    assert set(names(page).values()) == {2}
