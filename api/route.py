"""The class of all routes: it limits and reads request bodies. Bodies are read by dependencies, after the
key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from vitrine.api.auth import Access, check_key, require
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

    def check_length(self) -> None:
        """Raise ``TooLarge`` if the declared length is over the limit, ``BadRequest`` if it is not a
        number."""
        declared = self.headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdigit()):
            raise BadRequest("The header Content-Length is not a number.")
        self._check(int(declared[:18]) if len(declared) <= 18 else 10**18)

    async def stream(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        seen = 0
        async for chunk in super().stream():
            seen += len(chunk)
            self._check(seen)
            yield chunk

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


def direct_route(access: Access) -> type[Route]:
    """Return the class of routes that call their function themselves, once the key has the scope ``access``.

    FastAPI's way to find a function's arguments is a third of what a small search takes in the API's process
    (2.3 of 6.5 s of 1,000 searches under a profiler, reading the body included). Such a function is
    ``async``, takes the request and the parameters of its path, and reads all else itself; FastAPI documents
    it, and never calls it.
    """

    class DirectRoute(Route):
        def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
            answer: Callable[..., Awaitable[Response]] = self.endpoint

            async def handle(request: Request) -> Response:
                limited = LimitedRequest(request.scope, request.receive)
                limited.check_length()
                check_key(limited, access)
                return await answer(limited, **limited.path_params)

            return handle

    return DirectRoute


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
