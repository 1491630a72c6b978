"""The page of clusters: boxes of a node, ways down and up, a grouping, and what is done with a whole box."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import vitrine
from tests.page.conftest import Open, Site
from tests.page.support.axe import axe
from tests.page.support.faults import Faults
from tests.page.support.grid import grid
from tests.page.support.server import forked

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Locator, Page, expect

LOOK = "/c/shop/clusters/look"
BOXES = ".cluster-box"


def node_of(page: Page, node: str, field: str = "class") -> dict[str, Any]:
    """What the API says of a node of the run and of its boxes."""
    query = urlencode({"groupings": field, "values": 12})
    answer: dict[str, Any] = page.request.get(
        f"/v1/categories/shop/clusters/look/nodes/{node}?{query}"
    ).json()
    return answer


def counts(groups: list[dict[str, Any]]) -> dict[str, int]:
    return {one["value"]: one["count"] for one in groups}


def box(page: Page, number: int) -> Locator:
    return page.get_by_role("button", name=re.compile(rf"\bbox {number}\b.* images\b"))


def heading(page: Page, name: str) -> Locator:
    return page.get_by_role("heading", name=name, exact=True, level=1)


def title(node: dict[str, Any]) -> str:
    name: str = node["name"].replace("_", " ")
    return name[:1].upper() + name[1:]


def test_boxes_have_pictures_a_name_and_a_count(page: Page) -> None:
    page.goto("/c/shop/clusters")
    root = node_of(page, "root")
    expect(heading(page, "Everything")).to_be_visible()
    expect(page.get_by_text("48 images in 4 boxes, 12 leaves")).to_be_visible()
    expect(page.locator(BOXES)).to_have_count(len(root["children"]))
    for number, child in enumerate(root["children"]):
        shown = box(page, number)
        expect(shown).to_contain_text(title(child))
        expect(shown.locator(".caption > span.num")).to_have_text(f"{child['count']} images")
        inside = shown.locator("img")
        expect(inside).to_have_count(min(5, len(child["representatives"])))
        for picture in inside.all():
            assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0


def test_a_click_chooses_a_second_one_opens_and_back_goes_up(page: Page) -> None:
    page.goto(LOOK)
    child = node_of(page, "root-0")
    chosen = page.get_by_role("region", name="Box root-0")
    box(page, 0).click()
    expect(chosen).to_contain_text(f"{child['node']['count']} images")
    expect(heading(page, "Everything")).to_be_visible()
    box(page, 0).click()
    expect(heading(page, title(child["node"]))).to_be_visible()
    expect(page).to_have_url(re.compile("/clusters/look/root-0$"))
    expect(page.locator(BOXES)).to_have_count(len(child["children"]))
    expect(chosen.get_by_role("button", name="Open box")).to_have_count(0)  # it is open
    box(page, 1).dblclick()
    expect(page).to_have_url(re.compile("/clusters/look/root-0-1$"))
    expect(heading(page, title(child["children"][1]))).to_be_visible()
    page.go_back()
    expect(heading(page, title(child["node"]))).to_be_visible()
    page.get_by_role("navigation", name="Where this box is").get_by_role("button", name="Everything").click()
    expect(heading(page, "Everything")).to_be_visible()
    expect(page.locator(BOXES)).to_have_count(4)


def test_a_box_is_opened_by_its_name(page: Page) -> None:
    page.goto(LOOK)
    field = page.get_by_label("Go to a box")
    field.fill("root-1")
    field.press("Enter")
    node = node_of(page, "root-1")
    expect(heading(page, title(node["node"]))).to_be_visible()
    expect(field).to_have_value("")
    page.reload()
    expect(page.locator(BOXES)).to_have_count(len(node["children"]))


def test_a_box_that_is_not_there(page: Page, faults: Faults) -> None:
    page.goto(f"{LOOK}/root-99")
    expect(page.get_by_text("There is no box root-99")).to_be_visible()
    page.get_by_role("button", name="To all boxes").click()
    expect(heading(page, "Everything")).to_be_visible()
    faults.expect("status of 404")


def test_a_leaf_is_seen_as_a_search(page: Page) -> None:
    page.goto(LOOK)
    leaf = next(node for node in node_of(page, "root-0")["children"] if not node["child_count"])
    page.goto(f"{LOOK}/{leaf['id']}")
    expect(page.get_by_text(f"A leaf of {leaf['count']} images")).to_be_visible()
    expect(page.get_by_role("link", name="Open the image")).to_have_count(len(leaf["representatives"]))
    page.get_by_role("button", name="See them all").click()
    expect(grid(page).get_by_role("option")).to_have_count(leaf["count"])


def test_boxes_are_walked_by_keys(page: Page) -> None:
    page.goto(LOOK)
    expect(page.locator(BOXES)).to_have_count(4)
    page.keyboard.press("ArrowRight")
    expect(box(page, 0)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(box(page, 1)).to_be_focused()
    expect(page.get_by_role("region", name="Box root-1")).to_be_visible()
    page.get_by_role("button", name="Compare").focus()
    page.keyboard.press("Enter")  # the button's own, though a box is chosen
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/look/root-0$"))
    expect(page.locator(BOXES)).to_have_count(node_of(page, "root-0")["node"]["child_count"])
    page.keyboard.press("Backspace")
    expect(heading(page, "Everything")).to_be_visible()


@pytest.mark.parametrize("viewport", ["narrow"])
def test_the_box_below_is_in_the_same_column(page: Page) -> None:
    page.goto(LOOK)
    expect(page.locator(BOXES)).to_have_count(4)
    page.keyboard.press("ArrowRight")
    expect(box(page, 0)).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(box(page, 2)).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(box(page, 0)).to_be_focused()


def test_a_value_stays_lit_in_all_boxes(page: Page) -> None:
    page.goto(LOOK)
    root = node_of(page, "root")
    light = page.get_by_role("button", name=f"leaf {counts(root['node']['groupings']['class'])['leaf']}")
    light.click()
    expect_lit(page, root, "class", "leaf")
    page.reload()
    expect(light).to_have_attribute("aria-pressed", "true")
    expect_lit(page, root, "class", "leaf")
    box(page, 1).dblclick()
    expect(page).to_have_url(re.compile(r"/look/root-1\?lit=leaf$"))
    expect_lit(page, node_of(page, "root-1"), "class", "leaf")
    page.goto(f"{LOOK}/root-2?lit=leaf")  # none is left there, and it can be put out all the same
    page.get_by_role("button", name="leaf 0").click()
    expect(page).to_have_url(re.compile("/look/root-2$"))


def expect_lit(page: Page, node: dict[str, Any], field: str, value: str) -> None:
    """Each box says its share of the value, and dims the other values of its bar."""
    expect(page.locator(BOXES)).to_have_count(len(node["children"]))
    for child in node["children"]:
        has = counts(child["groupings"][field])
        shown = box(page, int(child["id"].rsplit("-", 1)[1]))
        share = [f"{100 * has[value] / child['count']:.0f} % {value}"] if value in has else []
        expect(shown.locator("b")).to_have_text(share)
        expect(shown.locator(".stack i")).to_have_count(len(has))
        expect(shown.locator(".stack .unlit")).to_have_count(len(has) - len(share))


def test_boxes_are_grouped_by_another_field(page: Page) -> None:
    page.goto(f"{LOOK}?lit=leaf")
    page.get_by_label("Group by").select_option("tags")
    root = node_of(page, "root", "tags")
    for one in root["node"]["groupings"]["tags"][:10]:
        light = page.get_by_role("button", name=f"{one['value']} {one['count']}", exact=True)
        expect(light).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("button", name=re.compile(r"^leaf \d"))).to_have_count(
        1
    )  # the tag, not the class
    page.reload()
    expect(page.get_by_label("Group by")).to_have_value("tags")


def test_tiles_of_the_treemap_are_as_large_as_their_boxes(page: Page) -> None:
    page.goto(LOOK)
    children = node_of(page, "root")["children"]
    tiles = page.locator(".treemap button")
    expect(tiles).to_have_count(len(children))
    shares = []
    for number, child in enumerate(children):
        tile = page.get_by_role("button", name=f"Box {number}, {child['count']} images", exact=True)
        size = tile.bounding_box()
        assert size is not None
        shares.append(size["width"] * size["height"] / child["count"])
    assert max(shares) < 1.1 * min(shares)
    tile.click()
    expect(page.get_by_role("region", name="Box root-3")).to_be_visible()
    expect(box(page, 3)).to_have_class(re.compile(r"\bon\b"))
    tile.click()
    expect(page).to_have_url(re.compile("/look/root-3$"))


def test_a_box_is_a_search(page: Page) -> None:
    page.goto(LOOK)
    count = node_of(page, "root-2")["node"]["count"]
    box(page, 2).click()
    page.keyboard.press("s")
    expect(page).to_have_url(re.compile(r"/c/shop/search\?cluster\.look=root-2$"))
    expect(grid(page).get_by_role("option")).to_have_count(count)
    page.go_back()
    expect(heading(page, "Everything")).to_be_visible()


def test_all_of_a_box_are_chosen(page: Page) -> None:
    page.goto(LOOK)
    count = node_of(page, "root-2")["node"]["count"]
    box(page, 2).click()
    page.get_by_role("button", name="Choose all").click()
    expect(page.get_by_role("toolbar", name="What is chosen")).to_contain_text(f"{count} selected")


def test_all_of_a_box_are_tagged_and_that_is_undone(own_page: Page) -> None:
    own_page.goto(LOOK)
    count = node_of(own_page, "root-1")["node"]["count"]
    box(own_page, 1).click()
    own_page.get_by_role("button", name=f"Tag all {count}").click()
    own_page.get_by_role("dialog").get_by_label("Tag", exact=True).fill("sorted")
    own_page.keyboard.press("Enter")
    said = own_page.get_by_role("status")
    expect(said).to_contain_text(f"Tagged {count} images sorted")
    assert tagged(own_page, "sorted") == count
    said.get_by_role("button", name="Undo").click()
    expect(said).to_contain_text("Undone")
    assert tagged(own_page, "sorted") == 0


def test_a_box_is_renamed_and_that_is_undone(own_page: Page) -> None:
    own_page.goto(LOOK)
    before = node_of(own_page, "root-2")["node"]["name"]
    box(own_page, 2).click()
    own_page.get_by_role("button", name="Rename").click()
    field = own_page.get_by_role("dialog").get_by_label("Name")
    expect(field).to_have_value(before)
    field.fill("hats and wings")
    field.press("Enter")
    expect(box(own_page, 2)).to_contain_text("Hats and wings")
    assert node_of(own_page, "root-2")["node"]["name"] == "hats and wings"
    own_page.get_by_role("status").get_by_role("button", name="Undo").click()
    expect(box(own_page, 2)).to_contain_text(title({"name": before}))
    assert node_of(own_page, "root-2")["node"]["name"] == before


@pytest.fixture
def two_runs(shop_data: Path, tmp_path: Path) -> Iterator[Site]:
    """A server with a second run, ``flat``."""
    data = shutil.copytree(shop_data, tmp_path / "two runs")
    with vitrine.open(data, encoder="demo", offline=True, progress=False) as library:
        library["shop"].cluster("flat", vitrine.ClusterOptions(branching=3, leaf_size=20))
    with forked(data) as url:
        yield Site(url, data)


def test_two_runs_are_compared(two_runs: Site, open_page: Open) -> None:
    page = open_page(two_runs)
    page.goto(LOOK)
    compared = page.request.get("/v1/categories/shop/clusters/compare?a=look&b=flat&level=1").json()
    flows = compared["flows"]
    page.get_by_role("button", name="Compare").click()
    dialog = page.get_by_role("dialog", name="look and flat")
    expect(dialog).to_contain_text(f"48 images in both; ARI {compared['ari']:.2f}")
    rows = dialog.get_by_role("listitem")
    expect(rows.get_by_role("button")).to_have_text([f"root-{number}" for number in range(4)])
    for number, count in ((number, node_of(page, f"root-{number}")["node"]["count"]) for number in range(4)):
        most = max((flow for flow in flows if flow["a"] == f"root-{number}"), key=lambda flow: flow["count"])
        row = rows.filter(has=page.get_by_role("button", name=f"root-{number}", exact=True))
        expect(row).to_contain_text(f"{most['b']} {100 * most['count'] / count:.0f} %")
    axe(page)
    dialog.get_by_role("button", name="root-1", exact=True).click()
    expect(page).to_have_url(re.compile("/clusters/look/root-1$"))
    expect(dialog).to_have_count(0)
    page.get_by_label("Run").select_option("flat")
    expect(page).to_have_url(re.compile("/clusters/flat/root$"))
    expect(page.locator(BOXES)).to_have_count(3)


def tagged(page: Page, tag: str) -> int:
    values = page.request.get("/v1/categories/shop/facets/tags").json()["values"]
    return counts(values).get(tag, 0)


def test_a_category_without_clusters_says_how_to_make_some(page: Page) -> None:
    page.goto("/c/cards/clusters")
    expect(page.get_by_text("vitrine cluster run look -c cards")).to_be_visible()
    axe(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", ["desk", "phone"])
def test_everybody_can_use_the_page(page: Page) -> None:
    page.goto(f"{LOOK}?lit=leaf")
    expect(box(page, 0)).to_be_in_viewport()
    expect(page.get_by_role("heading", name="Treemap")).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    axe(page)
    box(page, 1).click()
    page.get_by_role("button", name=re.compile("^Tag all")).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    axe(page)
