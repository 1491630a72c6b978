"""A server over a data folder, and a page of headless Chromium at it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.page.conftest import PROGRAMS
from tests.served import served

DESK = {"width": 1440, "height": 900}


@contextmanager
def page_at(folder: Path, *, theme: str = "light", phone: bool = False) -> Iterator[Page]:
    """Serve the data in a folder, and give a blank page whose addresses are those of the server. WebGL is
    drawn by software: there need be no graphics card."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        sys.exit(f"Chromium is missing: install one of {', '.join(PROGRAMS)}.")
    with served(folder) as (_, url), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--enable-unsafe-swiftshader", "--enable-precise-memory-info", "--js-flags=--expose-gc"],
        )
        size = {"width": 390, "height": 844} if phone else DESK
        context = browser.new_context(
            base_url=url, viewport=size, color_scheme="dark" if theme == "dark" else "light"
        )
        context.set_default_timeout(120_000)
        yield context.new_page()
        browser.close()
