"""All collections of a data folder, in the engine process: which are open, whose turn it is, and what is
being indexed."""

from __future__ import annotations

import contextlib
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final, Protocol

from vitrine.services.domain import CollectionSchema, Quantization
from vitrine.services.errors import BadRequest, NotFound, VitrineError
from vitrine.services.vector_store.changes import ChangeLog, Version
from vitrine.services.vector_store.checks import check_extension
from vitrine.services.vector_store.edge import read as edge_read
from vitrine.services.vector_store.edge.collection import UNFLUSHED, Collection, Write, engine_errors
from vitrine.services.vector_store.edge.commits import Commits
from vitrine.services.vector_store.edge.copied import copy_collection
from vitrine.services.vector_store.edge.errors import from_engine, to_plain
from vitrine.services.vector_store.edge.files import (
    CollectionFiles,
    clear_leftovers,
    read_note,
    read_schemas,
    schema_from_plain,
    schema_plain,
)
from vitrine.services.vector_store.edge.filter import question_paths
from vitrine.services.vector_store.edge.indexing.job import IndexingRun, remove_behind
from vitrine.services.vector_store.edge.link.wire import Arrays, Header
from vitrine.services.vector_store.engine_names import engine_path

MAX_OPEN: Final = 20
"""Shards kept open: opening one takes 0.1 s and some threads."""
_QUERIES_AT_ONCE: Final = 4
_WRITES: Final[dict[str, Callable[[Collection, Header, Arrays], Write]]] = {
    "upsert": Collection.upsert,
    "update_vectors": Collection.update_vectors,
    "set_payload": Collection.set_payload,
    "delete_payload": Collection.delete_payload,
    "delete": Collection.delete,
    "flush": lambda collection, header, arrays: iter(()),
}


_REPAIRING: Final = ("upsert", "update_vectors", "delete")


class Reply(Protocol):
    """Where the answer to a call goes, now or later; exactly one of the two is called."""

    def answer(self, header: Header, arrays: Arrays) -> None: ...

    def fail(self, error: VitrineError) -> None: ...


class _Silent:
    """A reply that nobody waits for; an error goes to stderr."""

    def answer(self, header: Header, arrays: Arrays) -> None:
        pass

    def fail(self, error: VitrineError) -> None:
        print(f"vitrine: {error.message}", file=sys.stderr)


@dataclass(eq=False)
class _Task:
    """Work in slices; ``end`` is called with None, or with what went wrong."""

    steps: Write
    end: Callable[[VitrineError | None], None]


@dataclass(eq=False)
class _Run:
    """An indexing run; ``waiters`` wait for its end, ``later`` for another one after it."""

    run: IndexingRun
    waiters: list[Reply] = field(default_factory=list)
    later: list[Reply] = field(default_factory=list)
    finishing: _Task | None = None


class Engine:
    """Answers calls: reads at once; writes in ``work``, in their order by collection, one slice at a time.

    ``catalogue`` counts the changes of what ``read_schemas`` would find. ``source``: a folder that is only
    read, whose collections are copied to ``data`` when they are first opened.
    """

    def __init__(
        self,
        data: Path,
        *,
        min_free: int,
        lock_fd: int,
        auto_optimize: bool,
        wake: Callable[[], None],
        source: Path | None = None,
    ) -> None:
        """``wake``: called from another thread when ``work`` has something to do."""
        self.catalogue = 0
        self._data = data
        self._source = source
        self._min_free = min_free
        self._lock_fd = lock_fd
        self._auto_optimize = auto_optimize
        clear_leftovers(data)
        self._schemas, self._damaged = read_schemas(source or data)
        self._faulty: set[str] = set()
        self._open: OrderedDict[str, Collection] = OrderedDict()
        self._changes: defaultdict[str, ChangeLog] = defaultdict(ChangeLog)
        self._writes: dict[str, deque[_Task]] = {}
        self._batches: deque[_Task] = deque()
        self._runs: dict[str, _Run] = {}
        self._commits = Commits(wake)
        self._turn = 0

    def call(self, header: Header, arrays: Arrays, reply: Reply) -> None:
        """Answer a call, now or later."""
        op, name = header["op"], header.get("collection", "")
        if op in _REPAIRING:
            self._faulty.discard(name)  # the next read of what is damaged still will say so
        if op in _WRITES:
            self._enqueue(
                name, self._write(name, op, header, arrays), self._tell_when_durable(reply, name, header)
            )
        elif op == "extend":
            wanted = schema_from_plain(header["schema"])
            self._enqueue(
                name, self._extend(wanted, header["create"], header["change"]), self._tell(reply, name)
            )
        elif op == "quantize":
            self._enqueue(name, self._quantize(name, header["quantization"]), self._tell(reply, name))
        elif op == "drop":
            self._enqueue(name, self._drop(name), self._tell(reply))
        elif op == "optimize":
            self._enqueue(name, self._optimize(name, reply, wait=header["wait"]), self._tell_failure(reply))
        elif fields := self._lacking(name, header):
            self._enqueue(name, self._index(name, fields), self._then_ask(op, name, header, arrays, reply))
        else:
            self._ask(op, name, header, arrays, reply)

    # Turns
    # --------------------------------------------------------------------------------------------------------

    def has_work(self) -> bool:
        """Return whether ``work`` has something to do."""
        return self._commits.has_work() or bool(self._runnable())

    def work(self, *, idle: bool) -> None:
        """Do one slice of whatever is next. ``idle``: nobody has asked for anything for a while."""
        self._commits.step()
        runnable = self._runnable()
        if not runnable:
            if idle:
                self._flush_one()
            return
        self._turn += 1
        task = runnable[self._turn % len(runnable)]
        error: VitrineError | None = None
        try:
            next(task.steps)
            return
        except StopIteration:
            pass
        except VitrineError as raised:
            error = raised
        except Exception as raised:  # a fault of ours: the caller hears of it, and the others are served
            error = from_engine(raised, "")
        self._remove(task)
        task.end(error)

    def _runnable(self) -> list[_Task]:
        tasks = [run.finishing for run in self._runs.values() if run.finishing]
        tasks += [queue[0] for name, queue in self._writes.items() if queue and not self._held(name)]
        return [*tasks, *list(self._batches)[:1]]

    def _held(self, name: str) -> bool:
        return name in self._runs and self._runs[name].run.holds_writes

    def _remove(self, task: _Task) -> None:
        if task in self._batches:
            self._batches.remove(task)
        for name, queue in list(self._writes.items()):
            if queue and queue[0] is task:
                queue.popleft()
                if not queue:
                    del self._writes[name]

    def _enqueue(self, name: str, steps: Write, end: Callable[[VitrineError | None], None]) -> None:
        self._writes.setdefault(name, deque()).append(_Task(steps, end))

    def _tell(self, reply: Reply, name: str | None = None) -> Callable[[VitrineError | None], None]:
        """Return the end of a task that answers ``reply``, of something that is durable by then."""

        def end(error: VitrineError | None) -> None:
            _end(reply, error)
            if name is not None:
                self._after_write(name, last=True)

        return end

    def _tell_when_durable(
        self, reply: Reply, name: str, header: Header
    ) -> Callable[[VitrineError | None], None]:
        """Return the end of a write that answers ``reply`` once it is durable; at once where the caller says
        that it will ask for that later."""
        durable: bool = header.get("flush", True)

        def end(error: VitrineError | None) -> None:
            collection = self._open.get(name)
            if error is not None or not durable or collection is None:
                _end(reply, error)
            else:
                points = collection.points
                self._commits.add(collection.log, lambda failed: self._durable(reply, name, points, failed))
            # while more of the same is to come, an index built now would be outdated at once
            self._after_write(name, last=durable)

        return end

    def _durable(self, reply: Reply, name: str, points: int, failed: VitrineError | None) -> None:
        collection = self._open.get(name)
        if failed is None and collection is not None:
            with contextlib.suppress(OSError):  # the note may say too few
                collection.acknowledge(points)
        elif failed is not None:
            self._forget(name, failed)
        _end(reply, failed)

    def _flush_one(self) -> None:
        """Flush one of the collections that have more than a little to replay, since nobody is kept
        waiting."""
        for name, collection in self._open.items():
            if collection.unflushed > UNFLUSHED // 10 and name not in self._runs:
                self._enqueue(name, collection.flushed(), self._tell(_Silent(), name))
                return

    def _tell_failure(self, reply: Reply) -> Callable[[VitrineError | None], None]:
        return lambda error: None if error is None else reply.fail(error)

    # Collections
    # --------------------------------------------------------------------------------------------------------

    def _collection(self, name: str) -> Collection:
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        self._check_known(name)
        if self._source is not None:
            copy_collection(self._source, self._data, name)
        CollectionFiles(self._data, name).wipe_leftovers()
        self._close_idle()
        self._open[name] = Collection(
            self._data, self._schemas[name], min_free=self._min_free, changes=self._changes[name]
        )
        return self._open[name]

    def _check_known(self, name: str) -> None:
        if name in self._damaged:
            raise self._damaged[name]
        if name not in self._schemas:
            raise NotFound(f"There is no collection {name!r}.", collection=name)

    def _close_idle(self) -> None:
        idle = [name for name in self._open if name not in self._runs and name not in self._writes]
        for name in idle[: max(0, len(self._open) - MAX_OPEN + 1)]:
            with contextlib.suppress(VitrineError):  # what was acknowledged is on the disk already
                self._open.pop(name).close()

    def _forget(self, name: str, why: VitrineError) -> None:
        """Close the collection, whatever state it is in; the next call opens it anew."""
        self._end_run(name, why)
        collection = self._open.pop(name, None)
        if collection is not None:
            with contextlib.suppress(VitrineError):
                collection.close()

    def _extend(self, wanted: CollectionSchema, create: bool, change: bool) -> Write:
        name = wanted.name
        if name not in self._schemas and name not in self._damaged and create:
            self._close_idle()
            self._open[name] = Collection.create(
                self._data, wanted, min_free=self._min_free, changes=self._changes[name]
            )
            self._schemas[name] = wanted
            self.catalogue += 1
            return
        collection = self._collection(name)
        present = collection.schema
        check_extension(present, replace(wanted, indexes={}) if change else wanted)
        new = tuple(vector for vector in wanted.vectors if present.dim(vector.name) is None)
        merged = replace(
            present, vectors=present.vectors + new, indexes={**present.indexes, **wanted.indexes}
        )
        if merged != collection.schema:
            yield from collection.extend(merged)
            self._schemas[name] = merged
            self.catalogue += 1
        yield

    def _quantize(self, name: str, quantization: Quantization | None) -> Write:
        collection = self._collection(name)
        collection.quantize(quantization)
        self._schemas[name] = collection.schema
        self.catalogue += 1
        yield

    def _drop(self, name: str) -> Write:
        if name not in self._damaged:
            self._check_known(name)
        self._forget(name, NotFound(f"There is no collection {name!r}.", collection=name))
        remove_behind(CollectionFiles(self._data, name).discard())
        self._schemas.pop(name, None)
        self._damaged.pop(name, None)
        self._faulty.discard(name)
        self._changes.pop(name, None)
        self.catalogue += 1
        yield

    def _write(self, name: str, op: str, header: Header, arrays: Arrays) -> Write:
        yield from _WRITES[op](self._collection(name), header, arrays)

    def _after_write(self, name: str, last: bool) -> None:
        collection = self._open.get(name)
        if collection is None:
            return
        if collection.broken:
            self._forget(name, from_engine(RuntimeError("a write failed while it was indexed"), name))
            return
        if collection.unflushed > UNFLUSHED and name not in self._runs:
            self._enqueue(name, collection.flushed(), self._tell_failure(_Silent()))
        if last and self._auto_optimize and name not in self._runs and collection.needs_indexing():
            silent = _Silent()
            self._enqueue(name, self._optimize(name, silent, wait=True), self._tell_failure(silent))

    # Reads
    # --------------------------------------------------------------------------------------------------------

    def _lacking(self, name: str, header: Header) -> set[str]:
        """Return the fields whose index the question is the first to need."""
        paths = question_paths(header)
        if not paths:
            return set()
        try:
            with engine_errors(name):
                collection = self._collection(name)
        except VitrineError:  # the question is asked, and told why
            return set()
        return {field for field in collection.lacking if engine_path(field) in paths}

    def _index(self, name: str, fields: set[str]) -> Write:
        yield from self._collection(name).index(fields)

    def _then_ask(
        self, op: str, name: str, header: Header, arrays: Arrays, reply: Reply
    ) -> Callable[[VitrineError | None], None]:
        """Return the end of a task after which the question can be answered."""

        def end(error: VitrineError | None) -> None:
            if error is None:
                self._ask(op, name, header, arrays, reply)
            else:
                reply.fail(error)
            self._after_write(name, last=False)

        return end

    def _ask(self, op: str, name: str, header: Header, arrays: Arrays, reply: Reply) -> None:
        if op == "query" and len(header["queries"]) > _QUERIES_AT_ONCE:
            self._batches.append(self._batch(name, header, arrays, reply))
        else:
            self._answer(op, name, header, arrays, reply)

    def _answer(self, op: str, name: str, header: Header, arrays: Arrays, reply: Reply) -> None:
        try:
            with engine_errors(name):
                answer = self._read(op, name, header, arrays)
        except VitrineError as error:
            # one vector that is damaged says nothing of the others
            if error.code == "store_damaged" and "using" not in error.details:
                self._faulty.add(name)  # some of it may still be read; whoever asks for its state is told
                self._forget(name, error)
            reply.fail(error)
        else:
            reply.answer(*answer)

    def _read(self, op: str, name: str, header: Header, arrays: Arrays) -> tuple[Header, Arrays]:
        if op == "catalogue":
            damaged = {name: to_plain(error) for name, error in self._damaged.items()}
            schemas = [schema_plain(schema) for schema in self._schemas.values()]
            return {"schemas": schemas, "damaged": damaged}, []
        if op == "pulse":
            return {}, []
        if op == "changes":
            self._check_known(name)
            since = header["since"] and Version(*header["since"])
            changes = self._changes[name].since(since, complete=True)
            return {"version": list(changes.version), "ids": changes.ids}, []
        if op in ("count", "info") and not header.get("filter") and name not in self._open:
            self._check_known(name)
            known = read_note(CollectionFiles(self._source or self._data, name))
            if known is not None:
                return {"count": known.points, **asdict(known), "status": self._status(name)}, []
        collection = self._collection(name)
        if op == "query":
            queries = list(_queries(header, arrays))
            found = edge_read.answers(collection.shard, collection.schema, queries, collection.reach)
            return edge_read.pack(found, [query["with_vectors"] for query in header["queries"]])
        if op == "retrieve":
            hits = edge_read.fetch(collection.shard, header["ids"], header)
            found = [edge_read.whole(collection.shard, collection.schema, header, hits)]
            return edge_read.pack(found, [header["with_vectors"]])
        if op == "scroll":
            page, position = edge_read.scroll(collection.shard, collection.schema, header)
            packed, blocks = edge_read.pack([page], [header["with_vectors"]])
            return {**packed, "position": position}, blocks
        if op == "facet":
            return {"values": edge_read.facet(collection.shard, header, collection.points)}, []
        if op == "count":
            plain = header["filter"]
            return {"count": edge_read.count(collection.shard, plain) if plain else collection.points}, []
        if op == "missing":
            return {"ids": collection.missing(header["ids"])}, []
        if op == "info":
            points, indexed = collection.points, collection.indexed()
            return {"points": points, "indexed": indexed, "status": self._status(name)}, []
        raise BadRequest(f"The engine process does not know {op!r}.")

    def _status(self, name: str) -> str:
        if name in self._faulty:
            return "damaged"
        return "indexing" if name in self._runs else "green"

    def _batch(self, name: str, header: Header, arrays: Arrays, reply: Reply) -> _Task:
        """Return a task that answers many queries, some at a time, so that other callers come in between."""
        found: list[list[edge_read.Found]] = []

        def steps() -> Write:
            queries = list(_queries(header, arrays))
            for start in range(0, len(queries), _QUERIES_AT_ONCE):
                some = queries[start : start + _QUERIES_AT_ONCE]
                with engine_errors(name):
                    collection = self._collection(name)
                    found.extend(
                        edge_read.answers(collection.shard, collection.schema, some, collection.reach)
                    )
                yield

        def end(error: VitrineError | None) -> None:
            if error is None:
                reply.answer(*edge_read.pack(found, [query["with_vectors"] for query in header["queries"]]))
            else:
                reply.fail(error)

        return _Task(steps(), end)

    # Indexing
    # --------------------------------------------------------------------------------------------------------

    def outputs(self) -> list[tuple[str, IO[bytes]]]:
        """Return the outputs of the indexing processes by collection; call ``run_said`` when there is
        something to read."""
        return [(name, run.run.output) for name, run in self._runs.items() if run.finishing is None]

    def run_said(self, name: str) -> None:
        """Go on with the indexing run of the collection."""
        run = self._runs.get(name)
        if run is None:
            return
        try:
            if run.run.said():
                run.finishing = _Task(run.run.finish(), lambda error: self._end_run(name, error))
        except VitrineError as error:
            self._end_run(name, error)

    def _optimize(self, name: str, reply: Reply, *, wait: bool) -> Write:
        collection = self._collection(name)
        if not wait:
            reply.answer({}, [])
            reply = _Silent()
        run = self._runs.get(name)
        if run is None:
            run = self._runs[name] = _Run(
                IndexingRun(collection, min_free=self._min_free, lock_fd=self._lock_fd)
            )
            run.waiters.append(reply)
        elif wait or run.run.has_missed_changes:
            (run.later if run.run.has_missed_changes else run.waiters).append(reply)
        yield

    def _end_run(self, name: str, error: VitrineError | None) -> None:
        run = self._runs.pop(name, None)
        if run is None:
            return
        if error is not None:
            run.run.abandon()
            run.run.collection.restart_tail(set())  # or it would be tried again at every write
        for reply in run.waiters:
            _end(reply, error)
        for reply in run.later:
            self._enqueue(name, self._optimize(name, reply, wait=True), self._tell_failure(reply))

    def close(self) -> None:
        """Stop indexing, flush and close every shard."""
        for run in self._runs.values():
            run.run.abandon()
        self._runs.clear()
        for collection in self._open.values():
            with contextlib.suppress(VitrineError):
                collection.close()
        self._open.clear()


def _end(reply: Reply, error: VitrineError | None) -> None:
    """Tell the caller that the work is done, or what went wrong."""
    if error is None:
        reply.answer({}, [])
    else:
        reply.fail(error)


def _queries(header: Header, arrays: Arrays) -> Iterator[tuple[dict[str, Any], Arrays]]:
    """Yield each query with the vectors that belong to it."""
    at = 0
    for query in header["queries"]:
        yield query, arrays[at : at + query["vectors"]]
        at += query["vectors"]
