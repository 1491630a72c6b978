"""What the tests of a grid of pictures look at: its pictures, how many there are, and a file to ask by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload, Locator, Page


def grid(page: Page) -> Locator:
    return page.get_by_role("listbox", name=re.compile("pictures?$"))


def tile(page: Page, number: int) -> Locator:
    """The picture of this number, from 1 in the order of the answer; the nodes are in any order."""
    return grid(page).get_by_role("option", name=re.compile(rf"^Image {number}\b"))


def shown_pictures(page: Page) -> list[tuple[str | None, str | None]]:
    """The name and the picture's address of each tile that is in the page, in the order of the answer."""
    found = {
        int(one.get_attribute("aria-posinset") or 0): (
            one.get_attribute("aria-label"),
            one.locator("img").get_attribute("src"),
        )
        for one in grid(page).get_by_role("option").all()
    }
    return [found[number] for number in sorted(found)]


def number_of_images(page: Page) -> Locator:
    """The line that says how many images the question has."""
    return page.get_by_role("status").filter(has_text=re.compile(r"^[\d,]+ images?"))


def file_of(page: Page, id: str) -> FilePayload:
    """The file of an image of the shop, to be sent."""
    file = page.request.get(f"/v1/categories/shop/images/{id}/file")
    return {"name": "asked.jpg", "mimeType": file.headers["content-type"], "buffer": file.body()}
