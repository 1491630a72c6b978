"""The outermost layer: an id for every request, its count and time, and an answer to every error that came
this far."""

from __future__ import annotations

import re
import time
import uuid

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitrine.api.errors import problem
from vitrine.api.metrics import Metrics

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_CLIENT_GONE = 499


class Observed:
    """ASGI middleware. Keeps a client's X-Request-ID if it is 1 to 64 letters, digits, ``.``, ``_`` and
    ``-``; else makes one."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given.decode() if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        own = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
        scope["vitrine_request_id"] = request_id
        status = 0

        async def marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        try:
            await self._app(scope, receive, marked)
        except ClientDisconnect:
            status = status or _CLIENT_GONE
        except Exception as error:
            answer = problem(error, request_id)
            # too late for another answer: the connection breaks off, or half a body passes for a whole one
            if status:
                raise
            await answer(scope, receive, marked)
        finally:
            self._metrics.answered(
                scope["method"], _route(scope), status or 500, time.perf_counter() - started
            )


class HeadLikeGet:
    """ASGI middleware: HEAD is answered as GET is, status and headers, without the body. Only GET has ranges
    (RFC 9110, section 14.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        headers = [header for header in scope["headers"] if header[0] != b"range"]
        asked = {**scope, "method": "GET", "headers": headers}
        try:
            await self._app(asked, receive, without_body)
        finally:
            if "route" in asked:
                scope["route"] = asked["route"]  # for the metrics


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", None) or "unmatched"
