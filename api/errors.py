"""The one place where errors become HTTP: problem documents (RFC 9457) with a stable ``code`` and the
request's id."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any, ClassVar

import numpy as np
import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from vitrine.services.category.manifest import manifest_key
from vitrine.services.errors import BadRequest, ImageRefused, StoreDamaged, VitrineError
from vitrine.services.validation import first_mistake, mistakes

PROBLEM_TYPE = "application/problem+json"
_log = logging.getLogger("vitrine.api")

STATUS: Mapping[str, int] = {
    "unauthorized": 401,
    "forbidden": 403,
    "urls_off": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "already_exists": 409,
    "changed": 409,
    "conflict": 409,
    "encoder_mismatch": 409,
    "tagger_mismatch": 409,
    "worse_encoder": 409,
    "read_only": 409,
    "store_locked": 409,
    "too_many_gone": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "range_not_satisfiable": 416,
    "unsupported_format": 415,
    "bad_request": 422,
    "bad_vector": 422,
    "bad_source": 422,
    "confirmation_needed": 422,
    "image_refused": 422,
    "too_few_examples": 422,
    "unknown_field": 422,
    "unknown_vector": 422,
    "unsupported_query": 422,
    "too_many_requests": 429,
    "missing_credentials": 503,
    "missing_extra": 503,
    "model_unavailable": 503,
    "other_format": 503,
    "storage_full": 503,
    "store_damaged": 503,
    "unavailable": 503,
    "unsound_encoder": 503,
    "internal": 500,
}
"""HTTP status by error code. A refused image has its reason as the code: 415 for ``unsupported_format``, else
422."""

OPERATORS: Mapping[str, str] = {
    "missing_credentials": "A store is not set up completely.",
    "model_unavailable": "The weights of the encoder are not available to the server.",
    "other_format": "A store was filled by another version of Vitrine.",
    "storage_full": "Too little disk space is free on the server to write safely.",
    "store_damaged": "A store holds less than it should.",
    "store_locked": "The data directory belongs to another process.",
    "unavailable": "A store or service behind the server does not answer.",
    "unsound_encoder": "The encoder's weights give vectors that cannot be searched with.",
    "internal": "Something went wrong inside the server.",
}
"""What clients read where the full sentence is for the operator: it names folders and hosts, so it goes
to the log."""


class ConfirmationNeeded(VitrineError):
    """A whole category is to be deleted and the request does not repeat its name."""

    code: ClassVar[str] = "confirmation_needed"


class UnsupportedMediaType(VitrineError):
    """The request body is neither JSON nor, where files are taken, multipart/form-data."""

    code: ClassVar[str] = "unsupported_media_type"


def install(app: FastAPI) -> None:
    """Answer every error of a route, a dependency or the router with a problem document."""
    app.add_exception_handler(VitrineError, _handle)
    app.add_exception_handler(HTTPException, _handle)
    app.add_exception_handler(RequestValidationError, _handle)


def problem(error: Exception, request_id: str) -> Response:
    """Return the problem document of any error. Operator's errors and unexpected ones are logged here, under
    the request's id."""
    if isinstance(error, HTTPException):
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        detail = _ROUTER_SENTENCES.get(error.status_code, str(error.detail))
        return _response(error.status_code, code, detail, request_id, {}, error.headers)
    if isinstance(error, RequestValidationError):
        return problem(invalid(error.errors(), "query"), request_id)
    if not isinstance(error, VitrineError) or error.code == "internal":
        _log.error("request %s failed", request_id, exc_info=error)
        return _response(500, "internal", _for_operators("internal"), request_id, {})
    code = error.reason if isinstance(error, ImageRefused) else error.code
    status = STATUS.get(code, STATUS.get(error.code, 500))
    if code in OPERATORS:
        _log.error("request %s: %s: %s", request_id, code, error.message)
        return _response(status, code, _rebuilding(error) or _for_operators(code), request_id, {})
    headers = {"WWW-Authenticate": "X-API-Key"} if status == 401 else {}
    if "retry_after" in error.details:
        headers["Retry-After"] = str(error.details["retry_after"])
    if status == 416:
        headers["Content-Range"] = f"bytes */{error.details['size']}"
    return _response(status, code, error.message, request_id, error.details, headers)


def invalid(errors: Any, part: str) -> BadRequest:
    """Return a ``BadRequest`` naming every field that pydantic refused, the first one in the sentence."""
    located = [{**item, "loc": _inner(item["loc"])} for item in errors]
    found = mistakes(located)[:20]
    return BadRequest(f"The {part} is not valid: {first_mistake(located)}.", errors=found)


def dump_json(content: object) -> bytes:
    """Return the content as JSON. Bytes are JSON already, such as stored payloads, and are copied. NaN
    becomes null, numpy arrays lists, and text that is not valid Unicode is escaped instead of refused."""
    try:
        return orjson.dumps(
            content, default=_copied, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
        )
    except orjson.JSONEncodeError:
        import json

        return json.dumps(content, default=_read).encode()


def _copied(value: object) -> object:
    """Return what orjson is to write for a value that it does not know."""
    return orjson.Fragment(value) if isinstance(value, bytes) else _plain(value)


def _read(value: object) -> object:
    """Return the same for the json module, which cannot copy text."""
    return orjson.loads(value) if isinstance(value, bytes) else _plain(value)


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


_ROUTER_SENTENCES = {
    404: "There is nothing at this address: /docs lists the routes.",
    405: "This address does not take that method: the Allow header and /docs list those it takes.",
}


async def _handle(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        error.headers = {"Allow": ", ".join(_allowed_methods(request))}
    return problem(error, request.scope.get("vitrine_request_id", ""))


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods that the address of the request takes. A router that refuses one names only the
    methods of its first route."""
    scope = request.scope
    address = {name: scope[name] for name in ("type", "path", "headers")} | {
        "root_path": scope.get("root_path", "")
    }
    taken = {
        str(method)
        for method in HTTPMethod
        if any(route.matches({**address, "method": method})[0] is Match.FULL for route in request.app.routes)
    }
    return sorted(taken | ({"HEAD"} if "GET" in taken else set()))


def _rebuilding(error: VitrineError) -> str:
    """Return what can be done about a damaged category, or about what was made in a sound one; the sentence
    names no folder."""
    name = error.details.get("category") or error.details.get("collection")
    if not isinstance(error, StoreDamaged) or not name:
        return ""
    what = "is damaged" if error.code == "store_damaged" else "was written by another version of Vitrine"
    manifest = manifest_key(str(name))
    if error.details.get("object", manifest) != manifest:
        return (  # deleting the category would delete its pictures
            f"Something that was made in category {name!r} (taggers, cluster runs, maps or groups of "
            f"copies) {what}; its images are not. An operator has it made again: the log of the server "
            "says how under the request_id."
        )
    return (
        f"Category {name!r} {what}. DELETE /v1/categories/{name}?confirm={name} keeps its "
        "pictures, and an operator can put them into a new category of that name (`vitrine index add "
        f"objects:{name}/images/`). The log of the server says more under the request_id."
    )


def _for_operators(code: str) -> str:
    return f"{OPERATORS[code]} The server's log says more under the request_id."


def _inner(loc: tuple[object, ...]) -> tuple[object, ...]:
    """Return a location without the part of the request that FastAPI puts before it."""
    return loc[1:] if loc[:1] in (("query",), ("path",), ("body",)) else loc


def _response(
    status: int,
    code: str,
    detail: str,
    request_id: str,
    details: Mapping[str, object],
    headers: Mapping[str, str] | None = None,
) -> Response:
    content: dict[str, object] = {
        "type": f"urn:vitrine:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if details:
        content["details"] = details
    return Response(dump_json(content), status, dict(headers or {}), PROBLEM_TYPE)
