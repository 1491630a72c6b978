"""Which images leave a category, or get another name, because of what has become of a folder's files."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vitrine.indexer.ingest.sync.watch import FolderWatch
from vitrine.indexer.job.payload_writer import PAGE, Change, PayloadWriter
from vitrine.services.category.changes.entries import batched
from vitrine.services.category.read_all import pages
from vitrine.services.errors import TooManyGone

if TYPE_CHECKING:
    from vitrine.indexer.ingest.sync.memory import Memory, MemoryStore
    from vitrine.services.domain import Hit
    from vitrine.services.runtime import Runtime

FEW_GONE, SHARE_GONE = 100, 0.1
"""So many images may leave at once, or such a share of those that came from the folder."""
_FIELDS = ("source", "filename")


@dataclass(frozen=True)
class Leaving:
    """What is to become of images whose file is not where it was. ``gone``: those that leave, name by id.
    ``moved``: by id, the name that an image has and the one that it gets. ``stay``: how many stay, since they
    came from elsewhere or another folder that is synced has them."""

    gone: Mapping[str, str] = field(default_factory=dict)
    moved: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    stay: int = 0

    def check(self, of: int, source: str, at_most: int | None) -> None:
        """Raise ``TooManyGone`` where more leave than may, ``of`` so many that came from the folder."""
        count = len(self.gone)
        if count <= (max(FEW_GONE, SHARE_GONE * of) if at_most is None else at_most):
            return
        raise TooManyGone(
            f"{count} of {of} images of {source} have no file there any more, and would leave the category: "
            f"nothing was deleted. If the folder is complete, --max-gone {count} lets them leave.",
            gone=count,
            images=of,
        )


def find_leaving(
    runtime: Runtime, category: str, folder: Path, watch: FolderWatch, store: MemoryStore
) -> Leaving:
    """Compare what is remembered of a folder with what is there, once all of it was read."""
    memory, present = watch.memory, _present(watch, folder)
    missing = {
        id: name
        for key, seen in memory.files.items()
        if key not in present
        for name, id in seen.images.items()
    }
    candidates = {**missing, **memory.waiting}
    if not candidates:
        return Leaving()
    held = _held(memory, present, candidates)
    elsewhere = _elsewhere(store, candidates.keys() - held.keys())
    gone, moved, stay = dict[str, str](), dict[str, tuple[str, str]](), 0
    for hit in _stored(runtime, category, list(candidates)):
        names, name = held.get(hit.id, []), str(hit.payload.get("filename"))
        if hit.payload.get("source") != memory.source:
            stay += not names
        elif not names and hit.id in elsewhere:
            stay += 1
        elif not names:
            gone[hit.id] = name
        elif name not in names:
            moved[hit.id] = (name, names[0])
    return Leaving(gone, moved, stay)


def rename(runtime: Runtime, category: str, moved: Mapping[str, tuple[str, str]]) -> None:
    """Give images the names of the files that they are in now."""
    writer = PayloadWriter(runtime, category)
    for ids in batched(list(moved), PAGE):
        with writer.page():
            writer.write({id: Change({"filename": moved[id][1]}) for id in ids})
    writer.flush()


def images_of_source(runtime: Runtime, category: str, source: str) -> dict[str, str]:
    """Return the images that came from a source of this name, name by id. Reads the whole category: sources
    are not indexed."""
    return {
        hit.id: str(hit.payload.get("filename"))
        for page in pages(runtime.vectors, category, fields=_FIELDS)
        for hit in page
        if hit.payload.get("source") == source
    }


def forget_missing(watch: FolderWatch, folder: Path) -> None:
    """Forget the files that are gone, once everything was done about their images."""
    present = _present(watch, folder)
    watch.memory.files = {key: seen for key, seen in watch.memory.files.items() if key in present}
    watch.memory.waiting = {}


def _present(watch: FolderWatch, folder: Path) -> set[str]:
    """Return the files that are there. One that the walk did not meet may have come meanwhile."""
    missing = watch.memory.files.keys() - watch.seen
    return watch.seen | {key for key in missing if watch.is_present(key) or os.path.isfile(folder / key)}


def _held(memory: Memory, present: set[str], wanted: Mapping[str, str]) -> dict[str, list[str]]:
    """Return by id the names under which the folder has images that are wanted."""
    held: defaultdict[str, list[str]] = defaultdict(list)
    for key in present:
        seen = memory.files.get(key)
        for name, id in seen.images.items() if seen else ():
            if id in wanted:
                held[id].append(name)
    return {id: sorted(names) for id, names in held.items()}


def _elsewhere(store: MemoryStore, ids: set[str]) -> set[str]:
    """Return those of the images that another folder has that is synced."""
    found = set[str]()
    for other in store.others() if ids else ():
        found |= {id for seen in other.files.values() for id in seen.images.values() if id in ids}
    return found


def _stored(runtime: Runtime, category: str, ids: Sequence[str]) -> Iterator[Hit]:
    for some in batched(ids, PAGE):
        hits = runtime.vectors.retrieve(category, some, with_payload=_FIELDS)
        yield from (hit for hit in hits if hit is not None)
