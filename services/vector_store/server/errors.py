"""Errors of a Qdrant server or its client as our own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import grpc  # type: ignore[import-untyped]
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from vitrine.services.errors import (
    AlreadyExists,
    BadRequest,
    BadVector,
    NotFound,
    StorageFull,
    TooLarge,
    Unavailable,
    UnknownField,
    UnknownVector,
    VitrineError,
)

_GRPC_STATUS = {
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

# Texts of the server, lower-case; our own checks come first, so these only speak where another process
# changed a collection.
_TEXTS: tuple[tuple[str, type[VitrineError]], ...] = (
    ("no space left", StorageFull),
    ("disk space", StorageFull),
    ("index required", UnknownField),
    ("no appropriate index", UnknownField),
    ("not existing vector name", UnknownVector),
    ("vector dimension error", BadVector),
    ("already exists", AlreadyExists),
)


@contextmanager
def mapped_errors(server: str, collection: str = "") -> Iterator[None]:
    """Raise our errors for whatever a call to the client raises. ``server`` is its URL, for the message."""
    try:
        yield
    except UnexpectedResponse as error:
        text = error.content.decode("utf-8", "replace")[:500]
        raise _from_status(server, collection, error.status_code or 0, text) from error
    except ResourceExhaustedResponse as error:
        raise Unavailable(
            f"Qdrant at {server} limits our rate: try again in {error.retry_after_s} s.", server=server
        ) from error
    except grpc.RpcError as error:
        status = _GRPC_STATUS.get(error.code(), 0)
        raise _from_status(server, collection, int(status), str(error.details())[:500]) from error
    except (ResponseHandlingException, ConnectionError, TimeoutError) as error:
        raise _silent(server, str(getattr(error, "source", error))) from error
    except RuntimeError as error:  # how the client says that it was closed, or could not open a channel
        raise _silent(server, str(error)) from error
    except (KeyError, ValueError) as error:  # the client's own checks, and all that its in-process mode says
        raise _from_client(collection, error) from error


def _from_status(server: str, collection: str, status: int, text: str) -> VitrineError:
    for part, kind in _TEXTS:
        if part in text.lower():
            return kind(f"Qdrant at {server} refused this for collection {collection!r}: {text}")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Unavailable(
            f"Qdrant at {server} refuses our key: check QDRANT_API_KEY.", server=server, status=int(status)
        )
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(
            f"Qdrant has no collection {collection!r}, or not all of these points: {text}",
            collection=collection,
        )
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(
            f"Qdrant at {server} refuses a request of this size: send fewer or smaller points at once."
        )
    if status == HTTPStatus.CONFLICT:
        return AlreadyExists(f"Qdrant at {server}: {text}", collection=collection)
    if (
        HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        and status != HTTPStatus.TOO_MANY_REQUESTS
    ):
        return BadRequest(
            f"Qdrant refused the request for collection {collection!r}: {text}", collection=collection
        )
    return _silent(server, text)


def _from_client(collection: str, error: KeyError | ValueError) -> VitrineError:
    text = str(error)
    if isinstance(error, KeyError) or "not found" in text:
        return NotFound(
            f"There is no collection {collection!r}, or not all of these points: {text}",
            collection=collection,
        )
    if "already exists" in text:
        return AlreadyExists(f"Collection {collection!r}: {text}", collection=collection)
    return BadRequest(f"The request for collection {collection!r} was refused: {text}", collection=collection)


def _silent(server: str, why: str) -> Unavailable:
    return Unavailable(
        f"Qdrant at {server} does not answer ({why}). Check that it runs, that QDRANT_URL names it, "
        "and that its gRPC port is reachable (QDRANT_GRPC_PORT; QDRANT_PREFER_GRPC=0 does without it).",
        server=server,
    )
