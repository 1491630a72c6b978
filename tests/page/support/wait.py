"""Waiting for what no element of the page shows, such as the colour of a canvas."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.page.conftest import PATIENCE_MS

if TYPE_CHECKING:
    from playwright.sync_api import Page


def wait_until(page: Page, holds: Callable[[], bool]) -> None:
    """Look again with each frame that is drawn."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        page.evaluate("() => new Promise(requestAnimationFrame)")
