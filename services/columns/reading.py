"""Read the columns of a collection, and read again what was changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from vitrine.services.category.read_all import pages
from vitrine.services.columns.table import Table, TableBuilder, table_of, to_bytes
from vitrine.services.domain import IndexKind
from vitrine.services.vector_store.base import VectorStore
from vitrine.services.vector_store.changes import Changes, Version

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A table as the collection was at ``version``. ``reading`` counts readings that found something else
    although nobody had told of a change."""

    table: Table
    version: Version
    reading: int = 0

    @property
    def name(self) -> str:
        """A text that another state of the collection does not have."""
        return f"{self.version.epoch}-{self.version.number}-{self.reading}"

    def is_at(self, version: Version) -> bool:
        """Return whether it has all changes up to a version."""
        return self.version.epoch == version.epoch and self.version.number >= version.number


def read_snapshot(vectors: VectorStore, collection: str, kinds: Mapping[str, IndexKind]) -> Snapshot:
    """Read these fields of all points. Where too much is changed meanwhile, the version is that of the
    beginning."""
    begun = vectors.changes(collection).version
    builder = TableBuilder(kinds)
    for hits in _ahead(pages(vectors, collection, fields=tuple(kinds))):
        builder.add(hits)
    found = Snapshot(builder.table(), begun)
    return caught_up(vectors, collection, found, vectors.changes(collection, begun)) or found


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items, and have the next one fetched meanwhile: the engine has a processor of its own."""
    with ThreadPoolExecutor(1, "vitrine-columns-page") as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def caught_up(vectors: VectorStore, collection: str, snapshot: Snapshot, changes: Changes) -> Snapshot | None:
    """Return the snapshot with the changes since; None where they are not known one by one."""
    if changes.ids is None:
        return None
    if not changes.ids:
        return replace(snapshot, version=changes.version)
    table = snapshot.table
    kinds = {field: column.kind for field, column in table.columns.items()}
    ids = sorted(changes.ids)
    found = vectors.retrieve(collection, ids, with_payload=tuple(kinds))
    fresh = table_of([hit for hit in found if hit is not None], kinds)
    return replace(snapshot, table=table.revised(to_bytes(ids), fresh), version=changes.version)


def read_again(
    vectors: VectorStore, collection: str, kinds: Mapping[str, IndexKind], before: Snapshot | None
) -> Snapshot:
    """Read the fields of all points, where others may have changed them: what is as ``before`` keeps its
    name."""
    found = read_snapshot(vectors, collection, kinds)
    if before is None or before.version.epoch != found.version.epoch:
        return found
    if _is_same(before.table, found.table) and before.version == found.version:
        return replace(found, reading=before.reading)
    return replace(found, reading=before.reading + 1)


def _is_same(one: Table, other: Table) -> bool:
    """Return whether the tables have the same images, and the same values in the columns of both."""
    if one.ids.tobytes() != other.ids.tobytes():
        return False
    both = one.columns.keys() & other.columns.keys()
    return all(one.columns[field].is_same(other.columns[field]) for field in both)
