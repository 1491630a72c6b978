"""Questions for the embedded engine, checked and written as JSON and arrays, and its answers as hits. Runs in
the caller's process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from vitrine.services.domain import (
    CollectionSchema,
    Embedding,
    Fields,
    Fuse,
    Hit,
    Near,
    NearPoint,
    OrderBy,
    Query,
)
from vitrine.services.filters.conditions import Filter
from vitrine.services.vector_store.checks import check_names, check_query
from vitrine.services.vector_store.edge.link.wire import Arrays, Header
from vitrine.services.vector_store.edge.rounded import unit_rows
from vitrine.services.vector_store.engine_names import engine_filter, engine_selection
from vitrine.services.vector_store.fields import check_filter
from vitrine.services.vector_store.ranked import as_near

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Plain = dict[str, Any]


def filter_plain(schema: CollectionSchema, filter: Filter | None) -> Plain | None:
    """Return the JSON of the filter, once the collection's indexes can answer it; datetimes become RFC 3339
    strings."""
    check_filter(schema, filter)
    return engine_filter(filter)


def selection(schema: CollectionSchema, with_payload: Fields, with_vectors: Sequence[str]) -> Plain:
    """Return what the engine is to return of each point. ``UnknownVector`` if the collection lacks a named
    vector."""
    check_names(schema, with_vectors)
    return {"with_payload": engine_selection(with_payload), "with_vectors": list(with_vectors)}


def query_plain(schema: CollectionSchema, query: Query) -> tuple[Plain, list[NDArray[np.float32]]]:
    """Return the query as JSON, and its vectors, each (dim,). Raises as ``VectorStore.query`` does."""
    check_query(schema, query)
    ask, vectors = _question(as_near(schema, query))
    plain: Plain = {
        **selection(schema, query.with_payload, query.with_vectors),
        "filter": engine_filter(query.filter),
        "limit": query.limit,
        "offset": query.offset,
        "min_similarity": query.min_similarity,
        "exclude": query.exclude,
        "exact": query.exact,
        "vectors": len(vectors),
        **ask,
    }
    return plain, vectors


def _question(query: Query) -> tuple[Plain, list[NDArray[np.float32]]]:
    ask = query.ask
    if isinstance(ask, Near):
        return {"ask": "near", "using": [query.using]}, _float32([ask.vector])
    if isinstance(ask, NearPoint):
        return {"ask": "near", "using": [query.using], "point": ask.id}, []
    if isinstance(ask, Fuse):
        using = list(ask.vectors)
        return {"ask": "fuse", "using": using, "k": ask.k}, _float32(ask.vectors.values())
    if isinstance(ask, OrderBy):
        return {"ask": "order", "field": ask.field, "descending": ask.descending}, []
    return {"ask": "random"}, []


def _float32(vectors: Iterable[Embedding]) -> list[NDArray[np.float32]]:
    import numpy as np

    return [np.asarray(vector, dtype=np.float32) for vector in vectors]


def unpack(header: Header, arrays: Arrays) -> list[list[Hit]]:
    """Return the hits by query. Vectors are of unit length again: float16 storage has rounded them."""
    vectors: list[list[dict[str, Embedding]]] = [[{} for _ in answer] for answer in header["answers"]]
    for (index, name, rows), matrix in zip(header["blocks"], arrays, strict=True):
        for row, vector in zip(rows, unit_rows(matrix), strict=True):
            vectors[index][row][name] = vector
    payloads = iter(header["texts"])
    return [
        [Hit(id, score, next(payloads), named) for (id, score), named in zip(answer, of_answer, strict=True)]
        for answer, of_answer in zip(header["answers"], vectors, strict=True)
    ]
