"""Cursors: where a page of a listing ended, as an opaque text."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from vitrine.services.domain import OrderBy
from vitrine.services.errors import BadRequest, BadVector
from vitrine.services.vector_store.base import check_ids


def encode_cursor(order: OrderBy | None, position: Any) -> str:
    """Return the text for a position: the id that the next page begins with or, in an ordered listing, the
    last value and its id."""
    return base64.urlsafe_b64encode(orjson.dumps([_listing(order), position])).decode().rstrip("=")


def decode_cursor(order: OrderBy | None, cursor: str) -> Any:
    """Return the position: an id, or (value, id). ``BadRequest`` if the cursor is not one of this listing."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        listing, position = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        value, id = (0, position) if order is None else position
        if listing != _listing(order):
            raise ValueError("it belongs to a listing in another order")
        if type(value) not in (int, float):
            raise ValueError("it holds no position")
        check_ids([id])
    except (ValueError, TypeError, binascii.Error, BadVector) as error:
        raise BadRequest(
            f"{cursor[:80]!r} is not a cursor of this listing ({error}): start again without one."
        ) from error
    return id if order is None else (value, id)


def _listing(order: OrderBy | None) -> list[object] | None:
    return None if order is None else [order.field, order.descending]
