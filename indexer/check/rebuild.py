"""Make the collection of a category again, from its pictures, its manifest and its journal."""

from __future__ import annotations

import threading

from vitrine.indexer.check.again import index_again, pictures
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.report import IndexReport
from vitrine.services.runtime import Runtime


def rebuild_category(
    runtime: Runtime, name: str, *, progress: Progress | None = None, stop: threading.Event | None = None
) -> IndexReport:
    """Drop the collection of a category, damaged or not, and index all its pictures again, with what people
    said of them as the journal has it; embeddings are computed anew. Images that were deleted stay deleted.

    Interrupted, the same call begins anew. Maps and cluster runs have to be made again. ``StoreDamaged``
    where the manifest cannot be read: then nobody knows which encoders the category has.
    """
    category = runtime.catalog.manifest(name)
    damaged: list[str] = []
    with runtime.catalog.writing(name):
        state = runtime.journal.read(name, damaged=damaged)
        if name in runtime.vectors.collections():
            runtime.vectors.drop(name)
        runtime.vectors.ensure(category.schema)
    report = index_again(
        runtime, name, list(pictures(runtime, name, state)), state, progress=progress, stop=stop
    )
    known = sum(said is not None for said in state.values())
    report.notes.append(
        f"The journal had what people said of {known} images; maps and cluster runs have to be made again."
    )
    if damaged:
        report.notes.append(
            f"{len(damaged)} segments of the journal could not be read: {', '.join(damaged)}."
        )
    return report
