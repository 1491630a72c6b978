"""What the answer of a server means: the picture, another address, try again, or no."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from vitrine.services.download.urls import WebUrl
from vitrine.services.errors import ImageRefused

LONGEST_PAUSE = 30.0
"""Seconds that a server's ``Retry-After`` is waited for; one that asks for more is given up."""
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))
"""Answers that may be others a little later."""


class TryAgain(Exception):
    """The download failed in a way that may pass. ``pause``: seconds that the server asks for."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.pause = pause


class Answer:
    """The status line and headers of an answer to ``url``."""

    def __init__(self, url: WebUrl, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.url = url
        self.status = status
        self._headers = {name.lower(): value.decode("latin-1").strip() for name, value in headers}

    @property
    def location(self) -> str | None:
        """Where the server says that the picture is instead; None where it says no such thing."""
        return self._headers.get(b"location") if self.status in _REDIRECTS else None

    def check(self, max_bytes: int) -> None:
        """Return if a body follows that is worth reading. Raises ``TryAgain``, and ``ImageRefused``: as
        ``url_dead``, ``encoded_answer`` (compressed, though that was not asked for: what it grows to nobody
        knows) or ``file_too_large``."""
        if self.status in _PASSING:
            raise TryAgain(f"{self.url.host} answers with status {self.status}", self._pause())
        if self.status != 200:
            raise ImageRefused("url_dead", f"{self.url.host} answers with status {self.status}.")
        encoding = self._headers.get(b"content-encoding", "").lower()
        if encoding not in ("", "identity"):
            raise ImageRefused(
                "encoded_answer",
                f"{self.url.host} sends it compressed ({encoding[:40]}), though that was not asked for.",
            )
        length = self._headers.get(b"content-length", "")
        if _is_number(length) and int(length) > max_bytes:
            raise too_large(self.url, max_bytes)

    def _pause(self) -> float | None:
        """Return the seconds that ``Retry-After`` asks for, which may be a number or a date."""
        text = self._headers.get(b"retry-after", "")
        if _is_number(text):
            return float(text[:9])
        try:
            until = parsedate_to_datetime(text)
        except (TypeError, ValueError, OverflowError):
            return None
        aware = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.now(UTC)).total_seconds())


def _is_number(text: str) -> bool:
    """Return whether a header is digits and nothing else; other scripts have digits that are no numbers."""
    return text.isascii() and text.isdigit()


def too_large(url: WebUrl, max_bytes: int) -> ImageRefused:
    """Return the error of a file of more than ``max_bytes``."""
    return ImageRefused(
        "file_too_large",
        f"{url.shown} has more than {max_bytes / 1e6:.0f} MB: raise VITRINE_URL_MB, and VITRINE_MAX_IMAGE_MB "
        "if need be, if it is to be downloaded.",
    )
