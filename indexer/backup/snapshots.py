"""Snapshots of a Qdrant server as a part of backups: they bring the search index of a collection along."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vitrine.indexer.backup.contents import StoredCategory, StoredSnapshot
from vitrine.indexer.backup.place import Place
from vitrine.indexer.backup.walk import ids_of
from vitrine.services.category.changes.entries import batched
from vitrine.services.category.read_all import pages
from vitrine.services.errors import VitrineError
from vitrine.services.files import any_error
from vitrine.services.runtime import Runtime
from vitrine.services.vector_store.base import VectorStore

_DELETED = 1_000


def add_snapshot(
    runtime: Runtime,
    place: Place,
    stored: StoredCategory,
    former: StoredCategory | None,
    notes: list[str],
) -> StoredCategory:
    """Return the category with a snapshot of its collection: that of ``former``, where nothing has changed
    since and no more of it is indexed. Where there can be none, ``notes`` say why; the backup is whole
    without it."""
    vectors = runtime.vectors
    if vectors.snapshots is None:
        notes.append(f"No snapshot of {stored.name}: only a single Qdrant server makes them.")
        return stored
    try:
        engine, info = vectors.snapshots.engine(), vectors.info(stored.name)
        if info.status == "indexing":
            notes.append(
                f"The search index of {stored.name} is being built: the snapshot of a later backup has more."
            )
        kept = None if former is None or not _is_same(former, stored) else former.snapshot
        if kept is not None and (kept.engine, kept.indexed) != (engine, info.indexed):
            kept = None
        if kept is not None and place.has(kept.sha256, kept.bytes):
            return replace(stored, snapshot=kept)
        with _room(runtime) as file:
            vectors.snapshots.save(stored.name, file)
            content = place.put_file(file)
        made = StoredSnapshot(content.sha256, content.bytes, engine, info.indexed)
        return replace(stored, snapshot=made)
    except (VitrineError, OSError) as error:
        notes.append(f"No snapshot of {stored.name}: {any_error(error).message}")
        return stored


def _is_same(former: StoredCategory, stored: StoredCategory) -> bool:
    return (former.parts, former.late, former.schema) == (stored.parts, stored.late, stored.schema)


def load_snapshot(runtime: Runtime, place: Place, stored: StoredCategory, notes: list[str]) -> None:
    """Put the snapshot of a category in place of its collection, which is there and empty: its points are
    then as they were at about the moment of the backup.

    Where there is none that this engine reads, or it refuses, the collection is empty as before, and
    ``notes`` say why.
    """
    vectors = runtime.vectors
    if stored.snapshot is None or vectors.snapshots is None:
        return
    try:
        engine = vectors.snapshots.engine()
        if engine != stored.snapshot.engine:
            notes.append(
                f"The snapshot of {stored.name} is of {stored.snapshot.engine}, this is {engine}: the search "
                "index is built anew."
            )
            return
        with _room(runtime) as file:
            place.get_file(stored.snapshot.sha256, file)
            vectors.snapshots.load(stored.name, file)
        vectors.ensure(stored.collection)
    except (VitrineError, OSError) as error:
        notes.append(
            f"The snapshot of {stored.name} was of no use: {any_error(error).message} The search index is "
            "built anew."
        )
        if stored.name in vectors.collections():
            vectors.drop(stored.name)
        vectors.ensure(stored.collection)


@contextmanager
def _room(runtime: Runtime) -> Iterator[Path]:
    """Yield where a file as large as a collection may be for a while: in the data folder, since temporary
    folders often are in memory."""
    runtime.settings.data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".snapshot-", dir=runtime.settings.data) as folder:
        yield Path(folder) / "snapshot"


def drop_others(vectors: VectorStore, place: Place, stored: StoredCategory) -> None:
    """Remove the points of a collection that its backup does not have."""
    there = (hit.id for page in pages(vectors, stored.name) for hit in page)
    others = list(_without(there, ids_of(place, stored)))
    for ids in batched(others, _DELETED):
        vectors.delete(stored.name, ids)


def _without(ids: Iterator[str], known: Iterator[str]) -> Iterator[str]:
    """Yield the ids that are not among the known ones; both are in order.

    >>> list(_without(iter("abcd"), iter("bde")))
    ['a', 'c']
    """
    latest = next(known, None)
    for id in ids:
        while latest is not None and latest < id:
            latest = next(known, None)
        if latest != id:
            yield id
