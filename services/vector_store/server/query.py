"""Our queries as requests of qdrant-client. No I/O."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from qdrant_client import models

from vitrine.services.domain import Embedding, Hit, IndexKind, Near, OrderBy, Query
from vitrine.services.vector_store.engine_names import engine_filter, engine_selection, own_payload
from vitrine.services.vector_store.ranked import BREADTH
from vitrine.services.vector_store.similarity import engine_threshold

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EXACT = 2**53
"""Integers below this are float64 numbers, all of them."""
OrderValue = int | float
"""What a field is ordered by; datetimes as microseconds since 1970, as the server gives them."""
Position = tuple[OrderValue, str]
"""Where an ordered listing stopped: the last value, and the last id among the points that carry it."""


# Requests
# ------------------------------------------------------------------------------------------------------------


def request(query: Query, limit: int) -> models.QueryRequest:
    """Return the server's request for the first hits of Near and Random;
    ``vitrine.services.vector_store.ranked`` cuts pages itself."""
    near = query.ask if isinstance(query.ask, Near) else None
    return models.QueryRequest(
        query=models.NearestQuery(nearest=floats(near.vector))
        if near
        else models.SampleQuery(sample=models.Sample.RANDOM),
        using=query.using if near else None,
        filter=with_exclusions(query.filter, query.exclude),
        params=(models.SearchParams(exact=True) if query.exact else models.SearchParams(hnsw_ef=BREADTH))
        if near
        else None,
        score_threshold=engine_threshold(query.min_similarity),
        limit=limit,
        with_payload=engine_selection(query.with_payload),
        with_vector=list(query.with_vectors) or False,
    )


def with_exclusions(filter: models.Filter | None, ids: Sequence[str]) -> models.Filter | None:
    """Return the filter with the engine's paths, and without the points ``ids``."""
    filter = engine_filter(filter)
    if not ids:
        return filter
    return models.Filter(
        must=None if filter is None else [filter], must_not=[models.HasIdCondition(has_id=list(ids))]
    )


def floats(vector: Embedding) -> list[float]:
    values: list[float] = np.asarray(vector, dtype=np.float32).tolist()
    return values


def hit(record: models.ScoredPoint | models.Record, similarity: float | None = None) -> Hit:
    vectors = record.vector if isinstance(record.vector, dict) else {}
    return Hit(
        id=str(record.id),
        similarity=similarity,
        payload=own_payload(record.payload or {}),
        vectors={name: np.asarray(values, dtype=np.float32) for name, values in vectors.items()},
    )


# Order
# ------------------------------------------------------------------------------------------------------------


def equals(field: str, kind: IndexKind, value: OrderValue) -> models.FieldCondition:
    """Return the condition for points with exactly this order value. Ranges are float64 to the server and
    would confuse large integers."""
    if kind == "integer":
        return models.FieldCondition(key=field, match=models.MatchValue(value=int(value)))
    if kind == "datetime":
        moment = _moment(value)
        return models.FieldCondition(key=field, range=models.DatetimeRange(gte=moment, lte=moment))
    return models.FieldCondition(key=field, range=models.Range(gte=value, lte=value))


def any_value(field: str, kind: IndexKind) -> models.FieldCondition:
    """Return the condition for points that have a value to order by."""
    if kind == "datetime":
        return models.FieldCondition(key=field, range=models.DatetimeRange(gte=_EPOCH.replace(year=1)))
    return models.FieldCondition(key=field, range=models.Range(gte=-sys.float_info.max))


def earlier(order: OrderBy, kind: IndexKind, value: OrderValue, *, including: bool) -> models.FieldCondition:
    """Return the condition for points that have a value before this one in the order, or this one itself. Of
    integers that no float64 holds some that are close to it are left out."""
    bound = ("gt" if order.descending else "lt") + ("e" if including else "")
    if kind == "datetime":
        return models.FieldCondition(key=order.field, range=models.DatetimeRange(**{bound: _moment(value)}))
    if kind == "integer" and abs(value) >= _EXACT:
        value = _before(order, value)
    return models.FieldCondition(key=order.field, range=models.Range(**{bound: float(value)}))


def past(order: OrderBy, kind: IndexKind, value: OrderValue) -> models.StartFrom:
    """Return where the listing starts again: the closest value past this one, as the server takes it back.

    The server starts at a float64. Where an integer is none, it could be rounded past values that were not
    listed yet; so from 2**53 on the start lies before the value, and what has been listed has to be dropped.
    """
    if kind == "float":
        return math.nextafter(value, -math.inf if order.descending else math.inf)
    if kind == "integer" and abs(value) >= _EXACT:
        return max(-(2**63), min(_before(order, value), 2**63 - 1))
    following = int(value) + (-1 if order.descending else 1)
    return _moment(following) if kind == "datetime" else following


def _before(order: OrderBy, value: OrderValue) -> int:
    return int(math.nextafter(float(value), math.inf if order.descending else -math.inf))


def _moment(microseconds: OrderValue) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))
