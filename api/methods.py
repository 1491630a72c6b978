"""HTTP methods: HEAD wherever GET is, and which methods an address takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


class HeadLikeGet:
    """ASGI middleware: HEAD is answered as GET is, status and headers, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, without_body)
        finally:
            if "route" in asked:
                scope["route"] = asked["route"]  # for the metrics


def allowed_methods(routes: Sequence[BaseRoute], scope: Scope) -> list[str]:
    """The methods that the address of the request takes. A router that refuses one names those of the first
    route alone."""
    address = {
        "type": "http",
        "path": scope["path"],
        "root_path": scope.get("root_path", ""),
        "headers": scope["headers"],
    }
    taken = [
        method
        for method in _METHODS
        if any(route.matches({**address, "method": method})[0] is Match.FULL for route in routes)
    ]
    return [*taken[:1], "HEAD", *taken[1:]] if "GET" in taken else taken
