"""Snapshots of a Qdrant server as a part of backups: they bring the search index of a collection along."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vitrine.indexer.backup.contents import StoredCategory, StoredSnapshot
from vitrine.indexer.backup.place import Place
from vitrine.indexer.backup.walk import ids_of
from vitrine.services.category.changes.entries import batched
from vitrine.services.category.read_all import pages
from vitrine.services.errors import VitrineError
from vitrine.services.vector_store.base import VectorStore

_DELETED = 1_000


def add_snapshot(
    vectors: VectorStore,
    place: Place,
    stored: StoredCategory,
    former: StoredCategory | None,
    notes: list[str],
) -> StoredCategory:
    """Return the category with a snapshot of its collection: that of ``former``, where nothing has changed
    since. Where there can be none, ``notes`` say why."""
    if vectors.snapshots is None:
        notes.append(f"No snapshot of {stored.name}: only a single Qdrant server makes them.")
        return stored
    try:
        engine = vectors.snapshots.engine()
        if former is not None and _is_same(former, stored):
            kept = former.snapshot
            if kept is not None and kept.engine == engine and place.has(kept.sha256, kept.bytes):
                return replace(stored, snapshot=kept)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "snapshot"
            vectors.snapshots.save(stored.name, file)
            content = place.put_file(file)
        return replace(stored, snapshot=StoredSnapshot(content.sha256, content.bytes, engine))
    except VitrineError as error:
        notes.append(f"No snapshot of {stored.name}: {error.message}")
        return stored


def _is_same(former: StoredCategory, stored: StoredCategory) -> bool:
    return (former.parts, former.late, former.schema) == (stored.parts, stored.late, stored.schema)


def load_snapshot(vectors: VectorStore, place: Place, stored: StoredCategory, notes: list[str]) -> None:
    """Put the snapshot of a category in place of its collection, which is there and empty: its points are
    then as they were at about the moment of the backup.

    Where there is none that this engine reads, or it refuses, the collection is empty as before, and
    ``notes`` say why.
    """
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
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "snapshot"
            place.get_file(stored.snapshot.sha256, file)
            vectors.snapshots.load(stored.name, file)
        vectors.ensure(stored.collection)
    except VitrineError as error:
        notes.append(
            f"The snapshot of {stored.name} was of no use: {error.message} The search index is built anew."
        )
        if stored.name in vectors.collections():
            vectors.drop(stored.name)
        vectors.ensure(stored.collection)


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
