"""What a page must not do: errors, reports of the content security policy, requests to other hosts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Request, WebError

REPORT_POLICY = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`content security policy: ${event.effectiveDirective} ${event.blockedURI}`));
"""
_OWN_SCHEMES = ("data", "blob", "about")


class Faults:
    """The faults of the pages of one test. Each must be expected, and each that is expected must come."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._expected: list[str] = []

    def expect(self, pattern: str) -> None:
        """Say that the test brings a fault about, by a pattern that is found in its text, such as ``status of
        401``: browsers report answers that are errors on the console. It may come several times."""
        self._expected.append(pattern)

    def watch(self, context: BrowserContext, host: str) -> None:
        """Note the faults of all pages and workers of a context; ``host``: with its port, the only one that
        may be asked."""

        def on_console(message: ConsoleMessage) -> None:
            if message.type == "error":
                self._found.append(f"console: {message.text} ({message.location['url']})")

        def on_error(error: WebError) -> None:
            self._found.append(f"uncaught: {error.error}")

        def on_request(request: Request) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in _OWN_SCHEMES and parts.netloc != host:
                self._found.append(f"request to another host: {request.url}")

        context.on("console", on_console)
        context.on("weberror", on_error)
        context.on("request", on_request)
        context.add_init_script(REPORT_POLICY)

    def check(self) -> None:
        """Fail for faults that were not expected, and for expected ones that did not come."""
        found = "\n".join(self._found)
        unexpected = [
            fault for fault in self._found if not any(re.search(pattern, fault) for pattern in self._expected)
        ]
        assert not unexpected, "\n".join(["the page did what it must not:", *unexpected])
        missing = [pattern for pattern in self._expected if not re.search(pattern, found)]
        assert not missing, f"expected, and did not come: {missing}"
