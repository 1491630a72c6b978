"""The page of jobs: any job started by its form, followed, cancelled, repeated, and its report read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.page.conftest import Open, Site, Start
from tests.page.support.axe import axe
from tests.page.support.faults import Faults
from tests.served import served

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Locator, Page, expect


def start(page: Page, kind: str, *, options: bool = False, **given: str) -> None:
    """Start a job by the form."""
    page.get_by_role("button", name="Start a job").click()
    form = page.get_by_role("form", name="Start a job")
    form.get_by_label("Kind").select_option(kind)
    if options:
        form.get_by_text("Options", exact=True).click()
    for label, value in given.items():
        field = form.locator("label.line").filter(has=page.get_by_text(label, exact=True))
        chosen = field.get_by_role("combobox").and_(field.locator("select"))
        if chosen.count():
            chosen.select_option(value)
        else:
            field.locator("input").first.fill(value)
    form.get_by_role("button", name="Start", exact=True).click()


def detail(page: Page) -> Locator:
    return page.get_by_role("region", name="Job")


def expect_state(page: Page, state: str) -> None:
    expect(detail(page).locator(".state")).to_have_text(state, timeout=60_000)


def test_a_job_is_started_with_an_option_and_followed_to_its_end(own_page: Page) -> None:
    page = own_page
    page.goto("/c/shop/search")
    page.get_by_role("link", name="Jobs").click()
    expect(page.get_by_text("No jobs yet")).to_be_visible()
    start(page, "map-make", options=True, category="shop", method="pca", name="flat")
    expect_state(page, "done")
    expect(detail(page).get_by_text("flat", exact=True).first).to_be_visible()
    assert "flat" in [one["name"] for one in page.request.get("/v1/categories/shop/maps").json()["maps"]]
    page.reload()
    expect_state(page, "done")
    start(page, "map-plot", options=True, category="shop", name="flat")
    expect_state(page, "done")
    picture = detail(page).get_by_role("img")
    expect(picture).to_be_visible()
    assert picture.evaluate("(img) => img.complete && img.naturalWidth > 0")
    with page.expect_download() as download:
        detail(page).get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_refused_files_are_listed_by_name_and_reason(
    open_page: Open, start_site: Start, tmp_path: Path, faults: Faults
) -> None:
    faults.expect("status of 403.*/v1/jobs")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (40, 30), (10, 200, 90)).save(pictures / "green.png")
    (pictures / "broken.png").write_bytes(b"no picture at all")
    page = open_page(start_site(VITRINE_ROOTS=str(pictures)))
    page.goto("/jobs")
    start(page, "index-add", source="folder:nowhere", category="shop")
    expect(page.get_by_role("alert")).to_contain_text("not below a folder that jobs may read")
    page.get_by_role("button", name="Leave").click()
    start(page, "index-add", source="folder:pictures", category="shop")
    expect_state(page, "done")
    refused = page.get_by_role("list", name="Refused files").get_by_role("listitem")
    expect(refused).to_have_count(1)
    expect(refused).to_contain_text("broken.png")
    expect(refused).to_contain_text("unsupported_format")


def test_cancel_log_and_retry(open_page: Open, start_site: Start, tmp_path: Path) -> None:
    roots = tmp_path / "lists"
    roots.mkdir()
    os.mkfifo(roots / "words.txt")  # which nobody writes: who reads it waits
    page = open_page(start_site(VITRINE_ROOTS=str(roots)))
    page.goto("/jobs")
    start(page, "tagger-zero-shot", category="shop", words="folder:lists/words.txt")
    expect_state(page, "running")
    expect(page.locator(".jobs-link b")).to_have_text("1")
    detail(page).get_by_text("Log", exact=True).click()
    expect(detail(page).locator("pre").last).to_contain_text("vitrine tagger zero-shot")
    detail(page).get_by_role("button", name="Cancel").click()
    expect_state(page, "cancelled")
    expect(page.locator(".jobs-link b")).to_have_count(0)
    (roots / "words.txt").unlink()
    detail(page).get_by_role("button", name="Retry").click()
    expect_state(page, "failed")
    expect(detail(page).get_by_role("alert")).to_contain_text("nothing at 'folder:lists/words.txt'")
    (roots / "words.txt").write_text("mug\n")
    detail(page).get_by_role("button", name="Retry").click()
    expect_state(page, "done")
    detail(page).get_by_role("button", name="Remove").click()
    expect(page.get_by_text("No jobs yet")).to_be_visible()


def test_a_job_goes_on_when_the_server_was_killed(
    open_page: Open, shop_data: Path, tmp_path: Path, faults: Faults
) -> None:
    """The page stays open, and shows it without being asked to."""
    faults.expect("ERR_")
    data, roots = shutil.copytree(shop_data, tmp_path / "data"), tmp_path / "lists"
    roots.mkdir()
    os.mkfifo(roots / "words.txt")  # which nobody writes: who reads it waits
    with served(data, VITRINE_ROOTS=str(roots)) as (process, url):
        page = open_page(Site(url, data))
        page.goto("/jobs")
        start(page, "tagger-zero-shot", category="shop", words="folder:lists/words.txt")
        expect_state(page, "running")
        pairs = detail(page).locator("div")
        attempts = pairs.filter(has=page.get_by_text("attempts", exact=True)).locator("dd")
        expect(attempts).to_have_text("1")
        process.kill()
        process.wait()
    with served(data, VITRINE_ROOTS=str(roots), VITRINE_PORT=str(urlsplit(url).port)):
        expect(attempts).to_have_text("2", timeout=60_000)
        expect_state(page, "running")
        (roots / "words.txt").write_text("mug\n")  # comes to an end once the second attempt reads it
        expect_state(page, "done")
        expect(page.get_by_role("list").get_by_text("done", exact=True)).to_have_count(1)
        page.goto("about:blank")  # which asks nothing of a server that has gone


def test_a_job_that_repeats_itself(own_page: Page) -> None:
    page = own_page
    page.goto("/jobs")
    page.get_by_role("button", name="Start a job").click()
    form = page.get_by_role("form", name="Start a job")
    form.get_by_label("Kind").select_option("check")
    form.get_by_label("Repeat").select_option("every 6 hours")
    form.get_by_role("button", name="Start", exact=True).click()
    expect_state(page, "done")
    following = page.get_by_role("complementary", name="Jobs").get_by_role("listitem").first
    expect(following.locator(".state")).to_contain_text("again ")
    expect(page.locator(".jobs-link b")).to_have_count(0)  # it waits for its time, not for its turn
    following.get_by_role("link").click()
    detail(page).get_by_role("button", name="Cancel").click()
    expect_state(page, "cancelled")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everyone_can_use_it(own_page: Page, theme: str) -> None:
    page = own_page
    page.goto("/jobs")
    page.get_by_role("button", name="Start a job").click()
    page.get_by_label("Kind").select_option("map-make")
    page.get_by_text("Options", exact=True).click()
    axe(page)


@pytest.mark.parametrize("viewport", ["narrow"])
def test_nothing_is_cut_off_on_a_phone(own_page: Page, viewport: str) -> None:
    page = own_page
    page.goto("/jobs")
    page.get_by_role("button", name="Start a job").click()
    page.get_by_label("Kind").select_option("map-make")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
