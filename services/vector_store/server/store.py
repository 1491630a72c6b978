"""The vector store on a Qdrant server or cluster."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from typing import Self, cast

import orjson
from qdrant_client import QdrantClient, models

from vitrine.services.domain import (
    CollectionInfo,
    CollectionSchema,
    Embeddings,
    Facet,
    Fields,
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
    VectorSpec,
)
from vitrine.services.errors import (
    AlreadyExists,
    BadRequest,
    BadVector,
    NotFound,
    UnknownField,
    UnknownVector,
)
from vitrine.services.filters.conditions import Filter
from vitrine.services.vector_store.base import check_ids, check_points, check_vectors
from vitrine.services.vector_store.changes import ChangeLog, Changes, Version
from vitrine.services.vector_store.checks import (
    check_extension,
    check_found,
    check_limit,
    check_names,
    check_query,
    vector_of,
)
from vitrine.services.vector_store.cursors import decode_cursor, encode_cursor
from vitrine.services.vector_store.engine_names import (
    engine_keys,
    engine_path,
    engine_payload,
    own_path,
)
from vitrine.services.vector_store.fields import check_facet, check_filter, check_order
from vitrine.services.vector_store.ranked import as_near
from vitrine.services.vector_store.server.check import misfit, peers_of, too_few_nodes, version_of
from vitrine.services.vector_store.server.client import TIMEOUT_SECONDS, AnyNode, nodes
from vitrine.services.vector_store.server.errors import mapped_errors
from vitrine.services.vector_store.server.listing import Listing
from vitrine.services.vector_store.server.quantized import quantized
from vitrine.services.vector_store.server.search import Searches, floats, hit, to_selection, to_server
from vitrine.services.vector_store.server.snapshots import ServerSnapshots

BATCH_POINTS = 500
BATCH_BYTES = 16 * 1024 * 1024
"""Half of what the server takes in one REST request."""
JSON_BYTES_PER_COMPONENT = 20
FULL_SCAN_POINTS = 20_000
"""Filters that leave fewer points are answered exactly: the default threshold costs recall on narrow
filters."""
INDEXING_THRESHOLD_KB = 10_000
SCHEMA_SECONDS = 10.0
"""How long the collection's schema is believed; a refusal is never based on an old one."""
POLL_SECONDS = 0.2

_BUSY = (models.CollectionStatus.YELLOW, models.CollectionStatus.GREY)
_INDEX_KEY = "index:"
_QUANTIZATION_KEY = "quantization"
_log = logging.getLogger("vitrine.qdrant")
_KINDS: dict[models.PayloadSchemaType, IndexKind] = {
    models.PayloadSchemaType.KEYWORD: "keyword",
    models.PayloadSchemaType.INTEGER: "integer",
    models.PayloadSchemaType.FLOAT: "float",
    models.PayloadSchemaType.BOOL: "bool",
    models.PayloadSchemaType.DATETIME: "datetime",
}


class ServerVectorStore:
    """A ``VectorStore`` over a ``QdrantClient``.

    Collections are the server's own, by the same names. The ``float16`` vectors come back rounded
    to about 3 digits.
    """

    def __init__(
        self,
        client: QdrantClient,
        *,
        server: str = "QDRANT_URL",
        shard_number: int = 1,
        replication_factor: int = 1,
        snapshots: ServerSnapshots | None = None,
    ) -> None:
        """Serve from ``client``; ``server`` is its name in messages. The store owns the client: ``close``
        closes it. ``snapshots``: of the server, where it is one alone."""
        self._snapshots = snapshots
        self._client = client
        self._server = server
        self._shards = shard_number
        self._replicas = replication_factor
        self._schemas: dict[str, tuple[float, CollectionSchema]] = {}
        self._changes: defaultdict[str, ChangeLog] = defaultdict(ChangeLog)
        self._closed = False

    @classmethod
    def connect(
        cls,
        urls: str,
        *,
        api_key: str | None = None,
        prefer_grpc: bool = True,
        grpc_port: int | None = None,
        shards: int = 1,
        replicas: int = 1,
        timeout: int = TIMEOUT_SECONDS,
    ) -> Self:
        """Return a store on the server or the cluster at ``urls``, of which any may answer; nothing goes over
        the network until the first call. ``BadRequest`` if one is not a URL. ``grpc_port``: see
        ``server.client.nodes``."""
        found = nodes(urls, grpc_port=grpc_port, prefer_grpc=prefer_grpc)
        clients = [node.client(api_key=api_key, timeout=timeout) for node in found]
        names = [node.name for node in found]
        client = cast(QdrantClient, AnyNode(clients, names)) if len(clients) > 1 else clients[0]
        alone = ServerSnapshots(clients[0], api_key, names[0]) if len(clients) == 1 else None
        return cls(
            client,
            server=", ".join(names),
            shard_number=shards,
            replication_factor=replicas,
            snapshots=alone,
        )

    @property
    def snapshots(self) -> ServerSnapshots | None:
        return self._snapshots

    # Collections
    # --------------------------------------------------------------------------------------------------------

    def ensure(self, schema: CollectionSchema) -> None:
        try:
            existing = self._fresh_schema(schema.name)
        except NotFound:
            existing = self._create(schema)
        check_extension(existing, schema)
        for vector in schema.vectors:
            self.add_vector(schema.name, vector)
        for field, kind in schema.indexes.items():
            self.add_index(schema.name, field, kind)

    def drop(self, collection: str) -> None:
        name = self._fresh_schema(collection).name
        with mapped_errors(self._server, collection):
            self._client.delete_collection(name)
        self._schemas.clear()
        self._changes.pop(name, None)

    def collections(self) -> list[str]:
        with mapped_errors(self._server):
            return sorted(found.name for found in self._client.get_collections().collections)

    def info(self, collection: str) -> CollectionInfo:
        schema = self._fresh_schema(collection)
        with mapped_errors(self._server, collection):
            found = self._client.get_collection(schema.name)
        statuses = {models.CollectionStatus.GREEN: "green", models.CollectionStatus.RED: "red"}
        return CollectionInfo(
            schema=schema,
            points=self.count(collection),
            indexed=found.indexed_vectors_count or 0,
            status=statuses.get(found.status, "indexing"),  # type: ignore[arg-type]
        )

    def add_vector(self, collection: str, vector: VectorSpec) -> None:
        schema = self._fresh_schema(collection)
        check_extension(schema, CollectionSchema(collection, (vector,)))
        if schema.dim(vector.name) is not None:
            return
        config = models.DenseVectorConfig(
            size=vector.dim, distance=models.Distance.COSINE, datatype=models.VectorStorageDatatype.FLOAT16
        )
        with mapped_errors(self._server, collection):
            self._client.create_vector_name(
                schema.name, vector.name, models.DenseVectorNameConfig(dense=config), wait=True
            )
            # A vector that comes later takes the server's own settings until it is given ours.
            self._client.update_collection(
                schema.name, vectors_config={vector.name: models.VectorParamsDiff(hnsw_config=_hnsw(vector))}
            )
        self._schemas.clear()

    def add_index(self, collection: str, field: str, kind: IndexKind) -> None:
        schema = self._fresh_schema(collection)
        check_extension(schema, CollectionSchema(collection, (), {field: kind}))
        if field in schema.indexes:
            return
        self._create_index(schema.name, field, kind)

    def change_index(self, collection: str, field: str, kind: IndexKind) -> None:
        schema = self._fresh_schema(collection)
        if schema.indexes.get(field) == kind:
            return
        if field in schema.indexes:
            with mapped_errors(self._server, collection):
                self._client.delete_payload_index(schema.name, engine_path(field), wait=True)
        self._create_index(schema.name, field, kind)

    def _create_index(self, name: str, field: str, kind: IndexKind) -> None:
        with mapped_errors(self._server, name):
            path = engine_path(field)
            self._client.create_payload_index(
                name, path, field_schema=models.PayloadSchemaType(kind), wait=True
            )
            # Recorded in the collection's metadata too: the client's in-process mode has no index to tell of.
            self._client.update_collection(name, metadata={_INDEX_KEY + path: kind})
        self._schemas.clear()

    def set_quantization(self, collection: str, quantization: Quantization | None) -> None:
        schema = self._fresh_schema(collection)
        if schema.quantization == quantization:
            return
        with mapped_errors(self._server, collection):
            self._client.update_collection(
                schema.name,
                quantization_config=quantized(quantization) or models.Disabled.DISABLED,
                vectors_config={
                    vector.name: models.VectorParamsDiff(on_disk=quantization is not None)
                    for vector in schema.vectors
                },
                metadata={_QUANTIZATION_KEY: quantization},
            )
        self._schemas.clear()

    def warm(self, collection: str) -> None:
        """Do nothing: a server has its collections open."""

    def optimize(self, collection: str, *, wait: bool = True) -> None:
        """Index what is not indexed yet. Segments below the indexing threshold stay as they are: they are
        searched exactly."""
        name = self._fresh_schema(collection).name
        with mapped_errors(self._server, collection):
            # Giving the optimizer's settings again wakes it, also after a restart, when it waits for the next
            # write.
            settings = models.OptimizersConfigDiff(indexing_threshold=INDEXING_THRESHOLD_KB)
            self._client.update_collection(name, optimizers_config=settings)
            while wait and self._client.get_collection(name).status in _BUSY:
                time.sleep(POLL_SECONDS)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._client.close()

    # Writes
    # --------------------------------------------------------------------------------------------------------

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        self._checked(collection, lambda schema: check_points(schema, points))
        for batch in _batches(points):
            structs = [
                models.PointStruct(
                    id=point.id,
                    vector={name: floats(vector) for name, vector in point.vectors.items()},
                    payload=engine_payload(point.payload),
                )
                for point in batch
            ]
            with mapped_errors(self._server, collection), self._writing(collection, [p.id for p in batch]):
                self._client.upsert(collection, structs, wait=True)

    def update_vectors(self, collection: str, ids: Sequence[str], using: str, vectors: Embeddings) -> None:
        check_ids(ids)
        self._checked(collection, lambda schema: check_vectors(schema, using, vectors, ids))
        self._check_exist(collection, ids)
        for start in range(0, len(ids), BATCH_POINTS):
            rows = zip(ids[start : start + BATCH_POINTS], vectors[start : start + BATCH_POINTS], strict=True)
            points = [models.PointVectors(id=id, vector={using: floats(row)}) for id, row in rows]
            with mapped_errors(self._server, collection):
                self._client.update_vectors(collection, points, wait=True)

    def set_payload(
        self, collection: str, updates: Mapping[str, Payload], *, key: str | None = None, durable: bool = True
    ) -> None:
        """Merge payloads, waited for whether ``durable`` or not: the server has a log of its own."""
        check_ids(list(updates))
        self._check_exist(collection, list(updates))
        names = engine_payload if key is None else engine_keys
        groups: dict[bytes, tuple[Payload, list[str]]] = {}
        for id, payload in updates.items():
            groups.setdefault(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS), (payload, []))[1].append(id)
        operations = [
            models.SetPayloadOperation(
                set_payload=models.SetPayload(
                    payload=names(payload), points=ids, key=key and engine_path(key)
                )
            )
            for payload, ids in groups.values()
        ]
        with mapped_errors(self._server, collection), self._writing(collection, list(updates)):
            for start in range(0, len(operations), BATCH_POINTS):
                self._client.batch_update_points(
                    collection, operations[start : start + BATCH_POINTS], wait=True
                )

    def flush(self, collection: str) -> None:
        self._schema(collection)  # NotFound; what it acknowledged is durable

    def delete_payload(self, collection: str, ids: Sequence[str], keys: Sequence[str]) -> None:
        check_ids(ids)
        self._check_exist(collection, ids)
        if ids and keys:
            with mapped_errors(self._server, collection), self._writing(collection, ids):
                self._client.delete_payload(
                    collection, keys=[engine_path(key) for key in keys], points=list(ids), wait=True
                )

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        check_ids(ids)
        self._schema(collection)
        if ids:
            with mapped_errors(self._server, collection), self._writing(collection, ids):
                self._client.delete(collection, models.PointIdsList(points=list(ids)), wait=True)

    @contextmanager
    def _writing(self, collection: str, ids: Sequence[str]) -> Iterator[None]:
        """Note a change of these points, also one that may have failed half way."""
        try:
            yield
        finally:
            self._changes[collection].note(ids)

    def changes(self, collection: str, since: Version | None = None) -> Changes:
        """Return what this process has changed: the server does not tell what others have."""
        self._schema(collection)  # NotFound
        return self._changes[collection].since(since, complete=False)

    # Reads
    # --------------------------------------------------------------------------------------------------------

    def query(self, collection: str, query: Query) -> list[Hit]:
        return self.query_batch(collection, [query])[0]

    def query_batch(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        def check(schema: CollectionSchema) -> None:
            for query in queries:
                check_query(schema, query)

        schema = self._checked(collection, check)
        asked = [as_near(schema, query) for query in self._by_vectors(collection, queries)]
        searches = Searches(self._client, collection, self.retrieve)
        with mapped_errors(self._server, collection):
            found = iter(searches.answers([query for query in asked if not isinstance(query.ask, OrderBy)]))
        return [
            self._ordered(schema, query, query.ask) if isinstance(query.ask, OrderBy) else next(found)
            for query in asked
        ]

    def _by_vectors(self, collection: str, queries: Sequence[Query]) -> list[Query]:
        """Return the queries, those by a point with its vector."""
        wanted: defaultdict[str, list[str]] = defaultdict(list)
        for query in queries:
            if isinstance(query.ask, NearPoint):
                wanted[query.using].append(query.ask.id)
        found = {
            (using, id): vector_of(collection, id, hit, using)
            for using, ids in wanted.items()
            for id, hit in zip(
                ids,
                self.retrieve(collection, ids, with_payload=False, with_vectors=(using,)),
                strict=True,
            )
        }
        return [
            replace(query, ask=Near(found[query.using, query.ask.id]))
            if isinstance(query.ask, NearPoint)
            else query
            for query in queries
        ]

    def retrieve(
        self,
        collection: str,
        ids: Sequence[str],
        *,
        with_payload: Fields = True,
        with_vectors: tuple[str, ...] = (),
    ) -> list[Hit | None]:
        check_ids(ids)
        self._checked(collection, lambda schema: check_names(schema, with_vectors))
        found: dict[str, Hit] = {}
        for start in range(0, len(ids), BATCH_POINTS):
            with mapped_errors(self._server, collection):
                records = self._client.retrieve(
                    collection,
                    list(ids[start : start + BATCH_POINTS]),
                    with_payload=to_selection(with_payload),
                    with_vectors=list(with_vectors) or False,
                )
            found.update((str(record.id), hit(record)) for record in records)
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
        check_limit(limit)

        def check(schema: CollectionSchema) -> None:
            check_names(schema, with_vectors)
            check_filter(schema, filter)
            if order_by is not None:
                check_order(schema, order_by.field)

        schema = self._checked(collection, check)
        position = None if cursor is None else decode_cursor(order_by, cursor)
        with mapped_errors(self._server, collection):
            if order_by is None:
                records, following = self._client.scroll(
                    collection,
                    scroll_filter=to_server(filter),
                    limit=limit,
                    offset=position,
                    with_payload=to_selection(with_payload),
                    with_vectors=list(with_vectors) or False,
                )
                cursor = None if following is None else encode_cursor(None, str(following))
                return Page(tuple(hit(record) for record in records), cursor)
            listing = self._listing(schema, order_by, to_server(filter), with_payload, with_vectors)
            found = listing.after(position, limit + 1)
        cursor = encode_cursor(order_by, found[limit - 1][:2]) if len(found) > limit else None
        return Page(tuple(hit(record) for _, _, record in found[:limit]), cursor)

    def facet(
        self, collection: str, field: str, *, filter: Filter | None = None, limit: int = 100
    ) -> list[Facet]:
        check_limit(limit)

        def check(schema: CollectionSchema) -> None:
            check_filter(schema, filter)
            check_facet(schema, field)

        self._checked(collection, check)
        with mapped_errors(self._server, collection):
            found = self._client.facet(
                collection, engine_path(field), facet_filter=to_server(filter), limit=limit, exact=True
            )
        facets = [Facet(value=item.value, count=item.count) for item in found.hits if item.count]
        return sorted(facets, key=lambda facet: (-facet.count, facet.value))

    def count(self, collection: str, filter: Filter | None = None) -> int:
        self._checked(collection, lambda schema: check_filter(schema, filter))
        with mapped_errors(self._server, collection):
            return self._client.count(collection, to_server(filter), exact=True).count

    def _ordered(self, schema: CollectionSchema, query: Query, order: OrderBy) -> list[Hit]:
        filter = to_server(query.filter, without=query.exclude)
        listing = self._listing(schema, order, filter, query.with_payload, query.with_vectors)
        with mapped_errors(self._server, schema.name):
            found = listing.after(None, query.offset + query.limit)
        return [hit(record) for _, _, record in found[query.offset :]]

    def _listing(
        self,
        schema: CollectionSchema,
        order: OrderBy,
        filter: models.Filter | None,
        with_payload: Fields,
        with_vectors: tuple[str, ...],
    ) -> Listing:
        return Listing(
            engine_path(order.field),
            schema.indexes[order.field],
            order.descending,
            self._client,
            schema.name,
            filter,
            to_selection(with_payload),
            list(with_vectors) or False,
        )

    # Schema
    # --------------------------------------------------------------------------------------------------------

    def _create(self, schema: CollectionSchema) -> CollectionSchema:
        vectors = {
            vector.name: models.VectorParams(
                size=vector.dim,
                distance=models.Distance.COSINE,
                datatype=models.Datatype.FLOAT16,
                hnsw_config=_hnsw(vector),
                on_disk=schema.quantization is not None,
            )
            for vector in schema.vectors
        }
        self._check_server()
        strict = models.StrictModeConfig(
            enabled=True, unindexed_filtering_retrieve=False, unindexed_filtering_update=False
        )
        with (
            suppress(AlreadyExists),
            mapped_errors(self._server, schema.name),
        ):  # another process may have been faster
            self._client.create_collection(
                schema.name,
                vectors_config=vectors,
                shard_number=self._shards,
                replication_factor=self._replicas,
                optimizers_config=models.OptimizersConfigDiff(indexing_threshold=INDEXING_THRESHOLD_KB),
                strict_mode_config=strict,
                quantization_config=quantized(schema.quantization),
                metadata={_QUANTIZATION_KEY: schema.quantization} if schema.quantization else None,
            )
        return self._fresh_schema(schema.name)

    def _check_server(self) -> None:
        """Raise ``BadRequest`` if the copies that are asked for cannot be placed: the server would make fewer
        without a word."""
        theirs = version_of(self._client)
        wrong = theirs and misfit(version("qdrant-client"), theirs)
        if wrong:
            _log.warning("%s", wrong)
        peers = peers_of(self._client) if self._replicas > 1 else None
        if peers is not None and len(peers) < self._replicas:
            raise BadRequest(too_few_nodes(self._replicas, len(peers)))

    def _fresh_schema(self, collection: str) -> CollectionSchema:
        """Return the schema as the server has it now."""
        with mapped_errors(self._server, collection):
            config = self._client.get_collection(collection)
        vectors = config.config.params.vectors
        named = vectors if isinstance(vectors, dict) else {}
        indexes: dict[str, IndexKind] = {
            own_path(key.removeprefix(_INDEX_KEY)): kind
            for key, kind in (config.config.metadata or {}).items()
            if key.startswith(_INDEX_KEY)
        }
        indexes |= {
            own_path(path): _KINDS[info.data_type]
            for path, info in config.payload_schema.items()
            if info.data_type in _KINDS
        }
        specs = tuple(VectorSpec(key, params.size) for key, params in named.items())
        quantization = (config.config.metadata or {}).get(_QUANTIZATION_KEY)
        schema = CollectionSchema(collection, specs, indexes, quantization)
        self._schemas[collection] = (time.monotonic(), schema)
        return schema

    def _schema(self, collection: str) -> CollectionSchema:
        read, schema = self._schemas.get(collection, (-SCHEMA_SECONDS, None))
        if schema is None or time.monotonic() - read > SCHEMA_SECONDS:
            return self._fresh_schema(collection)
        return schema

    def _checked(self, collection: str, check: Callable[[CollectionSchema], None]) -> CollectionSchema:
        """Return the schema, after ``check``. Another process may have added what a remembered one lacks, so
        it is read again first."""
        schema = self._schema(collection)
        try:
            check(schema)
        except (BadRequest, BadVector, UnknownField, UnknownVector):
            schema = self._fresh_schema(collection)
            check(schema)
        return schema

    def _check_exist(self, collection: str, ids: Sequence[str]) -> None:
        """Raise ``NotFound`` naming the unknown ids: the server would apply the change to the others and then
        complain."""
        found = self.retrieve(collection, ids, with_payload=False)
        check_found(collection, [id for id, hit in zip(ids, found, strict=True) if hit is None])


def _hnsw(vector: VectorSpec) -> models.HnswConfigDiff:
    return models.HnswConfigDiff(full_scan_threshold=FULL_SCAN_POINTS * vector.dim * 2 // 1024)


def _batches(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Yield the points in batches, each within what the server takes in one request, whichever protocol
    carries it."""
    batch: list[Point] = []
    size = 0
    for point in points:
        components = sum(len(vector) for vector in point.vectors.values())
        bytes = components * JSON_BYTES_PER_COMPONENT + len(orjson.dumps(point.payload))
        if batch and (len(batch) == BATCH_POINTS or size + bytes > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += bytes
    if batch:
        yield batch
