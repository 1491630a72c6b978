"""Signing in with a key: wrong, for reading alone, for everything."""

from __future__ import annotations

import pytest

from tests.page.conftest import KEYS, Open, Site, Start
from tests.page.support.faults import Faults

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Page, expect


@pytest.fixture
def guarded(start_site: Start) -> Site:
    """A server with a shop that asks for a key."""
    return start_site(keys=True)


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_a_wrong_key_and_then_the_right_one(open_page: Open, guarded: Site, faults: Faults) -> None:
    page = open_page(guarded)
    page.goto("/c/shop/search")
    sign_in(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("not known here")
    faults.expect(r"status of 401.*/v1/session")
    sign_in(page, KEYS["write"])
    expect(page.get_by_role("button", name="shop 48")).to_be_visible()
    expect(page.get_by_role("button", name="May change")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="shop 48")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Key", exact=True)).to_be_visible()
    assert page.context.cookies() == []


def test_with_a_key_for_reading_pictures_load_and_changes_are_refused(
    open_page: Open, guarded: Site, faults: Faults
) -> None:
    page = open_page(guarded)
    page.goto("/c/shop/search")
    sign_in(page, KEYS["read"])
    expect(page.get_by_role("button", name="May read")).to_be_visible()
    assert page.evaluate("document.cookie") == ""
    listed = page.evaluate("fetch('/v1/categories/shop/images?limit=1').then((answer) => answer.json())")
    urls, headers = listed["hits"][0]["urls"], {"X-CSRF-Token": page.evaluate(CSRF)}
    width = page.evaluate(
        "async (url) => { const it = new Image(); it.src = url; await it.decode(); return it.naturalWidth }",
        urls["thumbnail"],
    )
    assert width > 0
    refused = page.request.delete(urls["self"], headers=headers)
    assert (refused.status, refused.json()["details"]) == (403, {"scope": "read"})


CSRF = "fetch('/v1/session').then((answer) => answer.json()).then((session) => session.csrf)"
