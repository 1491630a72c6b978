"""Who may call: API keys with a scope, and what protects a server that has none."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from vitrine.services.errors import Forbidden, Unauthorized, VitrineError
from vitrine.services.settings import Settings

Access = Literal["read", "write"]
_SAFE = ("GET", "HEAD", "OPTIONS")
_KEY_HEADER = "X-API-Key"
_key_header = APIKeyHeader(
    name=_KEY_HEADER,
    auto_error=False,
    description="A key of VITRINE_API_KEYS. Scope `read` searches and reads; `write` also changes. "
    "Not needed where none is set.",
)


class RefusedToStart(VitrineError):
    """The settings would open the server to others, or name keys that are malformed."""

    code = "refused_to_start"


@dataclass(frozen=True)
class KeyRing:
    """The API keys as digests, with their scopes. Empty: no key is asked for."""

    digests: tuple[tuple[bytes, Access], ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> KeyRing:
        """Return the keys of ``VITRINE_API_KEYS``; ``RefusedToStart`` for an entry that is not ``read:<key>``
        or ``write:<key>``."""
        digests: list[tuple[bytes, Access]] = []
        for number, entry in enumerate(settings.api_keys, 1):
            scope, _, key = entry.get_secret_value().partition(":")
            if (
                scope not in ("read", "write")
                or not key
                or not all("!" <= character <= "~" for character in key)
            ):
                raise RefusedToStart(
                    f"refused to start: entry {number} of VITRINE_API_KEYS is malformed. Write "
                    "read:<key> or write:<key>, separated by commas, keys of visible ASCII characters."
                )
            digests.append((_digest(key), "write" if scope == "write" else "read"))
        return cls(tuple(digests))

    def __bool__(self) -> bool:
        return bool(self.digests)

    def scope_of(self, key: str) -> Access | None:
        """Return the key's scope, or None for an unknown key. Takes as long whichever key it is compared
        with."""
        offered = _digest(key)
        matches = [scope for digest, scope in self.digests if hmac.compare_digest(digest, offered)]
        return "write" if "write" in matches else "read" if matches else None

    def check(self, key: str | None, wanted: Access) -> None:
        """Raise ``Unauthorized`` without a known key, ``Forbidden`` if its scope is too small. Nothing where
        no keys are set."""
        if not self.digests:
            return
        if key is None:
            raise Unauthorized("This server asks for an API key: send it as the header X-API-Key.")
        scope = self.scope_of(key)
        if scope is None:
            raise Unauthorized("The API key is not known here: check X-API-Key.")
        if wanted == "write" and scope != "write":
            raise Forbidden("This API key may only read: use one with the scope write.", scope=scope)


def require(access: Access) -> Callable[[Request, str | None], Awaitable[None]]:
    """Return a dependency that lets a request pass if its key has this scope; it runs before the body is
    read."""

    async def check(request: Request, key: Annotated[str | None, Security(_key_header)]) -> None:
        keys: KeyRing = request.app.state.keys
        keys.check(key, access)

    return check


def check_key(request: Request, access: Access) -> None:
    """Raise as ``require`` does, for a route that reads its request itself."""
    keys: KeyRing = request.app.state.keys
    keys.check(request.headers.get(_KEY_HEADER) or None, access)


READ, WRITE = Depends(require("read")), Depends(require("write"))


def is_loopback(host: str) -> bool:
    """Return whether an address to bind to is reachable from this machine only."""
    name = host.strip("[]").lower()
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def refuse_open_bind(settings: Settings) -> None:
    """Raise ``RefusedToStart`` if the server would be reachable from other machines without asking for a
    key."""
    if not KeyRing.of(settings) and not is_loopback(settings.host):
        raise RefusedToStart(
            f"refused to start: VITRINE_HOST={settings.host} can be reached from other machines, and "
            "no API key is set. Set VITRINE_API_KEYS=write:<key>, or VITRINE_HOST=127.0.0.1.",
            host=settings.host,
        )


class LocalOnly:
    """ASGI middleware of a server without keys: only this machine's own names as Host, and no writes from
    foreign web pages.

    A web page elsewhere can make the browser send requests to 127.0.0.1, under a name of its own that it
    points there (DNS rebinding) or across sites. Both carry their origin, and both are refused with 403.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host", "")
            if not _local_name(host):
                raise Forbidden(
                    "This server answers to localhost and 127.0.0.1 only, as no API keys are set "
                    "(VITRINE_API_KEYS)."
                )
            if scope["method"] not in _SAFE and not _same_host(headers.get("origin"), host):
                raise Forbidden(
                    "A web page of another site may not change anything here, as no API keys are set."
                )
        await self._app(scope, receive, send)


def _local_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name in ("localhost", "127.0.0.1", "::1")


def _same_host(origin: str | None, host: str) -> bool:
    if origin is None:  # not a browser, or a request within one page
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
