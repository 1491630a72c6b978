"""A whole category as arrays: its fields, its ids, and which rows a question finds."""

from __future__ import annotations

import gzip
from typing import Annotated, Any, ClassVar

from fastapi import Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from vitrine.api.deps import RuntimeDep, field_names, no_other_parameters
from vitrine.api.openapi import BINARY, body_of
from vitrine.api.route import LimitedRequest
from vitrine.api.route import router as new_router
from vitrine.api.routes.search import found_ids
from vitrine.api.schemas.search import SearchBody
from vitrine.services.errors import VitrineError
from vitrine.services.runtime import Runtime
from vitrine.services.search.whole.arrays import Arrays
from vitrine.services.validation import validated

router = new_router("columns", "/v1/categories/{category}/columns", "read")
_VERSION = "X-Vitrine-Version"
_CACHE = "private, no-cache"
_BYTES = "application/octet-stream"
_GZIP_LEVEL = 1
"""Places and ratios have random digits: more effort saves little of them."""
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"content": {_BYTES: {"schema": BINARY}}, "description": "Arrays; see docs/http-api.md."},
    304: {"description": "Nothing has changed since the answer with this ETag."},
}
_MASK: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {_BYTES: {"schema": BINARY}},
        "description": "A bit a row; the header X-Vitrine-Version names the version of the rows.",
    }
}


class Changed(VitrineError):
    """The category has changed since the version that the request names."""

    code: ClassVar[str] = "changed"


@router.get("", responses=_ANSWER, dependencies=[Depends(no_other_parameters("fields"))])
def columns(
    request: Request,
    category: str,
    runtime: RuntimeDep,
    fields: Annotated[
        str,
        Query(
            max_length=10_000,
            description="Separated by commas: indexed fields, map.NAME, cluster.RUN, aspect, colour.",
        ),
    ],
) -> Response:
    """Give fields of all images as little-endian arrays, in order of id.

    404 ``not_found`` (category, map, run), 422 ``unknown_field``, naming those that can be sent, 413
    ``too_large`` for a category of over 5,000,000 images.
    """
    version, made = _arrays(runtime).fields(category, field_names(fields) or [])
    if _is_known(request, version):
        return _unchanged(version)
    return _answer(request, version, made())


@router.get("/ids", responses=_ANSWER, dependencies=[Depends(no_other_parameters())])
def column_ids(request: Request, category: str, runtime: RuntimeDep) -> Response:
    """Give the 16 bytes of each id, in the order of the rows. 404 ``not_found``, 413 ``too_large``."""
    version, ids = _arrays(runtime).ids(category)
    return _unchanged(version) if _is_known(request, version) else _answer(request, version, ids)


@router.post("/mask", responses=_MASK, openapi_extra=body_of(SearchBody, required=False))
async def column_mask(request: Request, category: str, runtime: RuntimeDep) -> Response:
    """Say by a bit a row which images a filter lets through, or which are the hits of a search.

    The body is that of a search; without ``limit`` all of its hits are meant, up to 10,000. 409 ``changed``
    if the header ``If-Match`` names another version than that of the rows now; else the errors of a search.
    """
    assert isinstance(request, LimitedRequest)
    body = validated(SearchBody, await request.json(), "body")
    return await run_in_threadpool(_mask, request, category, runtime, body)


def _mask(request: Request, category: str, runtime: Runtime, body: SearchBody) -> Response:
    arrays = _arrays(runtime)
    if body.asks or body.random or "limit" in body.model_fields_set:
        version, mask = arrays.mask_of_ids(category, found_ids(runtime, category, body))
    else:
        version, mask = arrays.mask_of_conditions(category, body.filter)
    asked = _tags(request, "if-match")
    if asked and "*" not in asked and version not in asked:
        raise Changed(
            "The category has changed since the columns were read: read them again, with the ids.",
            version=version,
        )
    return _answer(request, version, mask, cached=False)


def _arrays(runtime: Runtime) -> Arrays:
    return Arrays(runtime.searcher, runtime.columns)


def _is_known(request: Request, version: str) -> bool:
    known = _tags(request, "if-none-match")
    return version in known or "*" in known


def _tags(request: Request, header: str) -> list[str]:
    """Return the versions that a header names. An answer's ETag also says how it is coded."""
    tags = (tag.strip().removeprefix("W/").strip('"') for tag in request.headers.get(header, "").split(","))
    return [tag.removesuffix("-gzip") for tag in tags if tag]


def _unchanged(version: str) -> Response:
    return Response(status_code=304, headers=_headers(version, ""))


def _answer(request: Request, version: str, data: bytes, *, cached: bool = True) -> Response:
    packed = _takes_gzip(request)
    headers = _headers(version, "-gzip" if packed else "") if cached else {_VERSION: version}
    if packed:
        headers["Content-Encoding"] = "gzip"
        data = gzip.compress(data, _GZIP_LEVEL, mtime=0)
    return Response(data, headers=headers, media_type=_BYTES)


def _headers(version: str, coding: str) -> dict[str, str]:
    return {
        "ETag": f'"{version}{coding}"',
        _VERSION: version,
        "Cache-Control": _CACHE,
        "Vary": "Accept-Encoding",
    }


def _takes_gzip(request: Request) -> bool:
    codings = request.headers.get("accept-encoding", "").lower().split(",")
    found = [coding.partition(";") for coding in codings if coding.strip().startswith("gzip")]
    return bool(found) and found[0][2].replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
