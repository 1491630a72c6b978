"""Screenshots of every page, in both themes and on a phone.

    python -m benchmarks.page.shots --data FOLDER --category NAME --to FOLDER [--pages search,map]

They are looked at beside one another after each change of the page; three of them are in the README.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.page.browser import page_at

PAGES = {
    "home": "/",
    "search": "/c/{category}/search",
    "words": "/c/{category}/search?q=a+red+mug",
    "clusters": "/c/{category}/clusters",
    "map": "/c/{category}/map",
    "tags": "/c/{category}/tags",
    "duplicates": "/c/{category}/duplicates",
    "docs": "/docs",
}
PATIENCE_MS = 400
"""After the last answer: names and pictures of the map come in the frames after it."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--category", required=True)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--pages", default=",".join(PAGES))
    args = parser.parse_args()
    args.to.mkdir(parents=True, exist_ok=True)
    for name, theme, phone in (("light", "light", False), ("dark", "dark", False), ("phone", "light", True)):
        with page_at(args.data, theme=theme, phone=phone) as page:
            for shown in args.pages.split(","):
                page.goto(PAGES[shown].format(category=args.category), wait_until="networkidle")
                page.wait_for_timeout(PATIENCE_MS)
                page.screenshot(path=args.to / f"{shown}-{name}.png")


if __name__ == "__main__":
    main()
