"""Read a URL strictly: what browsers would forgive is refused, so that nothing is asked that was not
meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, unquote, urljoin

from vitrine.services.errors import ImageRefused

MAX_URL = 4_096
"""Characters of the longest URL; signed ones have some two thousand."""
PORTS = {"http": 80, "https": 443}
_PARTS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[^/?#]*)(?P<target>[^#]*)")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[0-9]{1,5}")
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
_MAX_NAME = 400


@dataclass(frozen=True)
class WebUrl:
    """A URL in its normal form. ``host``: a name in lower-case ASCII without a dot at its end, or an address,
    one of IPv6 without brackets; ``target``: path and query, percent-encoded."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as the header ``Host`` has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def path(self) -> tuple[str, ...]:
        """The parts of the path, decoded."""
        parts = unquote(self.target.partition("?")[0], errors="replace").split("/")
        return tuple(part for part in parts if part)

    @property
    def shown(self) -> str:
        """Host and path, without query: what is shown as the name of the picture."""
        return "/".join((self.host, *self.path))[:_MAX_NAME]

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def is_url(text: str) -> bool:
    """Return whether a text is meant as an http(s) URL."""
    return text.lstrip().lower().startswith(("http://", "https://"))


def read_url(text: str) -> WebUrl:
    """Return a URL in its normal form. Raises ``ImageRefused`` as ``bad_url``.

    >>> str(read_url("HTTP://Example.COM:80/a b.jpg#top"))
    'http://example.com/a%20b.jpg'
    """
    text = text.strip(" \t\r\n")
    if len(text) > MAX_URL:
        raise _bad(text, f"it has more than {MAX_URL:,} characters")
    if _UNFIT.search(text):
        raise _bad(text, "it has a backslash, or characters that cannot be shown")
    found = _PARTS.fullmatch(text.partition("#")[0])
    if found is None or found["scheme"].lower() not in PORTS:
        raise _bad(text, "it does not begin with http:// or https://")
    scheme = found["scheme"].lower()
    host, port = _host_and_port(text, found["host"])
    target = quote(found["target"], safe="/?%:@!$&'()*+,;=~-._|[]")
    target = target if target.startswith("/") else f"/{target}"
    return WebUrl(scheme, host, PORTS[scheme] if port is None else port, target)


def joined(url: WebUrl, location: str) -> WebUrl:
    """Return where an answer's ``Location`` leads. Raises ``ImageRefused`` as ``bad_url``."""
    if _UNFIT.search(location):
        raise _bad(location, "it has a backslash, or characters that cannot be shown")
    try:
        return read_url(urljoin(str(url), location.strip()))
    except ValueError:
        raise _bad(location, "it cannot be read") from None


def _host_and_port(text: str, authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise _bad(text, "it has a user's name or password in it")
    if authority.startswith("["):
        inside, bracket, rest = authority[1:].partition("]")
        if not bracket or "%" in inside or (rest and not rest.startswith(":")):
            raise _bad(text, "its host is no address")
        try:
            return str(IPv6Address(inside)), _port(text, rest[1:]) if rest else None
        except ValueError:
            raise _bad(text, "its host is no address") from None
    host, colon, port = authority.partition(":")
    return _host(text, host), _port(text, port) if colon else None


def _port(text: str, port: str) -> int:
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65_535:
        raise _bad(text, "its port is none")
    return int(port)


def _host(text: str, host: str) -> str:
    """Return a host's name in ASCII, or an IPv4 address of four decimal numbers: other ways to write one,
    such as ``127.1`` or ``0x7f000001``, have no use but to deceive."""
    if not host.isascii():
        import idna

        try:
            host = idna.encode(host.lower()).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise _bad(text, "its host has characters that no host's name has") from None
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise _bad(text, "it has no host, or one that cannot be a host's name")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise _bad(text, "its host is a number that is no address of four decimal parts") from None
    return host


def _bad(text: str, why: str) -> ImageRefused:
    return ImageRefused("bad_url", f"The URL {without_secrets(text)!r} is not asked: {why}.")


def without_secrets(text: str) -> str:
    """Return the beginning of a URL, without what stands before an ``@`` in it."""
    head, mark, rest = text.partition("://")
    return f"{head}{mark}{rest.rpartition('@')[2]}"[:200]
