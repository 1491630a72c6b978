"""Index pictures of a category again that are in its object store, with what the journal says of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.report import IndexReport
from vitrine.indexer.sources.objects import read_picture
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.category.changes.entries import batched
from vitrine.services.category.fields import FROM_TABLE, SAID
from vitrine.services.category.journal import changed_line
from vitrine.services.domain import Payload
from vitrine.services.images.open import point_id
from vitrine.services.runtime import Runtime
from vitrine.services.values.field_paths import field_path

_WRITTEN = 1_000
INDEXED_AT = "indexed_at"


def index_again(
    runtime: Runtime,
    category: str,
    keys: Sequence[str],
    state: Mapping[str, Payload | None],
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> IndexReport:
    """Index these objects, and give each image what the journal says of it (``state``). A picture whose bytes
    are not those that it is named by is refused as ``damaged_image``."""
    records = (_record(runtime, key, state.get(id_of(key)) or {}) for key in keys)
    report = index_images(records, runtime, category, progress=progress, stop=stop)
    ids = [id for id in map(id_of, keys) if state.get(id)]
    for part in batched(ids, _WRITTEN):
        with runtime.catalog.writing(category):
            hits = runtime.vectors.retrieve(category, part)
            there = [(hit.id, hit.payload, state[hit.id] or {}) for hit in hits if hit is not None]
            updates = {id: _lacking(payload, said) for id, payload, said in there}
            unsaid = {id: _unsaid(payload, said) for id, payload, said in there}
            if updates:
                runtime.vectors.set_payload(category, updates)
                lines = [changed_line(id, said, unsaid[id]) for id, said in updates.items()]
                runtime.journal.write(category, lines)
    return report


def _lacking(payload: Payload, said: Payload) -> Payload:
    """Return what indexing did not bring back. What is there may be newer: others edit meanwhile."""
    lacking = {name: value for name, value in said.items() if name == INDEXED_AT or name not in payload}
    lacking.pop("scores", None)  # see _unsaid
    return lacking


def _unsaid(payload: Payload, said: Payload) -> tuple[str, ...]:
    """Return the paths of scores that a table gave and that indexing did not bring back: a tagger scores
    these tags."""
    scored_by = payload.get("scored_by", {})
    return tuple(
        field_path("scores", tag) for tag in said.get("scores", ()) if scored_by.get(tag) != FROM_TABLE
    )


def pictures(runtime: Runtime, category: str, state: Mapping[str, Payload | None]) -> Iterator[str]:
    """Yield the keys of a category's pictures, without those of images that were deleted."""
    for stat in runtime.objects.list(f"{category}/images/"):
        if state.get(id_of(stat.key), {}) is not None:
            yield stat.key


def id_of(key: str) -> str:
    """Return the id of the image of a picture's key."""
    return point_id(_named(key))


def _named(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]


def _record(runtime: Runtime, key: str, said: Mapping[str, Any]) -> ImageRecord:
    return ImageRecord(
        str(said.get("source", f"objects:{key.partition('/')[0]}")),
        str(said.get("filename", key.rpartition("/")[2])),
        partial(read_picture, runtime.objects, key),
        tags=tuple(said.get("tags", ())),
        fields={name: said[name] for name in SAID if name in said},
        scores=said.get("scores", {}),
        metadata=dict(said.get("metadata", {})),
        created_at=said.get("created_at"),
    )
