"""Questions for the embedded engine: checked, then as JSON and arrays; and its answers as hits. Runs in the caller's process."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from services.domain import CollectionSchema, Embedding, Fuse, Hit, Near, OrderBy, Query, Recommend
from services.errors import BadRequest, BadVector, UnknownVector
from services.vector_store.base import MAX_LIMIT, check_ids, check_vectors
from services.vector_store.edge_wire import Arrays, Header
from services.vector_store.fields import check_filter, check_order

if TYPE_CHECKING:
    from qdrant_client.models import Filter

Plain = dict[str, Any]
_SHORTEST: Final = 1e-6
"""Below this length the difference of examples has no direction that is more than rounding."""


def filter_plain(schema: CollectionSchema, filter: Filter | None) -> Plain | None:
    """JSON of the filter, once the collection's indexes can answer it; datetimes become RFC 3339 strings."""
    check_filter(schema, filter)
    return None if filter is None else filter.model_dump(mode="json", exclude_none=True, by_alias=True)


def check_limit(limit: int, offset: int = 0) -> None:
    """``BadRequest`` unless both are in their range."""
    if not 1 <= limit <= MAX_LIMIT or not 0 <= offset <= MAX_LIMIT:
        raise BadRequest(f"limit goes from 1 to {MAX_LIMIT} and offset from 0 to {MAX_LIMIT}; page deeper by cursor.")


def selection(schema: CollectionSchema, with_payload: bool | tuple[str, ...], with_vectors: Sequence[str]) -> Plain:
    """What shall be returned of each point. ``UnknownVector`` if there is no such."""
    for name in with_vectors:
        if schema.dim(name) is None:
            known = ", ".join(vector.name for vector in schema.vectors) or "none"
            raise UnknownVector(f"Collection {schema.name!r} has no vector named {name!r}; it has: {known}.", using=name)
    fields = with_payload if isinstance(with_payload, bool) else list(with_payload) or False
    return {"with_payload": fields, "with_vectors": list(with_vectors)}


def query_plain(schema: CollectionSchema, query: Query) -> tuple[Plain, list[NDArray[np.float32]]]:
    """The query as JSON, and its vectors, each (dim,). Raises as ``VectorStore.query`` does."""
    check_limit(query.limit, query.offset)
    check_ids(query.exclude)
    ask, vectors = _question(schema, query)
    plain: Plain = {
        **selection(schema, query.with_payload, query.with_vectors),
        "filter": filter_plain(schema, query.filter),
        "limit": query.limit,
        "offset": query.offset,
        "min_similarity": query.min_similarity,
        "exclude": query.exclude,
        "exact": query.exact,
        "vectors": len(vectors),
        **ask,
    }
    return plain, vectors


def _question(schema: CollectionSchema, query: Query) -> tuple[Plain, list[NDArray[np.float32]]]:
    ask = query.ask
    plain: Plain
    if isinstance(ask, Near):
        if ask.diversity is not None and not 0.0 <= ask.diversity <= 1.0:
            raise BadRequest(f"diversity is a number from 0 to 1, not {ask.diversity}.")
        plain = {"ask": "near", "using": query.using, "diversity": ask.diversity, "candidates": _candidates(ask.candidates)}
        return plain, [_checked(schema, query.using, ask.vector)]
    if isinstance(ask, Recommend):
        plain = {"ask": "near", "using": query.using, "diversity": None}
        return plain, [_target(schema, query.using, ask)]
    if isinstance(ask, Fuse):
        if not ask.vectors or ask.k < 1:
            raise BadRequest("A fusion needs at least one vector, and a k of at least 1.")
        plain = {"ask": "fuse", "using": list(ask.vectors), "candidates": _candidates(ask.candidates), "k": ask.k}
        return plain, [_checked(schema, using, vector) for using, vector in ask.vectors.items()]
    if query.min_similarity is not None:
        raise BadRequest("min_similarity needs something to compare with: it does not go with an order or a random sample.")
    if isinstance(ask, OrderBy):
        check_order(schema, ask.field)
        return {"ask": "order", "field": ask.field, "descending": ask.descending}, []
    return {"ask": "random"}, []


def _candidates(candidates: int) -> int:
    if not 1 <= candidates <= MAX_LIMIT:
        raise BadRequest(f"candidates go from 1 to {MAX_LIMIT}, not {candidates}.")
    return candidates


def _checked(schema: CollectionSchema, using: str, vector: Embedding) -> NDArray[np.float32]:
    checked: NDArray[np.float32] = np.asarray(vector, dtype=np.float32)
    check_vectors(schema, using, checked[None])
    return checked


def _target(schema: CollectionSchema, using: str, ask: Recommend) -> NDArray[np.float32]:
    """2 mean(positive) - mean(negative), or mean(positive) without negatives; normalised."""
    check_vectors(schema, using, np.asarray(ask.positive))
    if len(ask.positive) == 0:
        raise BadRequest("A recommendation needs at least one positive example.")
    target = np.asarray(ask.positive, dtype=np.float64).mean(axis=0)
    if ask.negative is not None and len(ask.negative):
        check_vectors(schema, using, np.asarray(ask.negative))
        target = 2 * target - np.asarray(ask.negative, dtype=np.float64).mean(axis=0)
    length = np.linalg.norm(target)
    if length < _SHORTEST:
        raise BadVector("The positive and negative examples cancel each other out: there is no direction left to search in.")
    direction: NDArray[np.float32] = (target / length).astype(np.float32)
    return direction


def unpack(header: Header, arrays: Arrays) -> list[list[Hit]]:
    """Hits by query. Vectors are of unit length again: float16 storage has rounded them."""
    vectors: list[list[dict[str, Embedding]]] = [[{} for _ in answer] for answer in header["answers"]]
    for (index, name, rows), matrix in zip(header["blocks"], arrays, strict=True):
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        for row, vector in zip(rows, matrix, strict=True):
            vectors[index][row][name] = vector
    return [
        [Hit(id, score, payload or {}, named) for (id, score, payload), named in zip(answer, of_answer, strict=True)]
        for answer, of_answer in zip(header["answers"], vectors, strict=True)
    ]


def encode_cursor(order_by: OrderBy | None, position: Any) -> str:
    """An opaque text that ``decode_cursor`` reads."""
    listing = None if order_by is None else [order_by.field, order_by.descending]
    return base64.urlsafe_b64encode(orjson.dumps([listing, position])).decode()


def decode_cursor(order_by: OrderBy | None, cursor: str) -> Any:
    """The position: an id, or [value, id]. ``BadRequest`` if it is none of this listing."""
    try:
        listing, position = orjson.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        value, id = (0, position) if order_by is None else position
        if listing != (None if order_by is None else [order_by.field, order_by.descending]):
            raise ValueError("it belongs to a listing in another order")
        if type(value) not in (int, float):
            raise ValueError("it holds no position")
        check_ids([id])
    except (ValueError, TypeError, binascii.Error, BadVector) as error:
        raise BadRequest(f"This cursor is not one of this listing: {error}. Start again without a cursor.") from error
    return position
