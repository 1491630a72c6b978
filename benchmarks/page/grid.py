"""Scrolling a grid of synthetic pictures, and whether the last of a million can be reached.

    python -m benchmarks.page.grid [--count 100000] [--seconds 60] [--speed 3000] [--folder FOLDER] [--json
    FILE]

``--folder`` keeps the data, and takes them from there the next time. A row is blank while it is in view and
none of its pictures has come; ``whole`` is until all have.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from benchmarks.page.browser import page_at
from benchmarks.page.synthetic import NAME, make_category

SCROLL = """
({ seconds, speed }) => new Promise((done) => {
  const box = document.querySelector('.grid');
  const tasks = [];
  const note = (list) => tasks.push(...list.getEntries().map((entry) => entry.duration));
  new PerformanceObserver(note).observe({ type: 'longtask' });
  gc();
  const heap = performance.memory.usedJSHeapSize;
  const rows = new Map();
  const waits = { blank: [], whole: [] };
  let frames = 0;
  const started = performance.now();
  let last = started;
  const step = (now) => {
    frames += 1;
    box.scrollTop += (speed * (now - last)) / 1000;
    last = now;
    const view = box.getBoundingClientRect();
    const seen = new Map();
    for (const tile of box.querySelectorAll('.tile')) {
      if (tile.hidden) continue;
      const place = tile.getBoundingClientRect();
      if (place.bottom < view.top + 8 || place.top > view.bottom - 8) continue;
      const key = Math.round(place.top + box.scrollTop);
      const row = seen.get(key) ?? { has: 0, all: 0 };
      row.all += 1;
      row.has += tile.querySelector('img').style.opacity === '1' ? 1 : 0;
      seen.set(key, row);
    }
    for (const [key, row] of seen) {
      const known = rows.get(key) ?? { came: now, blank: null, whole: null };
      if (row.has > 0) known.blank ??= now - known.came;
      if (row.has === row.all) known.whole ??= now - known.came;
      rows.set(key, known);
    }
    for (const [key, row] of rows) {
      if (seen.has(key)) continue;
      waits.blank.push(row.blank ?? now - row.came);
      waits.whole.push(row.whole ?? now - row.came);
      rows.delete(key);
    }
    if (now - started < seconds * 1000) return requestAnimationFrame(step);
    gc();
    const most = (list) => Math.round(Math.max(0, ...list));
    done({
      frames_a_second: Math.round(frames / seconds),
      rows: waits.blank.length,
      longest_blank_row_ms: most(waits.blank),
      blank_rows_over_200_ms: waits.blank.filter((ms) => ms > 200).length,
      longest_until_whole_ms: most(waits.whole),
      long_tasks: tasks.length,
      longest_task_ms: most(tasks),
      heap_growth_mb: Math.round(((performance.memory.usedJSHeapSize - heap) / 1e6) * 10) / 10,
      scrolled_px: Math.round(box.scrollTop),
    });
  };
  requestAnimationFrame(step);
})
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--speed", type=int, default=3_000, help="pixels a second")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitrine-grid-") as work:
        folder = args.folder or Path(work) / "data"
        if not folder.exists():
            make_category(folder, args.count, thumbnails=min(args.count, 100_000))
        with page_at(folder) as page:
            figures = measure(page, args)
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(page: Page, args: argparse.Namespace) -> dict[str, Any]:
    page.goto(f"/c/{NAME}/search", wait_until="networkidle")
    figures: dict[str, Any] = {"count": args.count}
    if args.seconds:
        figures |= page.evaluate(SCROLL, {"seconds": args.seconds, "speed": args.speed})
    page.locator(".grid").focus()
    page.keyboard.press("End")
    last = page.locator(f'.tile[aria-posinset="{args.count}"]')
    last.wait_for(state="visible")
    box, view = last.bounding_box(), page.locator(".grid").bounding_box()
    assert box is not None and view is not None
    figures["last_picture_is_in_view"] = (
        view["y"] <= box["y"] + 1 and box["y"] + box["height"] <= view["y"] + view["height"] + 1
    )
    return figures


if __name__ == "__main__":
    main()
