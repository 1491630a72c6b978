"""A ``VectorStore`` of plain loops in memory: what the engines are compared with, and the store of tests that
need none of them.

It shares the checks of its arguments with the engines (``services/vector_store/fields.py``, ``base.py``) and
nothing else.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
import orjson

from tests.services.vector_store.oracle_filter import (
    matches,
    merge,
    merge_at,
    order_values,
    remove_at,
    selected,
    steps,
    values,
)
from vitrine.services.domain import (
    AllBut,
    CollectionInfo,
    CollectionSchema,
    Embedding,
    Embeddings,
    Facet,
    Fields,
    Fuse,
    Hit,
    IndexKind,
    Near,
    NearPoint,
    OrderBy,
    Page,
    Payload,
    Point,
    Quantization,
    Query,
    Random,
    Recommend,
    VectorSpec,
)
from vitrine.services.errors import BadRequest, BadVector, NotFound, UnknownVector
from vitrine.services.filters.conditions import Filter
from vitrine.services.vector_store.base import MAX_LIMIT, check_ids, check_points, check_vectors, dim_of
from vitrine.services.vector_store.changes import Changes, Version
from vitrine.services.vector_store.fields import check_facet, check_filter, check_order

Method = TypeVar("Method", bound=Callable[..., Any])
Scored = list[tuple[str, float]]


@dataclass
class _Stored:
    vectors: dict[str, Embedding]
    payload: Payload


@dataclass
class _Collection:
    schema: CollectionSchema
    points: dict[str, _Stored] = field(default_factory=dict)
    epoch: str = field(default_factory=lambda: uuid4().hex)
    writes: list[list[str]] = field(default_factory=list)


def _locked(method: Method) -> Method:
    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return method(self, *args, **kwargs)

    return call  # type: ignore[return-value]


class OracleVectorStore:
    """Every answer recomputed from all points, one at a time. Points and payloads are copied in and out."""

    def __init__(self, *, seed: int = 0) -> None:
        self._collections: dict[str, _Collection] = {}
        self._random = random.Random(seed)
        self._lock = threading.RLock()
        self.closed = False

    # Collections
    # --------------------------------------------------------------------------------------------------------

    @_locked
    def ensure(self, schema: CollectionSchema) -> None:
        name = schema.name
        existing = self._collections.get(name)
        if existing is None:
            existing = _Collection(CollectionSchema(name, (), {}, schema.quantization))
        for vector in schema.vectors:
            _check_dim(existing.schema, vector)
        for path, kind in schema.indexes.items():
            _check_kind(existing.schema, path, kind)
        self._collections[name] = existing
        for vector in schema.vectors:
            self.add_vector(name, vector)
        for path, kind in schema.indexes.items():
            self.add_index(name, path, kind)

    @_locked
    def drop(self, collection: str) -> None:
        name = self._open(collection).schema.name
        del self._collections[name]

    @_locked
    def collections(self) -> list[str]:
        return sorted(self._collections)

    @_locked
    def info(self, collection: str) -> CollectionInfo:
        opened = self._open(collection)
        return CollectionInfo(opened.schema, points=len(opened.points), indexed=0, status="green")

    @_locked
    def add_vector(self, collection: str, vector: VectorSpec) -> None:
        opened = self._open(collection)
        _check_dim(opened.schema, vector)
        if opened.schema.dim(vector.name) is None:
            opened.schema = replace(opened.schema, vectors=(*opened.schema.vectors, vector))

    @_locked
    def add_index(self, collection: str, field: str, kind: IndexKind) -> None:
        opened = self._open(collection)
        steps(field)
        _check_kind(opened.schema, field, kind)
        opened.schema = replace(opened.schema, indexes={**opened.schema.indexes, field: kind})

    @_locked
    def change_index(self, collection: str, field: str, kind: IndexKind) -> None:
        opened = self._open(collection)
        steps(field)
        opened.schema = replace(opened.schema, indexes={**opened.schema.indexes, field: kind})

    @_locked
    def warm(self, collection: str) -> None:
        pass

    @property
    def snapshots(self) -> None:
        return None

    def set_quantization(self, collection: str, quantization: Quantization | None) -> None:
        opened = self._open(collection)
        opened.schema = replace(opened.schema, quantization=quantization)

    @_locked
    def optimize(self, collection: str, *, wait: bool = True) -> None:
        self._open(collection)

    def close(self) -> None:
        self.closed = True

    # Writes
    # --------------------------------------------------------------------------------------------------------

    @_locked
    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        opened = self._open(collection)
        check_points(opened.schema, points)
        for point in points:
            vectors = {name: np.array(vector, dtype=np.float32) for name, vector in point.vectors.items()}
            opened.points[point.id] = _Stored(vectors, deepcopy(point.payload))
        opened.writes.append([point.id for point in points])

    @_locked
    def update_vectors(self, collection: str, ids: Sequence[str], using: str, vectors: Embeddings) -> None:
        opened = self._open(collection)
        check_ids(ids)
        check_vectors(opened.schema, using, vectors, ids)
        if len(ids) != len(vectors):
            raise BadVector(f"{len(vectors)} vectors for {len(ids)} points.")
        for id, stored, vector in zip(ids, _existing(opened, ids), vectors, strict=True):
            opened.points[id] = _Stored(
                {**stored.vectors, using: np.array(vector, dtype=np.float32)}, stored.payload
            )

    @_locked
    def set_payload(
        self, collection: str, updates: Mapping[str, Payload], *, key: str | None = None, durable: bool = True
    ) -> None:
        check_ids(list(updates))
        opened = self._open(collection)
        for stored, fields in zip(_existing(opened, list(updates)), updates.values(), strict=True):
            if key is None:
                merge(stored.payload, deepcopy(fields))
            else:
                merge_at(stored.payload, key, deepcopy(fields))
        opened.writes.append(list(updates))

    @_locked
    def flush(self, collection: str) -> None:
        self._open(collection)

    @_locked
    def delete_payload(self, collection: str, ids: Sequence[str], keys: Sequence[str]) -> None:
        check_ids(ids)
        opened = self._open(collection)
        for stored in _existing(opened, ids):
            for key in keys:
                remove_at(stored.payload, key)
        opened.writes.append(list(ids))

    @_locked
    def delete(self, collection: str, ids: Sequence[str]) -> None:
        check_ids(ids)
        opened = self._open(collection)
        for id in ids:
            opened.points.pop(id, None)
        opened.writes.append(list(ids))

    # Reads
    # --------------------------------------------------------------------------------------------------------

    @_locked
    def query(self, collection: str, query: Query) -> list[Hit]:
        opened = self._open(collection)
        _check_query(opened.schema, query)
        ask = _by_vector(opened, query)
        candidates = {
            id: stored
            for id, stored in opened.points.items()
            if id not in query.exclude and matches(query.filter, id, stored.payload, stored.vectors)
        }
        ranked: list[tuple[str, float | None]]
        if isinstance(ask, OrderBy):
            ranked = [(id, None) for _, id in _in_order(candidates, ask, opened.schema)]
        elif isinstance(ask, Random):
            ranked = [(id, None) for id in self._random.sample(sorted(candidates), len(candidates))]
        else:
            ranked = [*_ranked(candidates, query, ask)]
        page = ranked[query.offset :][: query.limit]
        return [_hit(id, candidates[id], query.with_payload, query.with_vectors, score) for id, score in page]

    def query_batch(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        self._open(collection)
        return [self.query(collection, query) for query in queries]

    @_locked
    def retrieve(
        self,
        collection: str,
        ids: Sequence[str],
        *,
        with_payload: Fields = True,
        with_vectors: tuple[str, ...] = (),
    ) -> list[Hit | None]:
        opened = self._open(collection)
        check_ids(ids)
        _check_names(opened.schema, with_vectors)
        return [
            _hit(id, opened.points[id], with_payload, with_vectors) if id in opened.points else None
            for id in ids
        ]

    @_locked
    def scroll(
        self,
        collection: str,
        *,
        filter: Filter | None = None,
        order_by: OrderBy | None = None,
        limit: int = 100,
        cursor: str | None = None,
        with_payload: Fields = True,
        with_vectors: tuple[str, ...] = (),
    ) -> Page:
        opened = self._open(collection)
        _check_limit(limit)
        _check_names(opened.schema, with_vectors)
        check_filter(opened.schema, filter)
        found = {i: p for i, p in opened.points.items() if matches(filter, i, p.payload, p.vectors)}
        if order_by is None:
            keys: list[tuple[Any, str]] = [(0, id) for id in sorted(found)]
        else:
            check_order(opened.schema, order_by.field)
            keys = _in_order(found, order_by, opened.schema)
        after = None if cursor is None else _position(order_by, cursor)
        rest = [key for key in keys if after is None or key > after]
        return Page(
            tuple(_hit(id, found[id], with_payload, with_vectors) for _, id in rest[:limit]),
            _cursor(order_by, rest[limit - 1]) if len(rest) > limit else None,
        )

    @_locked
    def facet(
        self, collection: str, field: str, *, filter: Filter | None = None, limit: int = 100
    ) -> list[Facet]:
        opened = self._open(collection)
        _check_limit(limit)
        check_filter(opened.schema, filter)
        check_facet(opened.schema, field)
        wanted = {"keyword": str, "integer": int, "bool": bool}[opened.schema.indexes[field]]
        counts = Counter(
            value
            for id, stored in opened.points.items()
            if matches(filter, id, stored.payload, stored.vectors)
            for value in {value for value in values(stored.payload, field) if type(value) is wanted}
        )
        return [
            Facet(value, count)
            for value, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
        ]

    @_locked
    def count(self, collection: str, filter: Filter | None = None) -> int:
        opened = self._open(collection)
        check_filter(opened.schema, filter)
        return sum(
            matches(filter, id, stored.payload, stored.vectors) for id, stored in opened.points.items()
        )

    @_locked
    def changes(self, collection: str, since: Version | None = None) -> Changes:
        opened = self._open(collection)
        now = Version(opened.epoch, len(opened.writes))
        if since is None or since.epoch != opened.epoch:
            return Changes(now, None, complete=True)
        ids = {id for written in opened.writes[since.number :] for id in written}
        return Changes(now, tuple(ids), complete=True)

    def _open(self, collection: str) -> _Collection:
        if collection not in self._collections:
            raise NotFound(f"There is no collection {collection!r}.", collection=collection)
        return self._collections[collection]


# Ranking
# ------------------------------------------------------------------------------------------------------------


def similarity(one: Embedding, other: Embedding) -> float:
    """Cosine similarity in float64, to six digits; 1 within 0.0001 of it."""
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    found = round(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))), 6)
    return 1.0 if found >= 0.9999 else found


def nearest(points: Mapping[str, _Stored], using: str, vector: Embedding) -> Scored:
    """All points that have the vector, most similar first."""
    scored = [
        (id, similarity(vector, stored.vectors[using]))
        for id, stored in points.items()
        if using in stored.vectors
    ]
    return sorted(scored, key=lambda item: (-item[1], item[0]))


def average_target(ask: Recommend) -> Embedding:
    """2 mean(positive) - mean(negative), or mean(positive)."""
    target = np.mean(np.asarray(ask.positive, dtype=np.float64), axis=0)
    if ask.negative is not None and len(ask.negative):
        target = 2 * target - np.mean(np.asarray(ask.negative, dtype=np.float64), axis=0)
    return np.asarray(target)


def fused(points: Mapping[str, _Stored], ask: Fuse) -> Scored:
    """Reciprocal rank fusion, ranks from 0: 63 from the first 127 by each vector, 650 from 1,299, all from
    all."""
    order: Scored = []
    for wanted, depth in ((63, 127), (650, 1_299), (len(points), len(points))):
        scores: dict[str, float] = {}
        for using, vector in ask.vectors.items():
            for rank, (id, _) in enumerate(nearest(points, using, vector)[:depth]):
                scores[id] = scores.get(id, 0.0) + 1 / (ask.k + rank)
        taken = {id for id, _ in order}
        new = sorted(
            ((id, score) for id, score in scores.items() if id not in taken),
            key=lambda item: (-item[1], item[0]),
        )
        order += new[: wanted - len(order)]
    return order


def _by_vector(opened: _Collection, query: Query) -> Near | Recommend | Fuse | OrderBy | Random:
    """What is asked, by the vector of the point that it is asked by."""
    if not isinstance(query.ask, NearPoint):
        return query.ask
    (stored,) = _existing(opened, [query.ask.id])
    if query.using not in stored.vectors:
        raise NotFound("the point lacks the vector")
    return Near(stored.vectors[query.using])


def _ranked(points: Mapping[str, _Stored], query: Query, ask: Near | Recommend | Fuse) -> Scored:
    if isinstance(ask, Fuse):
        return fused(points, ask)
    scored = nearest(points, query.using, ask.vector if isinstance(ask, Near) else average_target(ask))
    least = -1 if query.min_similarity is None else query.min_similarity
    return [item for item in scored if item[1] >= least - 0.0001]


def _in_order(
    points: Mapping[str, _Stored], order: OrderBy, schema: CollectionSchema
) -> list[tuple[Any, str]]:
    """(signed value, id) in order; a point with several values counts by its first in that order."""
    kind = schema.indexes[order.field]
    sign = -1 if order.descending else 1
    keyed = []
    for id, stored in points.items():
        found = order_values(stored.payload, order.field, kind)
        if found:
            keyed.append((min(sign * value for value in found), id))
    return sorted(keyed)


# Checks and small change
# -------------------------------------------------------------------------------------------------


def _check_query(schema: CollectionSchema, query: Query) -> None:
    _check_limit(query.limit)
    if not 0 <= query.offset <= MAX_LIMIT:
        raise BadRequest("offset")
    _check_names(schema, query.with_vectors)
    check_filter(schema, query.filter)
    check_ids(query.exclude)
    ask = query.ask
    if isinstance(ask, OrderBy):
        check_order(schema, ask.field)
    if isinstance(ask, OrderBy | Random | Fuse) and query.min_similarity is not None:
        raise BadRequest("min_similarity without anything compared")
    if isinstance(ask, NearPoint):
        dim_of(schema, query.using)
        check_ids([ask.id])
    if isinstance(ask, Near):
        check_vectors(schema, query.using, np.asarray(ask.vector)[None])
    if isinstance(ask, Recommend):
        for examples in (ask.positive, ask.negative):
            if examples is not None and len(examples):
                check_vectors(schema, query.using, np.asarray(examples))
        if len(ask.positive) == 0:
            raise BadRequest("no positive example")
        if np.linalg.norm(average_target(ask)) < 1e-6:
            raise BadVector("the examples cancel each other out")
    if isinstance(ask, Fuse):
        if not ask.vectors or ask.k < 1:
            raise BadRequest("fusion")
        for using, vector in ask.vectors.items():
            check_vectors(schema, using, np.asarray(vector)[None])


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest(f"limit {limit}")


def _check_names(schema: CollectionSchema, names: Sequence[str]) -> None:
    for name in names:
        if schema.dim(name) is None:
            raise UnknownVector(f"There is no vector {name!r}.", using=name)


def _check_dim(schema: CollectionSchema, vector: VectorSpec) -> None:
    if schema.dim(vector.name) not in (None, vector.dim):
        raise BadVector(f"Vector {vector.name!r} has another dimension.", using=vector.name)


def _check_kind(schema: CollectionSchema, path: str, kind: IndexKind) -> None:
    if schema.indexes.get(path, kind) != kind:
        raise BadRequest(f"Field {path!r} is indexed as {schema.indexes[path]}.", field=path)


def _existing(opened: _Collection, ids: Sequence[str]) -> list[_Stored]:
    missing = [id for id in ids if id not in opened.points]
    if missing:
        raise NotFound(f"There is no point {missing[0]}.", ids=missing)
    return [opened.points[id] for id in ids]


def _hit(
    id: str,
    stored: _Stored,
    with_payload: Fields,
    with_vectors: tuple[str, ...],
    score: float | None = None,
) -> Hit:
    if isinstance(with_payload, tuple):
        payload = selected(stored.payload, [steps(path) for path in with_payload]) if with_payload else {}
    else:
        hidden = with_payload.fields if isinstance(with_payload, AllBut) else ()
        shown = {name: value for name, value in stored.payload.items() if name not in hidden}
        payload = shown if with_payload else {}
    vectors = {name: stored.vectors[name].copy() for name in with_vectors if name in stored.vectors}
    return Hit(id, score, orjson.dumps(payload), vectors)


def _cursor(order: OrderBy | None, position: tuple[Any, str]) -> str:
    return repr((None if order is None else (order.field, order.descending), position))


def _position(order: OrderBy | None, cursor: str) -> tuple[Any, str]:
    from ast import literal_eval

    try:
        listing, position = literal_eval(cursor)
    except (ValueError, SyntaxError, TypeError) as error:
        raise BadRequest("not a cursor") from error
    if listing != (None if order is None else (order.field, order.descending)):
        raise BadRequest("a cursor of another listing")
    return (position[0], position[1])
