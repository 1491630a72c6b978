"""The embedded vector store: Qdrant Edge in a process of its own, which all programs of a data folder
share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from vitrine.services.domain import (
    CollectionInfo,
    CollectionSchema,
    Embeddings,
    Facet,
    Fields,
    Hit,
    IndexKind,
    OrderBy,
    Page,
    Payload,
    Point,
    Quantization,
    Query,
    VectorSpec,
)
from vitrine.services.errors import BadRequest, BadVector, NotFound, UnknownField, UnknownVector, VitrineError
from vitrine.services.filters.conditions import Filter
from vitrine.services.read_only import Scratch, read_only_error
from vitrine.services.vector_store.base import check_ids, check_points, check_vectors
from vitrine.services.vector_store.changes import Changes, Version
from vitrine.services.vector_store.checks import check_found, check_limit
from vitrine.services.vector_store.cursors import decode_cursor, encode_cursor
from vitrine.services.vector_store.edge.errors import from_plain, to_plain
from vitrine.services.vector_store.edge.files import (
    MEGABYTE,
    Closed,
    CollectionFiles,
    folder_name,
    read_note,
    read_schemas,
    schema_from_plain,
    schema_plain,
)
from vitrine.services.vector_store.edge.link.client import Catalogue, EngineClient
from vitrine.services.vector_store.edge.link.wire import Arrays, Header
from vitrine.services.vector_store.edge.query import filter_plain, query_plain, selection, unpack
from vitrine.services.vector_store.engine_names import engine_keys, engine_path, engine_payload
from vitrine.services.vector_store.fields import check_facet, check_order

T = TypeVar("T")
_FRESH_S: Final = 0.5
"""What is known of the catalogue is used for this long: another program may have changed it."""
_MESSAGE_POINTS: Final = 2_000
"""Points in one message to the engine process: a message is read whole before other callers are answered."""
_CHANGES: Final = frozenset(
    (
        *("upsert", "update_vectors", "set_payload", "delete_payload", "delete", "flush"),
        *("extend", "quantize", "drop", "optimize"),
    )
)
_MESSAGE_BYTES: Final = 250_000
"""Payload changes in one message, for the same reason: 50 scores and who gave them are 4 KB."""


@dataclass(frozen=True)
class _Listed:
    """What is there: schemas, and what is wrong with collections without one. ``state``: None where no engine
    ran and the files were read, ``at`` that moment."""

    state: Catalogue | None
    at: float
    schemas: dict[str, CollectionSchema]
    damaged: dict[str, dict[str, Any]]


class EdgeVectorStore:
    """A ``VectorStore`` under ``folder``, which any number of programs of one user may have open.

    Writes raise ``StorageFull`` below ``min_free_mb`` MiB of free disk. ``auto_optimize`` indexes by itself
    once enough is unindexed for queries to notice. Both are as the program says that starts the engine;
    ``command``: what that program is called to those who find the folder taken by another version.
    ``read_only``: nothing is written below ``folder``: this program has an engine of its own, which copies a
    collection into a temporary folder when it is first asked about it, and every write raises ``ReadOnly``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        min_free_mb: int = 512,
        command: str = "vitrine",
        auto_optimize: bool = True,
        read_only: bool = False,
    ) -> None:
        self._folder = folder
        self._scratch = Scratch() if read_only else None
        self._client = EngineClient(
            folder if self._scratch is None else self._scratch.path,
            min_free_bytes=min_free_mb * MEGABYTE,
            auto_optimize=auto_optimize and not read_only,
            command=command,
            source=folder if read_only else None,
        )
        self._mutex = threading.Lock()
        self._listed: _Listed | None = None

    @property
    def snapshots(self) -> None:
        """The embedded engine makes none."""
        return None

    def start(self) -> None:
        """Connect to the engine now instead of at the first call; one that is started gets ready
        meanwhile."""
        self._client.start()

    def serving_at(self, url: str) -> None:
        """Have the lock's file say where this program serves the store, for as long as it is open."""
        self._client.call({"op": "serving", "url": url})

    @property
    def engine_pid(self) -> int | None:
        """Process id of the engine that this program uses; None while there is none."""
        return self._client.pid

    def close(self) -> None:
        """Leave the engine; if no other program uses it, everything is on the disk and it has ended then."""
        self._client.close()
        if self._scratch is not None:
            self._scratch.remove()

    # Collections
    # --------------------------------------------------------------------------------------------------------

    def ensure(self, schema: CollectionSchema) -> None:
        folder_name(schema.name)
        self._extend(schema, create=True)

    def drop(self, collection: str) -> None:
        self._change("drop", collection)

    def collections(self) -> list[str]:
        known = self._read_catalogue()
        return sorted({*known.schemas, *known.damaged})

    def info(self, collection: str) -> CollectionInfo:
        schema = self._schema(collection)
        if (known := self._noted(collection)) is not None:
            return CollectionInfo(schema, known.points, known.indexed, "green")
        answer, _ = self._call("info", collection)
        return CollectionInfo(schema, answer["points"], answer["indexed"], answer["status"])

    def _noted(self, collection: str) -> Closed | None:
        """Return what the collection noted when it was closed; None once the engine may have opened it."""
        return self._client.unless_started(lambda: read_note(CollectionFiles(self._folder, collection)))

    def add_vector(self, collection: str, vector: VectorSpec) -> None:
        self._extend(CollectionSchema(collection, (vector,)), create=False)

    def add_index(self, collection: str, field: str, kind: IndexKind) -> None:
        self._extend(CollectionSchema(collection, (), {field: kind}), create=False)

    def change_index(self, collection: str, field: str, kind: IndexKind) -> None:
        self._extend(CollectionSchema(collection, (), {field: kind}), create=False, change=True)

    def set_quantization(self, collection: str, quantization: Quantization | None) -> None:
        if self._schema(collection).quantization == quantization:
            return
        self._change("quantize", collection, quantization=quantization)
        self.optimize(collection, wait=False)

    def optimize(self, collection: str, *, wait: bool = True) -> None:
        self._call("optimize", collection, wait=wait)

    def warm(self, collection: str) -> None:
        """Have the engine open the collection, up to half a second's work, and wait on a thread."""

        def ask() -> None:
            with suppress(VitrineError):
                self._call("missing", collection, ids=[])

        self._client.start()
        threading.Thread(target=ask, name="vitrine-warm", daemon=True).start()

    def _extend(self, wanted: CollectionSchema, *, create: bool, change: bool = False) -> None:
        present = self._read_catalogue().schemas.get(wanted.name)
        if present is not None and _covers(present, wanted):
            return
        self._change("extend", wanted.name, schema=schema_plain(wanted), create=create, change=change)

    def _call(
        self, op: str, collection: str, arrays: Sequence[Any] = (), **fields: Any
    ) -> tuple[Header, Arrays]:
        if self._scratch is not None and op in _CHANGES:
            raise read_only_error()
        return self._client.call({"op": op, "collection": collection, **fields}, arrays)

    def _change(self, op: str, collection: str, **fields: Any) -> None:
        """Call, and read the catalogue anew the next time."""
        try:
            self._call(op, collection, **fields)
        finally:
            with self._mutex:
                self._listed = None

    def _schema(self, collection: str) -> CollectionSchema:
        known = self._read_catalogue()
        if collection not in known.schemas and collection not in known.damaged:
            known = self._read_catalogue(at_most=0.0)  # another program may have made it a moment ago
        if collection in known.damaged:
            raise from_plain(known.damaged[collection])
        if collection not in known.schemas:
            raise NotFound(f"There is no collection {collection!r}.", collection=collection)
        return known.schemas[collection]

    def _checked(self, collection: str, ask: Callable[[CollectionSchema], T]) -> T:
        """Return what ``ask`` makes of the schema. Another program may have added a moment ago what the one
        that is remembered lacks, so the catalogue is read again before that is an error."""
        schema = self._schema(collection)
        try:
            return ask(schema)
        except (BadRequest, BadVector, UnknownField, UnknownVector):
            self._read_catalogue(at_most=0.0)
            newer = self._schema(collection)
            if newer == schema:
                raise
            return ask(newer)

    def _read_catalogue(self, at_most: float = _FRESH_S) -> _Listed:
        """Return what is there, as of at most so many seconds ago. Every answer of the engine says whether it
        has changed, so that it is asked only after a while without calls."""
        known = self._listed
        if known is not None and known.state is not None:
            seen = self._client.catalogue(at_most)
            if seen is None:
                self._client.call({"op": "pulse"})
                seen = self._client.catalogue(_FRESH_S)
            if seen == known.state:
                return known
        elif known is not None and time.monotonic() - known.at < at_most:
            return known
        known = self._client.unless_started(self._list_files) or self._list_engine()
        with self._mutex:
            self._listed = known
        return known

    def _list_files(self) -> _Listed:
        now = time.monotonic()
        schemas, damaged = read_schemas(self._folder)
        return _Listed(None, now, schemas, {name: to_plain(error) for name, error in damaged.items()})

    def _list_engine(self) -> _Listed:
        answer, _ = self._client.call({"op": "catalogue"})
        schemas = [schema_from_plain(plain) for plain in answer["schemas"]]
        return _Listed(
            answer["state"], time.monotonic(), {schema.name: schema for schema in schemas}, answer["damaged"]
        )

    # Writes
    # --------------------------------------------------------------------------------------------------------

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        import numpy as np

        self._checked(collection, lambda schema: check_points(schema, points))
        for part in _parts(points):
            vectors: list[tuple[str, list[int] | None]] = []
            matrices = []
            for name in dict.fromkeys(name for point in part for name in point.vectors):
                rows = [row for row, point in enumerate(part) if name in point.vectors]
                vectors.append((name, rows if len(rows) < len(part) else None))
                matrices.append(
                    np.stack([np.asarray(part[row].vectors[name], dtype=np.float32) for row in rows])
                )
            payloads = [engine_payload(point.payload) for point in part]
            ids = [point.id for point in part]
            self._call("upsert", collection, matrices, ids=ids, payloads=payloads, vectors=vectors)

    def update_vectors(self, collection: str, ids: Sequence[str], using: str, vectors: Embeddings) -> None:
        import numpy as np

        matrix = np.asarray(vectors, dtype=np.float32)

        def check(schema: CollectionSchema) -> None:
            check_ids(ids)
            check_vectors(schema, using, matrix, ids)

        self._checked(collection, check)
        if len(ids) > _MESSAGE_POINTS:
            self._check_known(collection, ids)
        for number, part in enumerate(_parts(ids)):
            rows = matrix[number * _MESSAGE_POINTS :][: len(part)]
            self._call("update_vectors", collection, [rows], ids=part, using=using)

    def set_payload(
        self, collection: str, updates: Mapping[str, Payload], *, key: str | None = None, durable: bool = True
    ) -> None:
        self._schema(collection)  # NotFound, also where there is nothing to write
        check_ids(list(updates))
        names = engine_payload if key is None else engine_keys
        messages = list(_payload_messages({id: names(payload) for id, payload in updates.items()}))
        if len(messages) > 1:
            self._check_known(collection, list(updates))
        path = key and engine_path(key)
        for number, groups in enumerate(messages, 1):
            last = number == len(messages)  # one flush makes all of them durable
            self._call("set_payload", collection, groups=groups, key=path, flush=durable and last)

    def flush(self, collection: str) -> None:
        self._call("flush", collection)

    def delete_payload(self, collection: str, ids: Sequence[str], keys: Sequence[str]) -> None:
        self._schema(collection)  # NotFound
        check_ids(ids)
        if len(ids) > _MESSAGE_POINTS:
            self._check_known(collection, ids)
        paths = [engine_path(key) for key in keys]
        for part in _parts(ids if paths else ()):
            self._call("delete_payload", collection, ids=part, keys=paths)

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        self._schema(collection)  # NotFound
        check_ids(ids)
        for part in _parts(ids):
            self._call("delete", collection, ids=part)

    def _check_known(self, collection: str, ids: Sequence[str]) -> None:
        """Raise ``NotFound`` before the first of several messages is applied; a single message checks for
        itself."""
        missing: list[str] = []
        for part in _parts(ids):
            missing += self._call("missing", collection, ids=part)[0]["ids"]
        check_found(collection, missing)

    # Reads
    # --------------------------------------------------------------------------------------------------------

    def query(self, collection: str, query: Query) -> list[Hit]:
        return self.query_batch(collection, [query])[0]

    def query_batch(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        asked = self._checked(collection, lambda schema: [query_plain(schema, query) for query in queries])
        arrays = [vector for _, vectors in asked for vector in vectors]
        return unpack(*self._call("query", collection, arrays, queries=[plain for plain, _ in asked]))

    def retrieve(
        self,
        collection: str,
        ids: Sequence[str],
        *,
        with_payload: Fields = True,
        with_vectors: tuple[str, ...] = (),
    ) -> list[Hit | None]:
        check_ids(ids)
        wanted = self._checked(collection, lambda schema: selection(schema, with_payload, with_vectors))
        found: dict[str, Hit] = {}
        for part in _parts(ids):
            (hits,) = unpack(*self._call("retrieve", collection, ids=part, **wanted))
            found.update((hit.id, hit) for hit in hits)
        return [found.get(id) for id in ids]

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
        """Return a page in order of id; or of a field, and of id among equal values."""

        def ask(schema: CollectionSchema) -> dict[str, Any]:
            check_limit(limit)
            if order_by is not None:
                check_order(schema, order_by.field)
            wanted = selection(schema, with_payload, with_vectors)
            return {**wanted, "filter": filter_plain(schema, filter)}

        answer, blocks = self._call(
            "scroll",
            collection,
            **self._checked(collection, ask),
            limit=limit,
            field=None if order_by is None else order_by.field,
            descending=order_by is not None and order_by.descending,
            position=None if cursor is None else decode_cursor(order_by, cursor),
        )
        (hits,) = unpack(answer, blocks)
        position = answer["position"]
        return Page(tuple(hits), None if position is None else encode_cursor(order_by, position))

    def facet(
        self, collection: str, field: str, *, filter: Filter | None = None, limit: int = 100
    ) -> list[Facet]:
        def ask(schema: CollectionSchema) -> Any:
            check_limit(limit)
            plain = filter_plain(schema, filter)
            check_facet(schema, field)
            return plain

        plain = self._checked(collection, ask)
        answer, _ = self._call("facet", collection, field=field, filter=plain, limit=limit)
        return [Facet(value, count) for value, count in answer["values"]]

    def count(self, collection: str, filter: Filter | None = None) -> int:
        plain = self._checked(collection, lambda schema: filter_plain(schema, filter))
        known = None if plain else self._noted(collection)
        if known is not None:
            return known.points
        answer, _ = self._call("count", collection, filter=plain)
        count: int = answer["count"]
        return count

    def changes(self, collection: str, since: Version | None = None) -> Changes:
        self._schema(collection)  # NotFound
        answer, _ = self._call("changes", collection, since=since and list(since))
        ids = answer["ids"]
        return Changes(Version(*answer["version"]), None if ids is None else tuple(ids), complete=True)


def _covers(present: CollectionSchema, wanted: CollectionSchema) -> bool:
    """Return whether all that is wanted is there already."""
    vectors = all(present.dim(vector.name) == vector.dim for vector in wanted.vectors)
    return vectors and all(present.indexes.get(field) == kind for field, kind in wanted.indexes.items())


def _parts(items: Sequence[T]) -> Iterator[list[T]]:
    """Yield the items in lists, each for one message."""
    for start in range(0, len(items), _MESSAGE_POINTS):
        yield list(items[start : start + _MESSAGE_POINTS])


def _payload_messages(updates: Mapping[str, Payload]) -> Iterator[list[tuple[orjson.Fragment, list[str]]]]:
    """Yield groups of [payload, ids that get it], as many as fit in one message. Each payload is written as
    JSON once."""
    groups: dict[bytes, list[str]] = {}
    points = size = 0
    for id, payload in updates.items():
        plain = _json(payload)
        size += 0 if plain in groups else len(plain)
        if groups and (points == _MESSAGE_POINTS or size > _MESSAGE_BYTES):
            yield _fragments(groups)
            groups, points, size = {}, 0, len(plain)
        groups.setdefault(plain, []).append(id)
        points += 1
    if groups:
        yield _fragments(groups)


def _fragments(groups: dict[bytes, list[str]]) -> list[tuple[orjson.Fragment, list[str]]]:
    return [(orjson.Fragment(plain), ids) for plain, ids in groups.items()]


def _json(payload: Payload) -> bytes:
    try:
        return orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise BadRequest(f"A payload is not JSON: {error}.") from error
