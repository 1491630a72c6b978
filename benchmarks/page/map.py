"""The map while it is moved, and its lasso, with points by the software's WebGL.

    python -m benchmarks.page.map [--counts 50000,200000,1000000] [--seconds 5] [--folder FOLDER] [--json
    FILE]

``--folder`` keeps the data of each count in a folder of its own. Frames are counted while the mouse drags
the map to and fro; each frame says how many points it has. The lasso goes round half of the plane: from the
release of the button to the frame that says how many are chosen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from benchmarks.page.browser import page_at
from benchmarks.page.synthetic import MAP, NAME, make_category

DRAWN_MS = 3_000
"""By then all points are on the screen: the software draws them on the cores that the lasso needs."""
WATCH = """
() => {
  window.frames_ = [];
  window.watching = true;
  const canvas = document.querySelector('.stage canvas');
  canvas.addEventListener('pointermove', () => { window.movedAt = performance.now(); });
  const drawn = () => { window.drawnAt = performance.now(); };
  new MutationObserver(drawn).observe(canvas, { attributeFilter: ['data-points'] });
  const look = (now) => {
    window.frames_.push([now, Number(canvas.dataset.points)]);
    if (window.watching) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""
LASSOED = """
() => new Promise((done) => {
  addEventListener('pointerup', () => {
    const started = performance.now();
    const end = () => done(performance.now() - started);
    const seen = () => requestAnimationFrame(() => setTimeout(end));
    const look = () => document.querySelector('.tray') ? seen() : setTimeout(look, 1);
    look();
  }, { once: true, capture: true });
})
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", default="50000,200000,1000000")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="vitrine-map-") as work:
        for count in map(int, args.counts.split(",")):
            folder = (args.folder or Path(work)) / str(count)
            if not folder.exists():
                folder.parent.mkdir(parents=True, exist_ok=True)
                make_category(folder, count)
            with page_at(folder) as page:
                results.append(measure(page, count, args.seconds))
            print(json.dumps(results[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


def measure(page: Page, count: int, seconds: float) -> dict[str, Any]:
    started = time.perf_counter()
    page.goto(f"/c/{NAME}/map/{MAP}")
    page.locator(f'canvas[data-points="{count}"]').wait_for()
    opened = time.perf_counter() - started
    page.wait_for_load_state("networkidle")
    return {
        "points": count,
        "opened_s": round(opened, 2),
        **panned(page, count, seconds),
        "lasso_ms": round(lassoed(page), 1),
        "chosen": page.locator(".tray b").inner_text(),
    }


def panned(page: Page, count: int, seconds: float) -> dict[str, Any]:
    page.mouse.move(700, 450)
    page.mouse.down()
    page.evaluate(WATCH)
    ends, step = time.perf_counter() + seconds, 0
    while time.perf_counter() < ends:
        step += 1
        page.mouse.move(700 + step % 60 * 2, 450 + step % 40)
    frames = page.evaluate("() => { window.watching = false; return window.frames_ }")
    page.mouse.up()
    page.locator(f'canvas[data-points="{count}"]').wait_for()
    half = frames[len(frames) // 2 :]  # the pace is found by then
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(half)]
    return {
        "frames_a_second": round(1000 * len(gaps) / sum(gaps), 1),
        "slowest_twentieth_ms": round(sorted(gaps)[int(0.95 * len(gaps))], 1),
        "points_a_frame": int(statistics.median(points for _, points in half)),
        "all_after_rest_ms": round(page.evaluate("() => window.drawnAt - window.movedAt")),
    }


def lassoed(page: Page) -> float:
    page.wait_for_timeout(DRAWN_MS)
    page.keyboard.press("l")
    page.evaluate(f"() => {{ window.lasso = ({LASSOED})() }}")
    page.mouse.move(720, 100)
    page.mouse.down()
    for x, y in ((300, 150), (250, 500), (320, 820), (720, 850), (760, 400)):
        page.mouse.move(x, y, steps=8)
    page.mouse.up()
    return float(page.evaluate("() => window.lasso"))


if __name__ == "__main__":
    main()
