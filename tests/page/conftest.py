"""A browser at the page of a small shop.

A test takes ``page`` to look: its server is shared, so it must change nothing there. A test that changes
something takes ``own_page``, whose server has a copy of the data for this test alone. Both fail on a console
error, an uncaught error, a report of the content security policy and a request to another host; ``faults``
says which of them a test brings about. ``theme`` and ``viewport`` are fixtures that a test can parametrize:

    @pytest.mark.parametrize("theme", ["light", "dark"])
    @pytest.mark.parametrize("viewport", ["phone"])
    def test_it_can_be_read(page: Page) -> None:
        page.goto("/c/shop/search")
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest

from tests.page.support.faults import Faults
from tests.page.support.server import forked
from tests.page.support.shop import make_shop
from vitrine.api.page import is_built

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
VIEWPORTS: dict[str, dict[str, Any]] = {
    "desk": {"viewport": {"width": 1440, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "narrow": {"viewport": {"width": 360, "height": 640}},
    "wide": {"viewport": {"width": 2560, "height": 1300}},
}
OFF = (
    # Each window has a bar for addresses, though nobody sees it. Its suggestions are pages of their own, and
    # took as much time as the page that is tested.
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    # What playwright switches off for the sake of its steps: of two lists a browser takes the last alone.
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
)
OPTIONS = (
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no other host can be reached
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card
    f"--disable-features={','.join(OFF)}",
)
PATIENCE_MS = 20_000
"""How long a step may take before it fails: machines that test may be slow."""
KEYS = {"read": "r3ad-key", "write": "wr1te-key"}


@dataclass(frozen=True)
class Site:
    """A server. ``data``: its data folder."""

    url: str
    data: Path


Start = Callable[..., Site]
Open = Callable[[Site], "Page"]


@pytest.fixture(scope="session")
def program() -> str:
    """The browser's program; without one, or without what drives it, the tests are skipped."""
    pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
    if not is_built():
        pytest.skip("the page is not built: make page")
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(PROGRAMS)} is installed: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def browser(program: str) -> Iterator[Browser]:
    """A browser for the tests of a file. While it is open, this thread has a running event loop."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shop_data(program: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data that servers get copies of; nothing has it open. Made once for all processes of a run."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each process has a folder of its own there
    folder = base / "shop"
    with (base / "shop.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            half = base / "half a shop"
            shutil.rmtree(half, ignore_errors=True)  # of a process that was killed
            make_shop(half)
            half.rename(folder)
    return folder / "data"


@pytest.fixture(scope="session")
def site(shop_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server that all tests share: change nothing there."""
    data = shutil.copytree(shop_data, tmp_path_factory.mktemp("site") / "data")
    with forked(data) as url:
        yield Site(url, data)


@pytest.fixture
def start_site(shop_data: Path, tmp_path: Path) -> Iterator[Start]:
    """A function that starts a server for this test alone: ``start_site()``, with a copy of the shop;
    ``start_site(empty=True)``; ``start_site(keys=True)``, which asks for one of ``KEYS``."""
    with ExitStack() as stack:

        def start(*, empty: bool = False, keys: bool = False, **settings: str) -> Site:
            data = tmp_path / f"site-{len(list(tmp_path.iterdir()))}"
            if not empty:
                shutil.copytree(shop_data, data)
            if keys:
                settings["VITRINE_API_KEYS"] = ",".join(f"{scope}:{key}" for scope, key in KEYS.items())
            return Site(stack.enter_context(forked(data, **settings)), data)

        yield start


@pytest.fixture
def own_site(start_site: Start) -> Site:
    """A server with a copy of the shop, for this test alone."""
    return start_site()


@pytest.fixture
def theme() -> Literal["light", "dark"]:
    return "light"


@pytest.fixture
def viewport() -> str:
    """One of ``VIEWPORTS``."""
    return "desk"


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def open_page(
    browser: Browser,
    start_site: Start,  # servers are stopped after the pages are closed
    theme: Literal["light", "dark"],
    viewport: str,
    faults: Faults,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Open]:
    """A function that opens a blank page with cookies and storage of its own; addresses such as
    ``/c/shop/map`` are those of its server. Where the test fails, what the pages show goes to ``tmp_path``.
    """
    failed_before = request.session.testsfailed
    pages: list[Page] = []

    def open_blank(site: Site) -> Page:
        context = browser.new_context(
            base_url=site.url,
            color_scheme=theme,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
            **VIEWPORTS[viewport],
        )
        context.set_default_timeout(PATIENCE_MS)
        faults.watch(context, urlsplit(site.url).netloc)
        pages.append(context.new_page())
        return pages[-1]

    yield open_blank
    if request.session.testsfailed > failed_before:
        for number, page in enumerate(pages):
            page.screenshot(path=tmp_path / f"failed-{number}.png")
            print(f"what the page showed: {tmp_path}/failed-{number}.png")
    for page in pages:
        page.context.close()
    faults.check()


@pytest.fixture
def page(open_page: Open, site: Site) -> Page:
    """A blank page at the shared server: change nothing there."""
    return open_page(site)


@pytest.fixture
def own_page(open_page: Open, own_site: Site) -> Page:
    """A blank page at a server of the test's own."""
    return open_page(own_site)
