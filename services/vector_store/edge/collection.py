"""One open collection in the engine process: its shard, and the writes to it.

A write is a generator: it applies a slice of points and yields, so that waiting queries are answered. Its
caller is answered once the log of what was applied is durable. Writes to one collection never overlap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from vitrine.services.domain import CollectionSchema, Quantization
from vitrine.services.errors import StoreDamaged, VitrineError, rebuilt
from vitrine.services.vector_store.changes import ChangeLog
from vitrine.services.vector_store.checks import check_found
from vitrine.services.vector_store.edge import shard as edge_shard
from vitrine.services.vector_store.edge.commits import Log
from vitrine.services.vector_store.edge.errors import from_engine
from vitrine.services.vector_store.edge.files import (
    MEGABYTE,
    Closed,
    CollectionFiles,
    check_space,
    remove_note,
    sync_folders,
    write_note,
)
from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.edge.link.wire import Arrays, Header
from vitrine.services.vector_store.edge.reach import Reach
from vitrine.services.vector_store.edge.read import count

SLICE: Final = 128
"""Points that are written in one go, some 3 to 10 ms in which nobody is answered: the engine never releases
the interpreter."""
SLICE_SECONDS: Final = 0.005
"""Payload changes go on for this long at a time: they differ in size, and each index they touch takes its
time."""
TAIL_KB: Final = 15_000
"""Vectors outside of HNSW, such as 15,000 of 512 components, that cost a query under a millisecond."""
UNFLUSHED: Final = 10_000
"""Points written since the last flush: so many are replayed in half a second when the shard is opened after a
kill."""
_DELETE_RESERVE: Final = 64 * MEGABYTE

Write = Iterator[None]


@contextmanager
def engine_errors(collection: str) -> Iterator[None]:
    """Raise the engine's errors, panics included, as ours."""
    try:
        yield
    except (VitrineError, GeneratorExit, KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of the engine is a BaseException
        raise from_engine(error, collection) from error


class Collection:
    """A collection with its shard open.

    ``points`` is exact. ``lacking``: fields of the schema that have no index yet, see ``index``. ``tail``
    holds the ids written since the last indexing run. ``on_write`` is called with every id that was written,
    at once; an indexing run uses it. ``changes`` counts the writes to payloads. ``log``: makes durable what
    was applied. ``unflushed``: points written since the last flush. ``broken``: a change failed half way,
    close it and open it anew.
    """

    def __init__(self, data: Path, schema: CollectionSchema, *, min_free: int, changes: ChangeLog) -> None:
        self.schema = schema
        self.changes = changes
        self.files = CollectionFiles(data, schema.name)
        self.on_write: Callable[[list[str]], None] | None = None
        self.tail: set[str] = set()
        self.broken = False
        self.unflushed = 0
        self._min_free = min_free
        check_space(data, min(min_free, _DELETE_RESERVE))  # opening on a full disk kills the process too
        remove_note(self.files)
        self._check_log()
        with engine_errors_at_load(schema.name):
            self.shard = edge_shard.load_shard(self.files.shard, schema)
        self.log = Log(self.files.shard)
        with engine_errors(schema.name):
            self.points = count(self.shard, None)
        self._check_complete()
        self.lacking = edge_shard.lacking(self.shard, schema)
        self._old_tail = self._unindexed()
        self.reach = Reach.into(self.shard)

    @classmethod
    def create(cls, data: Path, schema: CollectionSchema, *, min_free: int, changes: ChangeLog) -> Collection:
        """Make the collection. It exists once its schema is on the disk; whatever a kill leaves before that
        is wiped."""
        files = CollectionFiles(data, schema.name)
        check_space(data, min_free)
        with engine_errors(schema.name):
            path = files.new_generation()
            edge_shard.create_shard(path, schema).close()
            sync_folders(path)
        files.point_to(path)
        files.write_schema(schema)
        return cls(data, schema, min_free=min_free, changes=changes)

    def _check_log(self) -> None:
        """Refuse a shard whose log is gone: it opens, and passes over what is written to it as if it had it
        already, since the numbers of its writes begin anew."""
        if not any((self.files.shard / "wal").glob("open-*")):
            raise StoreDamaged(
                f"The log of collection {self.schema.name!r} is gone. {rebuilt(self.schema.name)}",
                collection=self.schema.name,
            )

    def _check_complete(self) -> None:
        expected = self.files.read_points()
        if self.points < expected:
            self.shard.close()
            raise StoreDamaged(
                f"Collection {self.schema.name!r} opens with {self.points} points, but {expected} were "
                f"acknowledged. {rebuilt(self.schema.name)}",
                collection=self.schema.name,
                points=self.points,
                expected=expected,
            )

    def _unindexed(self) -> int:
        """Return the number of vectors outside of HNSW, as far as it is known cheaply."""
        missing = self.points * len(self.schema.vectors) - self.shard.info().indexed_vectors_count
        if len(self.schema.vectors) == 1 or self._kb(missing) <= TAIL_KB:
            return max(0, int(missing))
        filters = [{"must": [{"has_vector": vector.name}]} for vector in self.schema.vectors]
        return max(
            0,
            sum(count(self.shard, filter) for filter in filters)
            - int(self.shard.info().indexed_vectors_count),
        )

    def needs_indexing(self) -> bool:
        """Return whether the part that is searched exactly has grown enough for an indexing run to pay."""
        return self._kb(self._old_tail + len(self.tail)) > TAIL_KB + self._kb(self.points) // 20

    def _kb(self, vectors: int) -> int:
        return edge_shard.vector_kb(vectors, max((vector.dim for vector in self.schema.vectors), default=0))

    def indexed(self) -> int:
        """Return the number of vectors under HNSW."""
        # the engine goes on counting vectors whose points were deleted, or moved out of the index by a change
        vectors = self.points * len(self.schema.vectors)
        return max(0, min(int(self.shard.info().indexed_vectors_count), vectors - len(self.tail)))

    def restart_tail(self, ids: set[str]) -> None:
        """Count anew after an indexing run: only ``ids`` have been written since."""
        self.tail = ids
        self._old_tail = 0

    def take(self, shard: Any, written: set[str]) -> Any:
        """Put another shard in charge, indexed but for the ids ``written`` since; return the former one."""
        former, self.shard = self.shard, shard
        self.log = Log(self.files.shard)
        self.unflushed = 0
        self.lacking = edge_shard.lacking(shard, self.schema)
        self.reach = Reach.into(shard)
        self.restart_tail(written)
        return former

    def close(self) -> None:
        """Flush and close. Errors of the engine are raised as ours."""
        with engine_errors(self.schema.name):
            known = Closed(self.points, self.indexed())
            self.shard.close()
            if self.unflushed:
                sync_folders(self.files.shard)
        if not self.broken:
            if self.unflushed:
                self.files.write_points(self.points, durable=True)
            write_note(self.files, known)

    # Writes
    # --------------------------------------------------------------------------------------------------------

    def upsert(self, header: Header, arrays: Arrays) -> Write:
        """Insert or replace points: ``ids`` and ``payloads`` by point; ``vectors``: [name, rows or None for
        all], each with a matrix in ``arrays``."""
        self._check_space()
        ids: list[str] = header["ids"]
        vectors: list[dict[str, memoryview]] = [{} for _ in ids]
        for (name, rows), matrix in zip(header["vectors"], arrays, strict=True):
            for row, vector in zip(range(len(ids)) if rows is None else rows, matrix, strict=True):
                vectors[row][name] = memoryview(vector)  # the engine reads it three times as fast as a list
        for start in range(0, len(ids), SLICE):
            part = slice(start, start + SLICE)
            triples = zip(ids[part], vectors[part], header["payloads"][part], strict=True)
            points = [edge.Point(id, named, payload) for id, named, payload in triples]
            new = len(set(ids[part]) - self._known(ids[part]))
            self._apply(edge.UpdateOperation.upsert_points(points), ids[part])
            self.points += new
            yield
        if self.lacking and self.points >= edge_shard.FEW_POINTS:
            yield from self.index(self.lacking)

    def update_vectors(self, header: Header, arrays: Arrays) -> Write:
        """Set vector ``using`` of ``ids[i]`` to row i of the matrix."""
        self._check_space()
        ids: list[str] = header["ids"]
        self._check_known(ids)
        for start in range(0, len(ids), SLICE):
            part = slice(start, start + SLICE)
            rows = zip(ids[part], arrays[0][part], strict=True)
            changes = [edge.PointVectors(id, {header["using"]: memoryview(row)}) for id, row in rows]
            self._apply(edge.UpdateOperation.update_vectors(changes), ids[part], payloads=False)
            yield

    def set_payload(self, header: Header, arrays: Arrays) -> Write:
        """Merge payloads: ``groups``: [payload, ids that get it]; at the top, or into the object at path
        ``key``.

        An operation of its own for each point is the fastest where the payloads differ, and leaves none half
        changed.
        """
        self._check_space()
        self._check_known([id for _, ids in header["groups"] for id in ids])
        started = time.perf_counter()
        for payload, ids in header["groups"]:
            for start in range(0, len(ids), SLICE):
                part = ids[start : start + SLICE]
                self._apply(edge.UpdateOperation.set_payload(part, payload, header["key"]), part)
                if time.perf_counter() - started >= SLICE_SECONDS:
                    yield
                    started = time.perf_counter()

    def delete_payload(self, header: Header, arrays: Arrays) -> Write:
        """Remove the field paths ``keys`` from ``ids``."""
        self._check_space(_DELETE_RESERVE)
        ids: list[str] = header["ids"]
        self._check_known(ids)
        for start in range(0, len(ids), SLICE):
            part = ids[start : start + SLICE]
            self._apply(edge.UpdateOperation.delete_payload(part, header["keys"]), part)
            yield

    def delete(self, header: Header, arrays: Arrays) -> Write:
        """Remove the points of ``ids`` that exist."""
        self._check_space(_DELETE_RESERVE)
        ids = sorted(self._known(header["ids"]))
        if ids:
            self.files.write_points(self.points - len(ids), durable=True)
        for start in range(0, len(ids), SLICE):
            part = ids[start : start + SLICE]
            self._apply(edge.UpdateOperation.delete_points(part), part)
            self.points -= len(part)
            yield

    def extend(self, schema: CollectionSchema) -> Write:
        """Add the named vectors and indexes of ``schema``, which holds all that are there already, some maybe
        of another kind."""
        self._check_space()
        changed = [field for field, kind in schema.indexes.items() if self.schema.indexes.get(field) != kind]
        if self.points >= edge_shard.FEW_POINTS:
            for field in changed[:-1]:
                with self._changing():
                    edge_shard.add_index(self.shard, field, schema.indexes[field])
                yield  # each takes a while on a filled shard
        with self._changing():
            edge_shard.add_vectors(self.shard, schema)
            edge_shard.add_indexes(self.shard, schema, points=self.points)
        self.flush()
        self.files.write_schema(schema)
        self.schema = schema
        self.lacking = edge_shard.lacking(self.shard, schema)

    def index(self, fields: Iterable[str]) -> Write:
        """Make the indexes of ``fields`` that the shard lacks, and make them durable."""
        for field in sorted(self.lacking.intersection(fields)):
            self._check_space(_DELETE_RESERVE)
            with self._changing():
                edge_shard.add_index(self.shard, field, self.schema.indexes[field])
            self.lacking.discard(field)
            yield
        self.flush()

    def quantize(self, quantization: Quantization | None) -> None:
        """Have the next indexing run make quantised copies of all vectors, or drop them."""
        schema = replace(self.schema, quantization=quantization)
        self.files.write_schema(schema)
        self.schema = schema

    def flush(self) -> None:
        """Write the shard's own files, so that little of the log is replayed at the next open. Nobody is
        answered meanwhile, 0.15 s with eleven indexes and 2 s with sixty."""
        with self._changing():
            self.shard.flush()
            sync_folders(self.files.shard)
        self.unflushed = 0
        self.files.write_points(self.points, durable=True)

    def flushed(self) -> Write:
        """``flush`` as a write."""
        self.flush()
        yield

    def acknowledge(self, points: int) -> None:
        """Note that ``points`` were there when the log was synced. Deletions since then have lowered the
        note."""
        self.files.write_points(min(points, self.points), durable=False)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Mark the collection as broken if the change inside fails: nobody knows how much of it is in the
        shard and its log, so it has to be opened again."""
        try:
            with engine_errors(self.schema.name):
                yield
        except VitrineError:
            self.broken = True
            raise

    def _apply(self, operation: Any, ids: list[str], *, payloads: bool = True) -> None:
        try:
            with self._changing():
                self.shard.update(operation)
        finally:
            self.tail.update(ids)
            self.unflushed += len(ids)
            if payloads:
                self.changes.note(ids)
            if self.on_write is not None:
                self.on_write(ids)

    def _known(self, ids: list[str]) -> set[str]:
        with engine_errors(self.schema.name):
            return {str(record.id) for record in self.shard.retrieve(ids, False, False)}

    def missing(self, ids: list[str]) -> list[str]:
        """Return the ``ids`` that do not exist, in order of first mention."""
        known = self._known(ids)
        return [id for id in dict.fromkeys(ids) if id not in known]

    def _check_known(self, ids: list[str]) -> None:
        check_found(self.schema.name, self.missing(ids))

    def _check_space(self, at_most: int | None = None) -> None:
        check_space(self.files.folder, self._min_free if at_most is None else min(at_most, self._min_free))


@contextmanager
def engine_errors_at_load(collection: str) -> Iterator[None]:
    """Raise what a shard raises on being opened as damage, unless it says that the disk is full or that
    another process has it."""
    try:
        with engine_errors(collection):
            yield
    except VitrineError as error:
        if error.code in ("store_locked", "storage_full", "store_damaged"):
            raise
        message = f"Collection {collection!r} does not open: {error.message} {rebuilt(collection)}"
        raise StoreDamaged(message, collection=collection) from error
