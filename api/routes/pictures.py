"""The bytes of pictures: files as they were indexed, thumbnails, and pictures to search with."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Query, Request
from starlette.responses import RedirectResponse, Response

from vitrine.api.auth import READ
from vitrine.api.bodies import read_picture
from vitrine.api.deps import RuntimeDep
from vitrine.api.files import file_response, named
from vitrine.api.openapi import BINARY, body_of
from vitrine.api.route import Json, direct_route
from vitrine.api.route import router as new_router
from vitrine.api.schemas.findings.taggers import PictureBody
from vitrine.api.schemas.pictures import PictureOut, PictureUrls
from vitrine.services.category.thumbnails import SHOWN_WIDTH, WIDTHS, gone, next_width
from vitrine.services.domain import Hit
from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.runtime import Runtime

_PREFIX = "/v1/categories/{category}/images"
sent = new_router("pictures", "/v1/pictures", "read", route_class=direct_route("read"))
router = new_router("images", _PREFIX)
direct = new_router("images", _PREFIX, "read", route_class=direct_route("read"))
_PARTS: dict[int | str, dict[str, Any]] = {
    206: {"description": "The range that was asked for."},
    304: {"description": "Not changed."},
    416: {"description": "The range is after the end of the file."},
}
_WIDTH = {
    "name": "w",
    "in": "query",
    "description": f"Width in pixels: {', '.join(map(str, WIDTHS))}; others are rounded up to the next of "
    "these. Narrower pictures are not enlarged; none is more than four times as high as w.",
    "schema": {"type": "integer", "minimum": 1, "default": SHOWN_WIDTH},
}


@router.get(
    "/{id}/file",
    responses={
        200: {"content": {"image/*": {}}},
        307: {"description": "A presigned URL."},
        **_PARTS,
    },
    response_class=Response,
    dependencies=[READ],
)
def image_file(
    category: str,
    id: str,
    request: Request,
    runtime: RuntimeDep,
    redirect: Annotated[
        bool, Query(description="307 to a presigned URL of 15 minutes, where the object store has one.")
    ] = False,
) -> Response:
    """Return the file as it was indexed, or a range of its bytes. Its ETag is its SHA-256, so it never
    changes; 304 if ``If-None-Match`` names it."""
    hit = runtime.searcher.image(category, id)
    if redirect and (url := runtime.objects.url(hit.payload["object_key"])):
        return RedirectResponse(url, headers={"Cache-Control": "no-store"})
    return file_response(
        request,
        partial(_read, runtime, hit),
        size=hit.payload["bytes"],
        etag=f'"{hit.payload["sha256"]}"',
        media_type=hit.payload.get("media_type"),
        disposition=named(str(hit.payload.get("filename") or hit.id)),
    )


@direct.get(
    "/{id}/thumbnail",
    responses={200: {"content": {"image/webp": {}}}, **_PARTS},
    response_class=Response,
    openapi_extra={"parameters": [_WIDTH]},
)
async def image_thumbnail(request: Request, category: str, id: str) -> Response:
    """Return a small upright version as WebP, made when first asked for and kept; also of an image in the
    bin. 404 ``not_found``.

    An image's id derives from its bytes, so what is at this address never changes.
    """
    width, state = _width(request), request.app.state
    runtime: Runtime = state.runtime
    data = runtime.thumbnails.in_memory(category, id, width)
    if data is None:
        data = await anyio.to_thread.run_sync(_kept, runtime, category, id, width)
    if data is None:  # apart, so that who looks at what is kept does not wait for what is made
        work = partial(_made, runtime, category, id, width)
        data = await anyio.to_thread.run_sync(work, limiter=state.painters)
    return _webp(request, data)


@sent.post(
    "",
    status_code=201,
    responses={201: {"model": PictureOut}},
    openapi_extra=body_of(PictureBody, form={"file": BINARY}, needs=["file"]),
)
async def send_picture(request: Request) -> Response:
    """Keep a picture for 24 hours, to search by it again and again: ``picture:<sha256>`` is then an example
    in ``positive`` or ``negative``. At most 256 MB are kept; what was sent longest ago makes room.

    415 ``unsupported_format``, 422 for a picture that is not read.
    """
    data, state = await read_picture(request), request.app.state
    runtime: Runtime = state.runtime
    kept = await anyio.to_thread.run_sync(runtime.pictures.keep, data, limiter=state.painters)
    answer = PictureOut(
        picture=kept.sha256,
        width=kept.width,
        height=kept.height,
        expires_at=kept.expires_at,
        urls=PictureUrls(thumbnail=f"/v1/pictures/{kept.sha256}/thumbnail?w={SHOWN_WIDTH}"),
    )
    return Json(answer.model_dump(mode="json"), 201)


@sent.get(
    "/{sha256}/thumbnail",
    responses={200: {"content": {"image/webp": {}}}, **_PARTS},
    response_class=Response,
    openapi_extra={"parameters": [_WIDTH]},
)
async def sent_thumbnail(request: Request, sha256: str) -> Response:
    """Return a small upright version of a picture that was sent, as WebP. 404 ``not_found`` where it has
    gone."""
    width, state = _width(request), request.app.state
    runtime: Runtime = state.runtime
    work = partial(runtime.pictures.thumbnail, sha256, width)
    return _webp(request, await anyio.to_thread.run_sync(work, limiter=state.painters))


def _webp(request: Request, data: bytes) -> Response:
    def read(start: int, count: int | None) -> bytes:
        return data[start : None if count is None else start + count]

    etag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    return file_response(request, read, size=len(data), etag=etag, media_type="image/webp")


def _kept(runtime: Runtime, category: str, id: str, width: int) -> bytes | None:
    runtime.catalog.get(category)
    return runtime.thumbnails.kept(category, id, width)


def _made(runtime: Runtime, category: str, id: str, width: int) -> bytes:
    return runtime.thumbnails.get(
        category, id, width, lambda: str(runtime.editor.find(category, id).payload["object_key"])
    )


def _width(request: Request) -> int:
    text = request.query_params.get("w", str(SHOWN_WIDTH))
    if not (text.isascii() and text.isdigit() and int(text[:6])):
        raise BadRequest(
            f"w is a width in whole pixels, such as {SHOWN_WIDTH}, not {text[:40]!r}.", field="w"
        )
    return next_width(int(text[:6]))


def _read(runtime: Runtime, hit: Hit, start: int, count: int | None) -> bytes:
    try:
        return runtime.objects.get(hit.payload["object_key"], start=start, first=count)
    except NotFound:  # without the object's key
        raise gone(hit.id) from None
