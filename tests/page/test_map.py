"""The page of the map: points and their colours, what dims them, choosing by mouse, moving and enlarging."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.page.support.axe import axe
from tests.page.support.wait import wait_until

pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
from playwright.sync_api import Locator, Page, expect

PLANE = "/c/shop/map/plane"

INK = """(canvas, colour) => {
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const pen = copy.getContext("2d");
  pen.drawImage(canvas, 0, 0);
  const { data } = pen.getImageData(0, 0, copy.width, copy.height);
  const [red, green, blue] = colour.match(/\\d+/g).map(Number);
  const off = (at, value) => Math.abs(data[at] - value);
  const near = (at) => off(at, red) + off(at + 1, green) + off(at + 2, blue) < 24;
  let [strong, faint] = [0, 0];
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] > 150 && near(at)) strong += 1;
    if (data[at + 3] > 8 && data[at + 3] < 45) faint += 1;
  }
  return { strong, faint };
}"""
SPRITES = """(sprites) => sprites.map((one) => {
  const box = one.getBoundingClientRect();
  return [one.src.split("/images/")[1].split("/")[0], box.x + box.width / 2, box.y + box.height / 2];
})"""


@dataclass(frozen=True)
class Point:
    """An image's place on the screen, in pixels, and its class."""

    id: str
    x: float
    y: float
    value: str


def points_of(page: Page) -> list[Point]:
    """Where all points are on the screen, by the places of two of the pictures that lie over them."""
    wait_for_rest(page)
    plane = page.request.get("/v1/categories/shop/maps/plane/points?by=class").json()
    rows = {id: row for row, id in enumerate(plane["ids"])}
    shown = page.locator(".sprite").evaluate_all(SPRITES)
    (first, left, top), (last, right, _) = (
        min(shown, key=lambda one: one[1]),
        max(shown, key=lambda one: one[1]),
    )
    x, y = plane["x"], plane["y"]
    scale = (right - left) / (x[rows[last]] - x[rows[first]])
    return [
        Point(id, left + scale * (x[row] - x[rows[first]]), top - scale * (y[row] - y[rows[first]]), value)
        for id, row, value in zip(rows, rows.values(), plane["values"], strict=True)
    ]


def wait_for_rest(page: Page) -> None:
    expect(page.locator(".sprite").first).to_be_visible()


def legend(page: Page) -> Locator:
    return page.get_by_role("region", name="Colours")


def ink(page: Page, value: str = "leaf") -> tuple[int, int]:
    """How many pixels of the map have the colour of a value in the legend, and how many are nearly clear."""
    dot = legend(page).get_by_role("button", name=value).locator("i")
    colour = dot.evaluate("(dot) => getComputedStyle(dot).backgroundColor")
    found = page.locator("canvas").evaluate(INK, colour)
    return found["strong"], found["faint"]


def view_of(page: Page) -> tuple[float, float, float]:
    """The middle and the enlargement that the address has."""
    x, y, times = parse_qs(urlsplit(page.url).query)["view"][0].split(",")
    return float(x), float(y), float(times)


def gap(numbers: list[float]) -> float:
    """The middle of the widest gap between two numbers that follow each other, in the middle third."""
    third = len(numbers) // 3
    low, high = max(pairwise(sorted(numbers)[third : 2 * third]), key=lambda pair: pair[1] - pair[0])
    return (low + high) / 2


def draw(page: Page, *corners: tuple[float, float]) -> None:
    """Drag along straight lines."""
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=4)
    page.mouse.up()


def draw_box(page: Page, points: list[Point], *, add: bool = False) -> list[Point]:
    """Draw a box around the right part of the map, with Shift to ``add`` to what is chosen; returns the
    points in it."""
    split = gap([point.x for point in points])
    top, bottom = min(point.y for point in points) - 12, max(point.y for point in points) + 12
    page.keyboard.press("b")
    if add:
        page.keyboard.down("Shift")
    # from below, since the legend lies over the upper left corner of a phone's map
    draw(page, (max(point.x for point in points) + 12, bottom), (split, top))
    page.keyboard.up("Shift")
    return [point for point in points if point.x > split]


def draw_triangle(page: Page, points: list[Point]) -> list[Point]:
    """Draw a line around the upper left corner of the map; returns the points in it."""
    split = gap([point.x + point.y for point in points])
    left, top = min(point.x for point in points) - 12, min(point.y for point in points) - 12
    page.keyboard.press("l")
    draw(page, (left, top), (split - top, top), (left, split - left))
    return [point for point in points if point.x + point.y < split]


def expect_chosen(page: Page, chosen: list[Point]) -> None:
    """The panel and the tray say how many are chosen, and of which classes."""
    panel = page.get_by_role("complementary", name="Chosen on the map")
    expect(panel.get_by_role("heading")).to_have_text(f"{len(chosen)} selected")
    tray = page.get_by_role("toolbar", name="What is chosen")
    expect(tray).to_contain_text(f"{len(chosen)} selected")
    order = legend(page).locator("li span").all_inner_texts()
    mix = Counter(sorted((point.value for point in chosen), key=order.index)).most_common(3)
    expect(panel.locator("p")).to_have_text(", ".join(f"{count} {value}" for value, count in mix))
    expect(panel.get_by_role("link", name="Open the image")).to_have_count(min(28, len(chosen)))


def test_points_are_drawn_in_the_colours_of_the_legend(page: Page) -> None:
    page.goto("/c/shop/map")
    wait_for_rest(page)
    classes = page.request.get("/v1/categories/shop/facets/class").json()["values"]
    rows = legend(page).get_by_role("listitem")
    expect(rows).to_have_text([f"{one['value']}{one['count']}" for one in classes[:10]])
    for value in ("leaf", "chair", "lamp"):
        wait_until(page, lambda value=value: ink(page, value)[0] > 20)  # type: ignore[misc]
    facts = page.get_by_role("region", name="Map", exact=True)
    expect(facts).to_contain_text("plane on demo")
    expect(facts).to_contain_text(re.compile(r"48 points · \d+ % of near neighbours kept"))
    expect(page.locator(".name", has_text="lamp")).to_be_visible()


def test_another_field_gives_other_colours(page: Page) -> None:
    page.goto(PLANE)
    wait_for_rest(page)
    wait_until(page, lambda: ink(page)[0] > 20)
    leaf = legend(page).get_by_role("button", name="leaf").locator("i")
    blue = leaf.evaluate("(dot) => getComputedStyle(dot).backgroundColor")
    page.get_by_label("Colour by").select_option("metadata.price")
    expect(legend(page).get_by_role("listitem")).to_have_count(0)
    bars = page.request.get("/v1/categories/shop/histograms/metadata.price?bins=1").json()["bins"]
    ends = legend(page).locator(".ends span")
    expect(ends).to_have_text([f"{bars[0][end]:.0f}" for end in ("lower", "upper")])
    wait_until(page, lambda: page.locator("canvas").evaluate(INK, blue)["strong"] == 0)
    expect(page.locator(".name")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Colour by")).to_have_value("metadata.price")


def test_dates_are_written_as_dates(page: Page) -> None:
    page.goto(f"{PLANE}?by=indexed_at")
    expect(legend(page).locator(".ends span").first).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d$"))


def test_a_condition_dims_what_does_not_meet_it(page: Page) -> None:
    page.goto(PLANE)
    wait_for_rest(page)
    wait_until(page, lambda: ink(page, "chair")[0] > 20)
    faint = ink(page)[1]
    page.goto(f"{PLANE}?class=leaf")
    wait_until(page, lambda: ink(page, "chair")[0] == 0 and ink(page)[0] > 20)
    assert ink(page)[1] > faint + 100  # the others are there, only paler
    expect(legend(page).get_by_role("button", name="chair 8")).to_be_visible()
    chairs = {point.id for point in points_of(page) if point.value != "leaf"}
    shown = page.locator(".sprite").evaluate_all(SPRITES)
    assert not chairs & {id for id, _, _ in shown}
    page.get_by_role("button", name="As a search").click()
    expect(page).to_have_url(re.compile(r"/c/shop/search\?class=leaf$"))


LEAVE = """async () => {
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const wheel = new WheelEvent("wheel", { deltaY: -100, clientX: 500, clientY: 400 });
  document.querySelector("canvas").dispatchEvent(wheel);
  document.querySelector("nav[aria-label=Pages] a").click();
  await pause(0);
  const held = performance.now() + 150; // the page is busy when the map would have come to rest
  while (performance.now() < held);
  await pause(150);
  return location.pathname + location.search;
}"""


def test_a_map_that_is_left_while_it_moves_says_nothing_more(page: Page) -> None:
    page.goto(PLANE)
    wait_for_rest(page)
    assert page.evaluate(LEAVE) == "/c/shop/search"


def test_a_value_of_the_legend_is_lit(page: Page) -> None:
    page.goto(PLANE)
    wait_for_rest(page)
    chair = legend(page).get_by_role("button", name="chair 8")
    chair.click()
    wait_until(page, lambda: ink(page)[0] == 0 and ink(page, "chair")[0] > 20)
    page.reload()
    expect(chair).to_have_attribute("aria-pressed", "true")
    chair.click()
    wait_until(page, lambda: ink(page)[0] > 20)


def test_a_card_tells_what_lies_under_the_pointer(page: Page) -> None:
    page.goto(f"{PLANE}?by=metadata.price")
    points = points_of(page)
    prices = page.request.get("/v1/categories/shop/maps/plane/points?by=metadata.price").json()
    of = dict(zip(prices["ids"], prices["values"], strict=True))
    card, canvas = page.locator(".stage .card"), page.locator("canvas").bounding_box()
    assert canvas is not None
    key: Callable[[Point], float]
    for key in (lambda one: one.y, lambda one: -one.x, lambda one: one.x):  # at the edges of the map
        point = min(points, key=key)
        page.mouse.move(point.x, point.y)
        expect(card.locator("img")).to_have_attribute("src", re.compile(point.id))
        expect(card).to_have_text(f"{of[point.id]:.0f}")
        box = card.bounding_box()
        assert box is not None and box["y"] >= canvas["y"]
    page.mouse.down()
    page.mouse.move(point.x + 60, point.y)
    expect(card).to_have_count(0)  # the map has moved away under it
    page.mouse.up()
    point = min(points_of(page), key=lambda one: one.y)
    page.mouse.click(point.x, point.y)
    expect(page).to_have_url(re.compile(f"/c/shop/image/{point.id}"))


def test_images_are_chosen_by_a_box_and_by_a_line(page: Page) -> None:
    page.goto(PLANE)
    points = points_of(page)
    boxed = draw_box(page, points)
    expect_chosen(page, boxed)
    rounded = draw_triangle(page, points)
    expect_chosen(page, rounded)  # in place of those of the box
    assert boxed and rounded and len(rounded) < len(points)
    boxed = draw_box(page, points, add=True)
    expect_chosen(page, [point for point in points if point in boxed or point in rounded])
    tools, tray = page.get_by_role("toolbar", name="Map"), page.get_by_role("toolbar", name="What is chosen")
    upper, lower = tools.bounding_box(), tray.bounding_box()
    assert upper is not None and lower is not None
    assert upper["y"] + upper["height"] <= lower["y"]  # neither covers the other
    page.keyboard.press("Escape")
    expect(page.get_by_role("complementary", name="Chosen on the map")).to_have_count(0)


def test_dimmed_images_are_not_chosen(page: Page) -> None:
    page.goto(f"{PLANE}?class=leaf")
    boxed = draw_box(page, points_of(page))
    expect_chosen(page, [point for point in boxed if point.value == "leaf"])


def test_what_is_chosen_is_tagged_and_that_is_undone(own_page: Page) -> None:
    own_page.goto(PLANE)
    chosen = draw_box(own_page, points_of(own_page))
    expect_chosen(own_page, chosen)
    own_page.keyboard.press("t")
    own_page.get_by_role("dialog").get_by_label("Tag", exact=True).fill("right hand")
    own_page.keyboard.press("Enter")
    said = own_page.get_by_role("status")
    expect(said).to_contain_text(f"Tagged {len(chosen)} images right hand")
    found = own_page.request.get("/v1/categories/shop/images?tag=right%20hand&limit=100").json()["hits"]
    assert {hit["id"] for hit in found} == {point.id for point in chosen}
    own_page.keyboard.press("z")
    expect(said).to_contain_text("Undone")
    assert own_page.request.get("/v1/categories/shop/images?tag=right%20hand").json()["hits"] == []


def test_the_wheel_enlarges_around_the_pointer_and_dragging_moves(page: Page) -> None:
    page.goto(PLANE)
    target = max(points_of(page), key=lambda point: point.x)
    page.mouse.move(target.x, target.y)
    page.mouse.wheel(0, -200)
    wait_until(page, lambda: "view=" in page.url and view_of(page)[2] > 1.5)
    stayed = next(point for point in points_of(page) if point.id == target.id)
    assert (stayed.x, stayed.y) == pytest.approx((target.x, target.y), abs=2)
    before = view_of(page)
    draw(page, (700, 400), (600, 460))
    wait_until(page, lambda: view_of(page) != before)
    moved = next(point for point in points_of(page) if point.id == target.id)
    assert (moved.x, moved.y) == pytest.approx((target.x - 100, target.y + 60), abs=2)
    now = view_of(page)
    page.reload()
    kept = next(point for point in points_of(page) if point.id == target.id)
    assert (kept.x, kept.y) == pytest.approx((moved.x, moved.y), abs=3)
    assert view_of(page) == now


def test_the_map_is_moved_by_keys(page: Page) -> None:
    page.goto(PLANE)
    wait_for_rest(page)
    wait_until(page, lambda: "view=" in page.url)
    assert view_of(page) == (0.5, 0.5, 1)
    page.keyboard.press("+")
    wait_until(page, lambda: view_of(page)[2] == 1.4)
    page.keyboard.press("ArrowRight")
    wait_until(page, lambda: view_of(page)[0] > 0.5)
    page.keyboard.press("ArrowUp")
    wait_until(page, lambda: view_of(page)[1] > 0.5)
    page.keyboard.press("-")
    wait_until(page, lambda: view_of(page)[2] == 1)
    page.keyboard.press("0")
    wait_until(page, lambda: view_of(page) == (0.5, 0.5, 1))
    page.keyboard.press("p")
    expect(page.locator(".sprite")).to_have_count(0)
    page.keyboard.press("n")
    expect(page.locator(".stage .name")).to_have_count(0)
    expect(page.get_by_role("button", name="Names")).to_have_attribute("aria-pressed", "false")


def test_a_category_without_a_map_says_how_to_make_one(page: Page) -> None:
    page.goto("/c/cards/map")
    expect(page.get_by_text("vitrine map make umap -c cards")).to_be_visible()
    axe(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", ["desk", "phone"])
def test_everybody_can_use_the_page(page: Page) -> None:
    page.goto(PLANE)
    points = points_of(page)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    axe(page)
    draw_box(page, points)
    expect(page.get_by_role("complementary", name="Chosen on the map")).to_be_visible()
    axe(page)
