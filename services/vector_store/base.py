"""The one interface to Qdrant's engines. Callers hold this type; only services/runtime.py knows which engine
is behind it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

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
from vitrine.services.errors import BadVector, UnknownVector
from vitrine.services.filters.conditions import Filter
from vitrine.services.vector_store.changes import Changes, Version

NORM_TOLERANCE = 1e-3
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MAX_LIMIT = 10_000
"""No single query or page returns more hits than this; deeper reading goes by cursor."""


class Snapshots(Protocol):
    """Whole collections as one file each, with their search index; only an engine of the same kind reads
    it."""

    def engine(self) -> str:
        """Return the kind of engine. ``Unavailable``."""
        ...

    def save(self, collection: str, file: Path) -> None:
        """Write a snapshot of a collection into a new file. What others write meanwhile may be in it or not.
        ``NotFound``, ``Unavailable``; ``BadRequest`` where there can be none."""
        ...

    def load(self, collection: str, file: Path) -> None:
        """Put a snapshot in place of a collection. ``Unavailable``, ``BadRequest`` where it cannot be
        read."""
        ...


class VectorStore(Protocol):
    """Collections of points, on any engine. Thread-safe. Writes are durable when they return.

    Ids are lower-case UUID strings.
    Raises, everywhere: ``NotFound`` (no such collection), ``Unavailable``, ``StoreLocked``, ``StoreDamaged``,
    ``StorageFull``.
    """

    @property
    def snapshots(self) -> Snapshots | None:
        """What makes and reads snapshots of its collections; None where the engine has none."""
        ...

    def ensure(self, schema: CollectionSchema) -> None:
        """Create the collection, or add what it lacks of the schema; never removes. ``BadVector`` if a
        dimension differs."""
        ...

    def drop(self, collection: str) -> None:
        """Remove the collection and every point in it. ``NotFound`` if there is none."""
        ...

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        ...

    def info(self, collection: str) -> CollectionInfo: ...

    def add_vector(self, collection: str, vector: VectorSpec) -> None:
        """Add a named vector to a filled collection; its points lack it until ``update_vectors``. The same
        again changes nothing."""
        ...

    def add_index(self, collection: str, field: str, kind: IndexKind) -> None:
        """Index a payload field, also on a filled collection. Again with the same kind: nothing; another
        kind: ``BadRequest``."""
        ...

    def change_index(self, collection: str, field: str, kind: IndexKind) -> None:
        """Index a payload field by this kind from now on, whatever index it had. The payloads stay as they
        are."""
        ...

    def set_quantization(self, collection: str, quantization: Quantization | None) -> None:
        """Keep quantised copies of the vectors in the search index, or none. What is indexed already is
        indexed anew, in the background; ``optimize`` waits for it."""
        ...

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Insert or replace whole points, payload and all vectors. Checked by ``check_points`` before
        anything is applied."""
        ...

    def update_vectors(self, collection: str, ids: Sequence[str], using: str, vectors: Embeddings) -> None:
        """Set one named vector of existing points, row i to ids[i]. ``NotFound`` (with ``ids``) before
        anything is applied."""
        ...

    def set_payload(
        self, collection: str, updates: Mapping[str, Payload], *, key: str | None = None, durable: bool = True
    ) -> None:
        """Merge fields into each payload, or into the object at path ``key``. ``NotFound`` before anything is
        applied.

        All fields of one point change in one step, whatever is killed. With ``durable=False`` queries see the
        change at once, but a power failure may undo it until ``flush``: for jobs that would do their work
        again.
        """
        ...

    def flush(self, collection: str) -> None:
        """Make durable what was written with ``durable=False``."""
        ...

    def delete_payload(self, collection: str, ids: Sequence[str], keys: Sequence[str]) -> None:
        """Remove field paths (``scores.cat``) from existing points. ``NotFound`` before anything is
        applied."""
        ...

    def delete(self, collection: str, ids: Sequence[str]) -> None:
        """Remove points. Unknown ids are no error: they are gone already."""
        ...

    def query(self, collection: str, query: Query) -> list[Hit]:
        """Return hits, best first, and by id where similarities are equal. ``UnknownField`` if the filter or
        order names an unindexed field, ``UnknownVector``, ``BadVector``, ``NotFound`` if the point that is
        asked by is not there or lacks the vector."""
        ...

    def query_batch(self, collection: str, queries: Sequence[Query]) -> list[list[Hit]]:
        """Return an answer for each query, in their order."""
        ...

    def retrieve(
        self,
        collection: str,
        ids: Sequence[str],
        *,
        with_payload: Fields = True,
        with_vectors: tuple[str, ...] = (),
    ) -> list[Hit | None]:
        """Return the points in the order of ``ids``; None where there is no such point."""
        ...

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
        """Return a page of all matching points, in order of id or of a field. Every point that stays is seen
        exactly once."""
        ...

    def facet(
        self, collection: str, field: str, *, filter: Filter | None = None, limit: int = 100
    ) -> list[Facet]:
        """Return the most frequent values of an indexed keyword, integer or bool field; equal counts in order
        of value. Counts are exact, and above 0."""
        ...

    def count(self, collection: str, filter: Filter | None = None) -> int:
        """Return the exact number of matching points."""
        ...

    def changes(self, collection: str, since: Version | None = None) -> Changes:
        """Return which points were inserted, deleted, or got another payload since a version, and the present
        version. A write is among them by the time it returns."""
        ...

    def optimize(self, collection: str, *, wait: bool = True) -> None:
        """Index what is not indexed yet; queries and writes go on meanwhile. ``wait=False`` returns at
        once."""
        ...

    def warm(self, collection: str) -> None:
        """Get the collection ready for questions and return at once; the caller goes on with what it needs to
        ask them, such as an encoder. Nothing is raised: the question will say what is wrong."""
        ...

    def close(self) -> None:
        """Release files, locks, processes and connections. Closing again changes nothing."""
        ...


def check_points(schema: CollectionSchema, points: Sequence[Point]) -> None:
    """Raise unless a batch can be stored, before an engine sees any of it: engines store NaN and zero vectors
    silently, and half of a bad batch.

    Every vector must be known to the schema, of its dimension, finite and of unit length (within 1e-3). Every
    id a UUID string. Raises ``BadVector`` or ``UnknownVector`` naming the first offender.
    """
    import numpy as np

    check_ids([point.id for point in points])
    for name in dict.fromkeys(name for point in points for name in point.vectors):
        owners = [point for point in points if name in point.vectors]
        shape = (dim_of(schema, name),)
        wrong = next((p for p in owners if np.shape(p.vectors[name]) != shape), None)
        if wrong is not None:
            raise BadVector(
                f"Vector {name!r} of {wrong.id} has shape {np.shape(wrong.vectors[name])}, not {shape}.",
                using=name,
            )
        check_vectors(schema, name, np.stack([p.vectors[name] for p in owners]), [p.id for p in owners])


def is_id(text: str) -> bool:
    """Return whether ``text`` has the form of an image's id, in upper or lower case."""
    return _UUID.fullmatch(text.lower()) is not None


def check_ids(ids: Sequence[str]) -> None:
    """Raise ``BadVector`` unless each id is a canonical lower-case UUID string, as every engine gives it
    back."""
    for id in ids:
        if not _UUID.fullmatch(id):
            raise BadVector(
                f"{id!r} is not a point id: give the lower-case UUID that Vitrine returned.", id=id
            )


def check_vectors(
    schema: CollectionSchema, using: str, vectors: Embeddings, ids: Sequence[str] | None = None
) -> None:
    """Raise unless ``vectors`` is (n, dim) of the named vector, finite, and of unit length within 1e-3, with
    one for each of ``ids`` where those are given."""
    import numpy as np

    dim = dim_of(schema, using)
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise BadVector(f"Vector {using!r} takes {dim} components, got shape {vectors.shape}.", using=using)
    if ids is not None and len(ids) != len(vectors):
        raise BadVector(f"{len(vectors)} vectors for {len(ids)} points: give one each.", using=using)
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    fitting = np.abs(norms - 1.0) <= NORM_TOLERANCE  # not so where the norm is NaN or infinite
    if fitting.all():
        return
    if not np.isfinite(norms).all():
        row = int(np.flatnonzero(~np.isfinite(norms))[0])
        raise BadVector(f"Vector {using!r} of {_who(ids, row)} has NaN or infinite components.", using=using)
    row = int(np.flatnonzero(~fitting)[0])
    raise BadVector(
        f"Vector {using!r} of {_who(ids, row)} has length {norms[row]:.4g}; divide it by its L2 norm first.",
        using=using,
    )


def dim_of(schema: CollectionSchema, using: str) -> int:
    """Return the dimension of a named vector. ``UnknownVector`` if the collection does not have it."""
    dim = schema.dim(using)
    if dim is None:
        known = ", ".join(vector.name for vector in schema.vectors) or "none"
        raise UnknownVector(
            f"Collection {schema.name!r} has no vector named {using!r}; it has: {known}.", using=using
        )
    return dim


def _who(ids: Sequence[str] | None, row: int) -> str:
    return f"row {row}" if ids is None else ids[row]
