"""Checks of what every engine refuses alike, before it is asked: queries that the collection cannot answer,
and schemas that contradict it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vitrine.services.domain import (
    CollectionSchema,
    Embedding,
    Fuse,
    Hit,
    Near,
    NearPoint,
    OrderBy,
    Query,
    Random,
    Recommend,
)
from vitrine.services.errors import BadRequest, BadVector, NotFound
from vitrine.services.vector_store.base import MAX_LIMIT, check_ids, check_vectors, dim_of
from vitrine.services.vector_store.fields import check_filter, check_order

_SHORTEST: Final = 1e-6
"""Below this length the difference of examples has no direction that is more than rounding."""


def check_query(schema: CollectionSchema, query: Query) -> None:
    """Raise as ``VectorStore.query`` does unless the collection can answer the query."""
    check_limit(query.limit, query.offset)
    check_names(schema, query.with_vectors)
    check_filter(schema, query.filter)
    check_ids(query.exclude)
    ask = query.ask
    if isinstance(ask, OrderBy | Random | Fuse) and query.min_similarity is not None:
        raise BadRequest(
            "min_similarity needs a similarity: an order, a random sample and fused ranks have none."
        )
    if isinstance(ask, OrderBy):
        check_order(schema, ask.field)
    elif isinstance(ask, Near):
        import numpy as np  # a question that has no vector needs none of it

        check_vectors(schema, query.using, np.asarray(ask.vector)[None])
    elif isinstance(ask, NearPoint):
        dim_of(schema, query.using)
        check_ids([ask.id])
    elif isinstance(ask, Recommend):
        recommended(schema, query.using, ask)
    elif isinstance(ask, Fuse):
        _check_fusion(schema, ask)


def check_limit(limit: int, offset: int = 0) -> None:
    """Raise ``BadRequest`` unless both are in their range."""
    if not 1 <= limit <= MAX_LIMIT or not 0 <= offset <= MAX_LIMIT:
        raise BadRequest(
            f"limit goes from 1 to {MAX_LIMIT} and offset from 0 to {MAX_LIMIT}; page deeper by cursor."
        )


def check_names(schema: CollectionSchema, names: Sequence[str]) -> None:
    """Raise ``UnknownVector`` if the collection lacks one of the named vectors."""
    for name in names:
        dim_of(schema, name)


def no_image(category: str, id: str) -> NotFound:
    """Return the error for an image that is not there."""
    return NotFound(f"There is no image {id} in category {category!r}.", category=category, id=id)


def vector_of(category: str, id: str, hit: Hit | None, using: str) -> Embedding:
    """Return the vector of an image that was read. ``NotFound`` if it is not there or lacks the vector."""
    if hit is None:
        raise no_image(category, id)
    if using not in hit.vectors:
        raise no_vector(id, using)
    return hit.vectors[using]


def no_vector(id: str, using: str) -> NotFound:
    """Return the error for an image that lacks a vector."""
    return NotFound(f"Image {id} has no vector {using!r} yet: index its category again.", id=id, using=using)


def check_found(collection: str, missing: list[str]) -> None:
    """Raise ``NotFound`` if points that are to be changed do not exist."""
    if missing:
        raise NotFound(
            f"{len(missing)} of the points are not in collection {collection!r}, the first: {missing[0]}. "
            "Nothing was changed.",
            ids=missing,
        )


def check_extension(present: CollectionSchema, wanted: CollectionSchema) -> None:
    """Raise ``BadVector`` if a named vector is there with another dimension, ``BadRequest`` if a field is
    indexed by another kind."""
    for vector in wanted.vectors:
        dim = present.dim(vector.name)
        if dim not in (None, vector.dim):
            raise BadVector(
                f"Vector {vector.name!r} of collection {present.name!r} has {dim} components, not "
                f"{vector.dim}: give the other encoder another name.",
                using=vector.name,
            )
    for field, kind in wanted.indexes.items():
        existing = present.indexes.get(field, kind)
        if existing != kind:
            raise BadRequest(
                f"Field {field!r} of collection {present.name!r} is indexed as {existing}, not {kind}.",
                field=field,
            )


def recommended(schema: CollectionSchema, using: str, ask: Recommend) -> Embedding:
    """Return the vector that a recommendation searches near: 2 mean(positive) - mean(negative), or
    mean(positive) without negatives; of unit length.

    ``BadRequest`` without a positive example, ``BadVector`` if the examples cancel each other out.
    """
    import numpy as np

    check_vectors(schema, using, np.asarray(ask.positive))
    if len(ask.positive) == 0:
        raise BadRequest("A recommendation needs at least one positive example.")
    target = np.asarray(ask.positive, dtype=np.float64).mean(axis=0)
    if ask.negative is not None and len(ask.negative):
        check_vectors(schema, using, np.asarray(ask.negative))
        target = 2 * target - np.asarray(ask.negative, dtype=np.float64).mean(axis=0)
    length = np.linalg.norm(target)
    if length < _SHORTEST:
        raise BadVector(
            "The positive and negative examples cancel each other out: there is no direction left to "
            "search in."
        )
    direction: Embedding = (target / length).astype(np.float32)
    return direction


def _check_fusion(schema: CollectionSchema, ask: Fuse) -> None:
    import numpy as np

    if not ask.vectors or ask.k < 1:
        raise BadRequest("A fusion needs at least one vector, and a k of at least 1.")
    for using, vector in ask.vectors.items():
        check_vectors(schema, using, np.asarray(vector)[None])
