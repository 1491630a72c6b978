"""Who may call: API keys with a scope, and what protects a server that has none."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, APIKeyHeader
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from vitrine.api.session import COOKIE, CSRF_HEADER, Session, Sessions
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
_cookie = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    description=f"A session of POST /v1/session. All but GET also repeats its csrf as {CSRF_HEADER}.",
)
Place = TypeVar("Place", bound=Hashable)
Value = TypeVar("Value")


class RefusedToStart(VitrineError):
    """The settings would open the server to others, or name keys that are malformed."""

    code = "refused_to_start"


class TooManyRequests(VitrineError):
    """An address has sent too many wrong keys."""

    code = "too_many_requests"


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
            digests.append((digest_of(key), "write" if scope == "write" else "read"))
        return cls(tuple(digests))

    def __bool__(self) -> bool:
        return bool(self.digests)

    def scope_of(self, key: str) -> Access | None:
        """Return the key's scope, or None for an unknown key."""
        return self.scope_of_digest(digest_of(key))

    def number_of(self, offered: bytes) -> int:
        """Return which key has this digest: 1 for the first, 0 for none."""
        same = [number for number, (digest, _) in enumerate(self.digests, 1) if digest == offered]
        return same[0] if same else 0

    def scope_of_digest(self, offered: bytes) -> Access | None:
        """Return the scope of a key's digest. Takes as long whichever key it is compared with."""
        matches = [scope for digest, scope in self.digests if hmac.compare_digest(digest, offered)]
        return "write" if "write" in matches else "read" if matches else None


class Guesses:
    """Slows down who tries keys: an address that sent 20 wrong ones within a minute gets no answer about
    another one until the first of them is a minute old. Keys that were right from there before go on working,
    so that a program with a wrong key does not shut out its neighbours."""

    def __init__(self, *, most: int = 20, seconds: float = 60, kept: int = 4_096) -> None:
        self._most, self._seconds, self._kept = most, seconds, kept
        self._wrong: dict[str, list[float]] = {}
        self._right: dict[tuple[str, bytes], None] = {}

    def check(self, address: str, key: bytes, now: float) -> None:
        """Raise ``TooManyRequests`` if the address has to wait before this key is looked at."""
        times = self._wrong.get(address)
        if not times or (address, key) in self._right:
            return
        times[:] = [time for time in times if time > now - self._seconds]
        if len(times) >= self._most:
            wait = math.ceil(times[0] + self._seconds - now)
            raise TooManyRequests(
                f"This address has sent {self._most} wrong API keys within a minute: wait {wait} s.",
                retry_after=wait,
            )

    def note(self, address: str, key: bytes, now: float, *, right: bool) -> None:
        """Remember how a key that was looked at turned out."""
        if right:
            _remember(self._right, (address, key), None, self._kept)
        else:
            _remember(self._wrong, address, self._wrong.get(address, []), self._kept).append(now)


def _remember(places: dict[Place, Value], place: Place, value: Value, most: int) -> Value:
    """Put a value there and return it; the place that came first makes room for a new one."""
    if place not in places and len(places) >= most:
        del places[next(iter(places))]
    places[place] = value
    return value


def known_key(request: Request, key: str) -> tuple[bytes, Access]:
    """Return a key's digest and scope. ``Unauthorized`` if it is unknown, ``TooManyRequests`` if its sender
    has tried too many."""
    keys: KeyRing = request.app.state.keys
    guesses: Guesses = request.app.state.guesses
    digest, now = digest_of(key), time.monotonic()
    address = request.client.host if request.client else ""
    guesses.check(address, digest, now)
    scope = keys.scope_of_digest(digest)
    guesses.note(address, digest, now, right=scope is not None)
    if scope is None:
        raise Unauthorized("The API key is not known here: check it.")
    return digest, scope


async def signed_in(request: Request) -> tuple[Session, Access] | None:
    """Return the session of the request's cookie and what it may do; None without one."""
    keys: KeyRing = request.app.state.keys
    sessions: Sessions = request.app.state.sessions
    cookie = request.cookies.get(COOKIE)
    if not keys or not cookie:
        return None
    if not sessions.is_ready:
        await run_in_threadpool(sessions.prepare)  # asks the object store
    session = sessions.read(cookie, time.time())
    scope = keys.scope_of_digest(session.key) if session else None
    return (session, scope) if session and scope else None


def check_csrf(request: Request, session: Session) -> None:
    """Raise ``Forbidden`` unless a request by cookie that is more than a look repeats the session's token:
    pages of other sites can make a browser send the cookie, but cannot read the token."""
    sent = request.headers.get(CSRF_HEADER, "").encode()
    if request.method not in _SAFE and not hmac.compare_digest(sent, session.csrf.encode()):
        raise Forbidden(f"A request by cookie has to repeat the csrf of GET /v1/session as {CSRF_HEADER}.")


async def check_access(request: Request, wanted: Access) -> None:
    """Let a request pass whose key, or whose session, has the scope; every request where no keys are set.

    ``Unauthorized`` without a known key, ``Forbidden`` if its scope is too small.
    """
    keys: KeyRing = request.app.state.keys
    if not keys:
        return
    key = request.headers.get(_KEY_HEADER)
    if key:
        scope = known_key(request, key)[1]
    elif found := await signed_in(request):
        check_csrf(request, found[0])
        scope = found[1]
    else:
        raise Unauthorized("This server asks for an API key: send it as the header X-API-Key, or sign in.")
    if wanted == "write" and scope != "write":
        raise Forbidden("This API key may only read: use one with the scope write.", scope=scope)


def caller(request: Request) -> str:
    """Return who sends a request that was let pass, without saying a key: the number of its entry in
    VITRINE_API_KEYS."""
    keys: KeyRing = request.app.state.keys
    sessions: Sessions = request.app.state.sessions
    key = request.headers.get(_KEY_HEADER)
    if not keys:
        return "API"
    if key:
        return f"API key {keys.number_of(digest_of(key))}"
    session = sessions.read(request.cookies.get(COOKIE, ""), time.time())
    return f"session of API key {keys.number_of(session.key)}" if session else "API"


async def may_read(request: Request) -> bool:
    """Return whether the request's key or session may read: a dependency of what is open to everyone."""
    try:
        await check_access(request, "read")
    except VitrineError:
        return False
    return True


def require(access: Access) -> Callable[..., Awaitable[None]]:
    """Return a dependency that lets a request pass if its key has this scope; it runs before the body is
    read."""

    async def check(
        request: Request,
        key: Annotated[str | None, Security(_key_header)],
        cookie: Annotated[str | None, Security(_cookie)],
    ) -> None:
        await check_access(request, access)

    return check


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


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
