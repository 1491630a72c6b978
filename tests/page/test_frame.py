"""What is the same on every page: the bar, the keys, the theme. And that faults of a page are seen."""

from __future__ import annotations

import re

import pytest

from tests.page.support.axe import axe
from tests.page.support.faults import Faults

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Error, Page, expect


def test_the_bar_shows_the_category_and_the_pages(page: Page) -> None:
    page.goto("/c/shop/search")
    expect(page.get_by_role("button", name="shop 48")).to_be_visible()
    pages = page.get_by_role("navigation", name="Pages").get_by_role("link")
    expect(pages).to_have_text(["Search", "Clusters", "Map", "Tags", "Duplicates"])
    expect(pages.first).to_have_attribute("aria-current", "page")
    page.get_by_role("button", name="shop 48").click()
    expect(page.get_by_role("menuitem")).to_have_text([re.compile("cards *3"), re.compile("shop *48")])
    page.get_by_role("menuitem", name="cards").click()
    expect(page).to_have_url(re.compile("/c/cards/search$"))
    expect(page.get_by_role("button", name="cards 3")).to_be_visible()


def test_a_question_mark_lists_the_keys(page: Page) -> None:
    page.goto("/c/shop/search")
    expect(page.get_by_role("button", name="shop 48")).to_be_visible()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("Undo the last change")
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_is_the_systems_until_another_is_chosen(page: Page, theme: str) -> None:
    other = {"light": "dark", "dark": "light"}[theme]
    shown = page.locator("html")
    page.goto("/c/shop/search")
    expect(shown).to_have_attribute("data-theme", theme)
    page.get_by_role("button", name=f"{other.title()} theme").click()
    expect(shown).to_have_attribute("data-theme", other)
    page.reload()
    expect(shown).to_have_attribute("data-theme", other)
    page.get_by_role("button", name=f"{theme.title()} theme").click()
    page.emulate_media(color_scheme=other)  # type: ignore[arg-type]
    expect(shown).to_have_attribute("data-theme", other)


SCRIPTS = {
    "console: wrong": "console.error('wrong')",
    "security policy: require-trusted-types-for": "try { document.body.innerHTML = '<p>' } catch {}",
    "security policy: style-src-attr": "document.body.setAttribute('style', 'color: red')",
    "security policy: connect-src https://elsewhere": "fetch('https://elsewhere.example/').catch(() => 1)",
}


@pytest.mark.parametrize(("fault", "script"), SCRIPTS.items())
def test_faults_are_seen(page: Page, faults: Faults, fault: str, script: str) -> None:
    page.goto("/")
    with page.expect_console_message(lambda message: fault.split(": ")[1] in message.text):
        page.evaluate(script)
    with pytest.raises(AssertionError, match=fault):
        faults.check()
    faults.expect(fault)
    faults.expect("console: ")  # the browser reports what the policy forbids in words of its own as well


def test_uncaught_errors_are_seen(page: Page, faults: Faults) -> None:
    page.goto("/")
    with page.expect_event("pageerror"):
        page.evaluate("setTimeout(() => { throw new Error('thrown') })")
    with pytest.raises(AssertionError, match=r"uncaught: .*thrown"):
        faults.check()
    faults.expect("thrown")


def test_requests_to_another_host_are_seen(page: Page, faults: Faults) -> None:
    with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("http://elsewhere.example/")
    with pytest.raises(AssertionError, match="request to another host: http://elsewhere"):
        faults.check()
    faults.expect("elsewhere")


def test_an_expected_fault_must_come(page: Page, faults: Faults) -> None:
    page.goto("/")
    faults.check()
    faults.expect("status of 401")
    with pytest.raises(AssertionError, match="did not come"):
        faults.check()
    with page.expect_event("console"):
        page.evaluate("console.error('status of 401')")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", ["desk", "phone"])
def test_everybody_can_use_the_frame(page: Page) -> None:
    page.goto("/c/shop/search")
    expect(page.get_by_role("button", name="shop 48")).to_be_visible()
    axe(page)
    page.get_by_role("button", name="shop 48").click()
    expect(page.get_by_role("menuitem", name="cards")).to_be_visible()
    axe(page)


def test_what_nobody_can_use_is_found(page: Page) -> None:
    page.goto("/")
    page.evaluate("document.body.append(document.createElement('button'))")
    with pytest.raises(AssertionError, match="button-name: Buttons must have discernible text"):
        axe(page)
