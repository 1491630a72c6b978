"""From Enter to the first row of pictures, from a facet to the new grid, the bytes of the page, and the map
of a real category.

    python -m benchmarks.page.search --data FOLDER --category NAME [--rounds 24] [--json FILE]

The category's encoder reads texts, and it has a map. A row counts as painted in the frame after all of its
pictures have loaded.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, Response

from benchmarks.page.browser import page_at

WORDS = ("a red mug", "a green lamp", "blue", "a striped hat", "a boat", "yellow flower", "a clock", "a bag")
MOST_MS = 5_000
REST_MS = 700
"""Between two steps: what was asked for has come, and counts and prefetched pictures with it."""
ROW = """
  const row = () => {
    const tiles = [...document.querySelectorAll('.grid .tile')].filter((tile) => !tile.hidden);
    const top = Math.min(...tiles.map((tile) => tile.getBoundingClientRect().top));
    const first = tiles.filter((tile) => tile.getBoundingClientRect().top < top + 2);
    return first.map((tile) => tile.querySelector('img'));
  };
  const names = (row) => row.map((image) => image.src).join();
"""
TIMED = f"""
(step) => new Promise((done) => {{
  {ROW}
  const before = names(row());
  const started = performance.now();
  const look = () => {{
    const now = row();
    const others = now.length > 0 && names(now) !== before;
    const painted = others && now.every((image) => image.style.opacity === '1');
    if (performance.now() - started > step.most) return done(null);
    requestAnimationFrame(painted ? () => done(performance.now() - started) : look);
  }};
  document.querySelectorAll(step.all)[step.at][step.does]();
  requestAnimationFrame(look);
}})
"""
MAP = """
() => new Promise((done) => {
  const started = performance.now();
  const look = () => {
    const drawn = document.querySelector('canvas[data-points]');
    requestAnimationFrame(drawn ? () => done(performance.now() - started) : look);
  };
  [...document.querySelectorAll('.nav a')].find((link) => link.textContent === 'Map').click();
  look();
})
"""
"""From the click on Map to the frame after the one in which all points are drawn."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--category", required=True)
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    args = parser.parse_args()
    with page_at(args.data) as page:
        figures: dict[str, Any] = {"kilobytes": transferred(page, args.category)}
        figures["enter_to_first_row_ms"] = spread(searches(page, args.rounds))
        figures["facet_to_new_grid_ms"] = spread(facets(page, args.category, args.rounds))
        figures["map_ms"] = spread(maps(page, args.category, 5))
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def transferred(page: Page, category: str) -> dict[str, float]:
    """Return what the page of searches takes over the wire, without pictures and answers of the API."""
    answers: list[Response] = []

    def note(answer: Response) -> None:
        answers.append(answer)

    page.on("response", note)
    page.goto(f"/c/{category}/search", wait_until="networkidle")
    page.remove_listener("response", note)
    sizes = {"script": 0.0, "all": 0.0}
    for answer in answers:
        if "/v1/" not in answer.url:
            size = answer.request.sizes()["responseBodySize"] / 1000
            sizes["all"] += size
            sizes["script"] += size * (answer.request.resource_type == "script")
    return {name: round(size, 1) for name, size in sizes.items()}


def searches(page: Page, rounds: int) -> list[float | None]:
    """Type words and press Enter; the first three are no part of it, since the encoder is loaded by them."""
    took = []
    for number in range(rounds + 3):
        again = f" {number // len(WORDS)}" if number >= len(WORDS) else ""
        page.get_by_label("Ask in words").fill(WORDS[number % len(WORDS)] + again)
        took.append(timed(page, ".ask", "requestSubmit"))
        page.wait_for_timeout(REST_MS)
    return took[3:]


def facets(page: Page, category: str, rounds: int) -> list[float | None]:
    """Click one value after the other of the first facet, each on the grid of the whole category."""
    page.goto(f"/c/{category}/search", wait_until="networkidle")
    first = page.locator(".facet").first
    first.wait_for()
    values = first.locator("button").count()
    took = []
    for number in range(rounds + 2):
        took.append(timed(page, ".facet:first-of-type button", "click", number % values))
        page.wait_for_timeout(REST_MS)
        page.locator(".chip button").first.click()
        page.wait_for_timeout(REST_MS)
    return took[2:]


def maps(page: Page, category: str, rounds: int) -> list[float]:
    took = []
    for _ in range(rounds + 1):
        page.goto(f"/c/{category}/search", wait_until="networkidle")
        took.append(float(page.evaluate(MAP)))
    return took[1:]


def timed(page: Page, selector: str, does: str, at: int = 0) -> float | None:
    """Return milliseconds from a step to the first row of another grid; None where the row stays the same."""
    took: float | None = page.evaluate(TIMED, {"all": selector, "at": at, "does": does, "most": MOST_MS})
    return took


def spread(given: Sequence[float | None]) -> dict[str, float]:
    """Return median, 95th percentile and how many there were."""
    took = [each for each in given if each is not None]
    last = sorted(took)[round(0.95 * (len(took) - 1))]
    return {"p50": round(statistics.median(took), 1), "p95": round(last, 1), "n": len(took)}


if __name__ == "__main__":
    main()
