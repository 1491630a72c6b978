"""One indexing run over a collection, while its queries and writes go on. Runs in the engine process.

The shard is flushed and copied (writes wait for that second), the copy is indexed by another process, what is
written meanwhile is carried over in small slices, and the copy becomes the shard. Killed at any point it
leaves the old shard in charge.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

from vitrine.services.errors import Unavailable
from vitrine.services.vector_store.edge import shard as edge_shard
from vitrine.services.vector_store.edge.collection import SLICE, Collection, engine_errors
from vitrine.services.vector_store.edge.files import check_space, disk_bytes, schema_plain
from vitrine.services.vector_store.edge.indexing.parts import as_point
from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.edge.read import count

if TYPE_CHECKING:
    pass

_HOLD_BELOW: Final = 8 * SLICE
_MAX_PASSES: Final = 5


class IndexingRun:
    """An indexing run over one collection, from its start. Call ``said`` whenever ``output`` is readable;
    once it returns True, call ``finish`` and step through it.

    ``holds_writes``: writes to the collection must wait at the moment.
    """

    def __init__(self, collection: Collection, *, min_free: int, lock_fd: int) -> None:
        """Start the run. The collection must have no write under way. ``StorageFull`` if a copy and its index
        may not fit."""
        self.collection = collection
        self.holds_writes = True
        self._touched: set[str] = set()
        self._written: set[str] = set()
        self._schema = collection.schema
        self._quantization = collection.schema.quantization
        self._source = collection.files.shard
        self._target = collection.files.new_generation()
        check_space(self._source, min_free + 2 * disk_bytes(self._source))
        collection.flush()
        schema = orjson.dumps(schema_plain(collection.schema)).decode()
        points = str(collection.points)
        arguments = [str(os.getpid()), str(self._source), str(self._target), points, schema]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vitrine.services.vector_store.edge.indexing.optimize", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=(lock_fd,),  # the folder stays locked for as long as anybody writes in it
        )
        self._lines = b""
        collection.on_write = self._note

    def _note(self, ids: list[str]) -> None:
        self._touched.update(ids)
        self._written.update(ids)

    @property
    def has_missed_changes(self) -> bool:
        """Whether points were written after the copy, which will not be indexed by this run, or the index
        was asked to be another."""
        return bool(self._written) or self._quantization != self.collection.schema.quantization

    @property
    def output(self) -> IO[bytes]:
        """Where the indexing process speaks; it wants to be read when it is readable."""
        assert self._process.stdout is not None
        return self._process.stdout

    def said(self) -> bool:
        """Read what the indexing process says, and return whether it has ended. ``Unavailable`` if it has
        failed."""
        text = os.read(self.output.fileno(), 4096)
        self._lines += text
        if b"copied\n" in self._lines:
            self.holds_writes = False
        if b"done\n" in self._lines or b"unchanged\n" in self._lines:
            return True
        if not text:
            code = self._process.wait()
            raise Unavailable(
                f"Indexing collection {self.collection.schema.name!r} ended early (exit status {code}: "
                "disk or memory full?). Nothing is lost; it will be tried again when more is written.",
                collection=self.collection.schema.name,
            )
        return False

    @property
    def changed(self) -> bool:
        """Whether the copy differs from the shard in its index."""
        return b"done\n" in self._lines

    def finish(self) -> Iterator[None]:
        """Bring the copy up to date, slice by slice, and put it in charge."""
        if not self.changed:
            self.collection.restart_tail(self._written)
            self.abandon()
            return
        self._process.wait()
        self.output.close()
        old = self.collection
        with engine_errors(old.schema.name):
            fresh = edge_shard.load_shard(self._target, self._schema)
        for left in itertools.count(_MAX_PASSES, -1):
            # each pass is shorter than the last, unless writes come faster than they are carried over: then
            # they wait
            self.holds_writes = left <= 0 or len(self._touched) <= _HOLD_BELOW
            waiting, self._touched = list(self._touched), set()
            for start in range(0, len(waiting), SLICE):
                with engine_errors(old.schema.name):
                    self._follow_schema(fresh)
                    carry_over(old.shard, fresh, waiting[start : start + SLICE])
                yield
            if not self._touched:
                break
        self._swap(fresh)

    def _follow_schema(self, fresh: Any) -> None:
        """Add what was added to the collection after the copy."""
        if self._schema != self.collection.schema:
            self._schema = self.collection.schema
            edge_shard.add_vectors(fresh, self._schema)
            edge_shard.add_indexes(fresh, self._schema, points=self.collection.points)

    def _swap(self, fresh: Any) -> None:
        collection = self.collection
        with engine_errors(collection.schema.name):
            self._follow_schema(fresh)
            edge_shard.add_indexes(fresh, self._schema, points=collection.points)  # they may be many by now
            fresh.flush()
            points = count(fresh, None)
        if points != collection.points:
            fresh.close()
            raise Unavailable(
                f"The indexed copy of collection {collection.schema.name!r} has {points} points "
                f"instead of {collection.points}: it was thrown away, and the collection is as it was.",
                collection=collection.schema.name,
            )
        collection.files.point_to(self._target)
        old = collection.take(fresh, self._written)
        collection.on_write = None
        with engine_errors(collection.schema.name):
            old.close()
        del old
        give_back_memory()
        remove_behind(self._source)

    def abandon(self) -> None:
        """Stop, and leave the collection as it is."""
        self.collection.on_write = None
        self._process.kill()
        self._process.wait()
        self.output.close()
        remove_behind(self._target)


def carry_over(old: Any, fresh: Any, ids: list[str]) -> None:
    """Make the points of ``ids`` in ``fresh`` equal to those in ``old`` as they are now, in whatever order
    they were written."""
    records = old.retrieve(ids, True, True)
    there = {str(record.id) for record in records}
    gone = [id for id in ids if id not in there]
    if records:
        fresh.update(edge.UpdateOperation.upsert_points([as_point(record) for record in records]))
    if gone:
        fresh.update(edge.UpdateOperation.delete_points(gone))


def give_back_memory() -> None:
    """Return the memory that the former shard has freed to the system: the allocator would keep it, which
    after an import of a million points is more than a gigabyte."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # not every C library has it
            ctypes.CDLL(None).malloc_trim(0)


def remove_behind(folder: Path) -> None:
    """Delete the folder on a thread, since a large one takes a while. What a kill leaves is wiped at the next
    open."""
    threading.Thread(
        target=shutil.rmtree, args=(folder,), kwargs={"ignore_errors": True}, daemon=True
    ).start()
