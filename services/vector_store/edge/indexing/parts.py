"""Build the index of a shard in graphs of bounded size. Runs in the indexing process, on a copy.

The engine makes one graph of whatever has been written since the last time, however much that is. A million
points in one graph take more than an hour and 7 GB, in ten graphs ten times what 100,000 take; and queries
look through the graphs at once. So where too much is waiting, it is taken out and put in again a part at a
time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import orjson

from vitrine.services.domain import CollectionSchema
from vitrine.services.vector_store.edge.files import copy_sparse, disk_bytes
from vitrine.services.vector_store.edge.lib import edge
from vitrine.services.vector_store.edge.shard import (
    PART_KB,
    config_for,
    create_shard,
    load_shard,
    vector_kb,
)

_PAGE: Final = 500
_WRITTEN_ONCE: Final = ("matrix.dat", "quantized.data", "links_compressed.bin")
"""The vectors, their quantised copies and the links of a graph."""


def build_index(folder: Path, schema: CollectionSchema, points: int, *, part_kb: int = PART_KB) -> bool:
    """Index what the shard of ``folder`` has written since the last time, and return whether that changed
    anything. The shard must be flushed and closed, with ``points`` in it; so it is afterwards.

    ``part_kb``: kilobytes of vectors in one graph.
    """
    config = config_for(schema, points=points, part_kb=part_kb)
    waiting = _Waiting.beside(folder, schema, part_kb)
    if waiting is None:
        shard = load_shard(folder, schema, config=config, points=points)
        changed = bool(shard.optimize())
    else:
        shard = _emptied(folder, schema, config, waiting, points)
        for part in waiting.parts():
            for page in part:
                shard.update(edge.UpdateOperation.upsert_points(page))
            shard.flush()
            shard.optimize()
            shard.flush()
        waiting.remove()
        changed = True
    shard.flush()  # or the segments that were replaced stay in memory and on the disk
    shard.close()
    return changed


def copy_shard(source: Path, target: Path) -> None:
    """Copy a flushed shard. What is written once with a graph and never again, most of it, is shared."""
    segments = [path.parent for path in (source / "segments").glob("*/segment.json")]
    kept = {path for path in segments if _has_graph(path)}

    def shared(path: Path) -> bool:
        return path.name in _WRITTEN_ONCE and path.parent.parent in kept

    copy_sparse(source, target, shared=shared)


class _Waiting:
    """The points of a shard that are in no graph, as a shard of its own that is only read."""

    def __init__(self, folder: Path, schema: CollectionSchema, part_kb: int, *, everything: bool) -> None:
        self.everything = everything
        self._folder = folder
        self._shard = edge.EdgeShard.load(str(folder), config_for(schema))
        self.points = int(self._shard.count(edge.CountRequest(exact=True)))
        dim = max((vector.dim for vector in schema.vectors), default=1)
        self._parts = max(1, -(-vector_kb(self.points, dim) // part_kb))

    @classmethod
    def beside(cls, folder: Path, schema: CollectionSchema, part_kb: int) -> _Waiting | None:
        """Return what is waiting in the shard of ``folder``; None if it fits into one graph."""
        segments = [path.parent for path in (folder / "segments").glob("*/segment.json")]
        plain = [path for path in segments if not _has_graph(path)]
        if sum(disk_bytes(path) for path in plain) <= part_kb * 1024:
            return None  # the vectors are a part of that
        beside = folder.with_name(folder.name + "-waiting")
        for path in plain:
            copy_sparse(path, beside / "segments" / path.name)
            _forget_indexes(beside / "segments" / path.name)
        waiting = cls(beside, schema, part_kb, everything=len(plain) == len(segments))
        if waiting._parts == 1:
            waiting.remove()
            return None
        return waiting

    def parts(self) -> Iterator[Iterator[list[Any]]]:
        """Yield the parts, each as pages of points. A part has to be read before the next one."""
        records = self._records(with_data=True)
        for size in self._sizes():
            yield _pages(islice(records, size))

    def ids(self) -> Iterator[list[UUID]]:
        """Yield the ids of all points, in lists."""
        ids = (record.id for record in self._records(with_data=False))
        while page := list(islice(ids, _PAGE * 10)):
            yield page

    def _sizes(self) -> list[int]:
        share, more = divmod(self.points, self._parts)
        return [share + (number < more) for number in range(self._parts)]

    def _records(self, *, with_data: bool) -> Iterator[Any]:
        offset = None
        while True:
            request = edge.ScrollRequest(
                offset=offset, limit=_PAGE, with_payload=with_data, with_vector=with_data
            )
            records, offset = self._shard.scroll(request)
            yield from records
            if offset is None:
                return

    def remove(self) -> None:
        self._shard.close()
        shutil.rmtree(self._folder)


def _emptied(folder: Path, schema: CollectionSchema, config: Any, waiting: _Waiting, points: int) -> Any:
    """Return the shard without those of its ``points`` that are waiting."""
    if waiting.everything:
        shutil.rmtree(folder)
        create_shard(folder, schema, points=points).close()
        return load_shard(folder, schema, config=config, points=points)
    shard = load_shard(folder, schema, config=config, points=points)
    for ids in waiting.ids():
        shard.update(edge.UpdateOperation.delete_points(ids))
    shard.optimize()
    shard.flush()
    return shard


def _pages(records: Iterator[Any]) -> Iterator[list[Any]]:
    while page := [as_point(record) for record in islice(records, _PAGE)]:
        yield page


def as_point(record: Any) -> Any:
    """Return a point that was read as one that can be written."""
    import numpy as np

    vectors = {name: np.array(values, dtype=np.float32).data for name, values in record.vector.items()}
    return edge.Point(record.id, vectors, record.payload)


def _forget_indexes(segment: Path) -> None:
    """Remove the payload indexes of a segment, which would all be loaded into memory: over a gigabyte of a
    million points. Reading its points needs none."""
    folder = segment / "payload_index"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "config.json").write_bytes(orjson.dumps({"indexed_fields": {}}))


def _has_graph(segment: Path) -> bool:
    vectors = orjson.loads((segment / "segment.json").read_bytes())["config"]["vector_data"]
    return any(vector["index"]["type"] != "plain" for vector in vectors.values())
