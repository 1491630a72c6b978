"""The class of all routes: it limits and reads request bodies. Bodies are read by dependencies, after the
key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from vitrine.api.auth import Access, check_access, require
from vitrine.api.errors import UnsupportedMediaType, dump_json
from vitrine.services.errors import BadRequest, TooLarge
from vitrine.services.validation import Model, validated

MAX_FILES = 256
"""Files in one upload."""
MAX_FORM_FIELDS = 256
"""Form fields in addition to the files."""
MAX_FORM_FIELD_BYTES = 1 << 20
MAX_JSON_BYTES = 16 << 20
"""Larger pictures come as files: a body of millions of numbers would hold up everyone while it is parsed."""
MAX_JSON_DEPTH = 24
"""Levels of objects and lists. A filter nests a few; parsers and engines recurse, so deeper ones are
refused."""
MULTIPART = "multipart/form-data"
_QUICK_BYTES = 100_000
"""Parsed in a fraction of a millisecond: less than a trip through the thread pool costs."""


class Json(JSONResponse):
    """JSON; NaN becomes null."""

    def render(self, content: object) -> bytes:
        return dump_json(content)


class LimitedRequest(Request):
    """A request with at most ``app.state.max_body_bytes`` in its body.

    ``TooLarge`` before the body is read if its length is declared, else at the byte that is too much: what
    arrives is counted, so it holds for chunked and multipart bodies and for a Content-Length that lies.
    """

    _most: int | None = None

    def check_length(self) -> None:
        """Raise ``TooLarge`` if the declared length is over the limit, ``BadRequest`` if it is not a
        number."""
        declared = self.headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdigit()):
            raise BadRequest("The header Content-Length is not a number.")
        self._check(int(declared[:18]) if len(declared) <= 18 else 10**18)

    def take_at_most(self, size: int) -> None:
        """Lower the limit to so many bytes, for a body that is read before anyone has shown a key."""
        self._most = size
        self.check_length()

    async def stream(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        seen = 0
        async for chunk in super().stream():
            seen += len(chunk)
            self._check(seen)
            yield chunk

    async def body(self) -> bytes:
        """Return the whole body. Starlette reads it through three generators inside each other, which for the
        body of a search, in one piece, takes several times as long."""
        if not hasattr(self, "_body"):
            parts: list[bytes] = []
            size, more = 0, True
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                more = message.get("more_body", False)
                size += len(parts[-1])
                self._check(size)
            self._stream_consumed = True
            self._body = b"".join(parts)
        return self._body

    async def json(self) -> Any:
        """Return the JSON of the body; an empty body is an empty object.

        ``UnsupportedMediaType`` for another content type, ``BadRequest`` for NaN, infinities and deep
        nesting.
        """
        body = await self.body()
        if not body:
            return {}
        kind = media_type(self)
        if kind != "application/json" and not kind.endswith("+json"):
            raise UnsupportedMediaType(
                f"The body is {kind or 'of no stated type'}: send JSON with Content-Type: application/json."
            )
        if len(body) > MAX_JSON_BYTES:
            raise TooLarge(
                f"JSON bodies have at most {MAX_JSON_BYTES:,} bytes: send pictures as {MULTIPART}.",
                limit_bytes=MAX_JSON_BYTES,
            )
        if len(body) > _QUICK_BYTES:
            return await run_in_threadpool(parse_json, body, "body")
        return parse_json(body, "body")

    async def limited_form(self, what: str) -> FormData:
        """Return a multipart form, parsed as it arrives. ``what`` it should have, for who sends something
        else.

        ``TooLarge`` for too many or too large parts, ``BadRequest`` for a broken form.
        """
        if media_type(self) != MULTIPART:
            raise UnsupportedMediaType(f"Send {MULTIPART} with {what}.")
        try:
            return await self.form(
                max_files=MAX_FILES, max_fields=MAX_FORM_FIELDS, max_part_size=MAX_FORM_FIELD_BYTES
            )
        except HTTPException as error:
            too_large = error.detail.startswith(("Too many", "Part exceeded"))
            raise (TooLarge if too_large else BadRequest)(f"The form is refused: {error.detail}") from None

    def _check(self, size: int) -> None:
        if self._most is not None and size > self._most:
            raise TooLarge(f"The request body is larger than {self._most:,} bytes.", limit_bytes=self._most)
        limit: int = self.app.state.max_body_bytes
        if size > limit:
            raise TooLarge(
                f"The request body is larger than {limit:,} bytes: send fewer files at a time, "
                "or raise VITRINE_MAX_UPLOAD_MB.",
                limit_bytes=limit,
            )


class Route(APIRoute):
    """A route whose dependencies get a ``LimitedRequest``."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def handle_limited(request: Request) -> Response:
            limited = LimitedRequest(request.scope, request.receive)
            limited.check_length()
            return await handle(limited)

        return handle_limited


class DirectRoute(Route):
    """A route that calls its function itself, once the key has the scope ``access``. ``DirectRoutes`` brings
    requests to it.

    Such a function is ``async``, takes the request and the parameters of its path, all of them text, and
    reads all else itself; FastAPI documents it, and never calls it.
    """

    access: Access

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        async def handle(request: Request) -> Response:
            return await self.answer(LimitedRequest(request.scope, request.receive))

        return handle

    async def answer(self, request: LimitedRequest) -> Response:
        """Return what the route's function answers. ``Unauthorized``, ``Forbidden``, ``TooLarge``."""
        request.check_length()
        await check_access(request, self.access)
        function: Callable[..., Awaitable[Response]] = self.endpoint
        return await function(request, **request.path_params)


def direct_route(access: Access) -> type[DirectRoute]:
    """Return the class of direct routes that ask for the scope ``access``."""
    return type("DirectRoute", (DirectRoute,), {"access": access})


class DirectRoutes:
    """ASGI middleware, the innermost one: answers what is asked of the direct routes among ``routes``, and
    hands on the rest. Errors rise to the middlewares around it, as they do from all other routes.

    FastAPI's way from a request to the function of a route, and back, is several layers of its own,
    Starlette's regular expressions of all other routes, and a resolver of arguments: more than all the work
    of the API on a small search. ``benchmarks/serving/http_hops.py`` shows what each hop takes.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._routes = [route for route in routes if isinstance(route, DirectRoute)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # below another path all routes are looked up by Starlette, which takes that path away
        if scope["type"] == "http" and not scope.get("root_path"):
            for route in self._routes:
                found = route.path_regex.match(scope["path"])
                if found and scope["method"] in (route.methods or ()):
                    scope["route"] = route  # for the metrics
                    scope["path_params"] = found.groupdict()
                    answer = await route.answer(LimitedRequest(scope, receive))
                    await answer(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def router(
    tag: str,
    prefix: str = "",
    access: Access | None = None,
    *,
    deprecated: bool = False,
    route_class: type[Route] = Route,
) -> APIRouter:
    """Return a router of such routes. ``access`` is the scope that all of them ask for."""
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        dependencies=[Depends(require(access))] if access else [],
        route_class=route_class,
        default_response_class=Json,
        deprecated=deprecated or None,
    )


def json_body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """Return a dependency that reads the JSON body as a model; 422 for what does not fit."""

    async def read(request: Request) -> Model:
        return validated(model, await request.json(), "body")

    return read


def parse_json(text: bytes | str, where: str) -> Any:
    """Return what JSON says. ``BadRequest`` for what is not JSON or nests more than 24 levels."""
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The {where} is not valid JSON: {str(error).removeprefix('str is ')}.") from None
    level, depth = [tree], 0
    while level := [child for node in level for child in _children(node)]:
        depth += 1
        if depth > MAX_JSON_DEPTH:
            raise BadRequest(f"The {where} nests more than {MAX_JSON_DEPTH} levels of objects and lists.")
    return tree


def media_type(request: Request) -> str:
    """Return the content type of the body, lower-case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _children(node: Any) -> list[Any]:
    values = node.values() if type(node) is dict else node if type(node) is list else ()
    return [value for value in values if type(value) is dict or type(value) is list]
