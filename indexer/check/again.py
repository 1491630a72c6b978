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
from vitrine.services.category.fields import SAID
from vitrine.services.category.journal import changed_line
from vitrine.services.domain import Payload
from vitrine.services.images.open import point_id
from vitrine.services.runtime import Runtime

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
            updates = {hit.id: _lacking(hit.payload, state[hit.id] or {}) for hit in hits if hit is not None}
            if updates:
                runtime.vectors.set_payload(category, updates)
                runtime.journal.write(category, [changed_line(id, said) for id, said in updates.items()])
    return report


def _lacking(payload: Payload, said: Payload) -> Payload:
    """Return what indexing did not bring back. What is there may be newer: others edit meanwhile."""
    lacking = {name: value for name, value in said.items() if name == INDEXED_AT or name not in payload}
    lacking.pop("scores", None)  # those that are not there count no more: a tagger scores that tag
    return lacking


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
