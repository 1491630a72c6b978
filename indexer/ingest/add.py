"""Add the images of a source to a category: index them, then bring them under the search index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from vitrine.indexer.ingest.pipeline import BATCH_SIZE, index_images
from vitrine.indexer.job.progress import Progress
from vitrine.indexer.job.report import IndexReport, ItemOutcome, NearDuplicates, RefusedFile
from vitrine.indexer.job.same_vectors import check_same_vectors
from vitrine.indexer.job.search_index import build_search_index
from vitrine.indexer.sources.patience import Patience
from vitrine.indexer.sources.records import Source
from vitrine.services.domain import IndexKind
from vitrine.services.runtime import Runtime


def add_images(
    runtime: Runtime,
    category: str,
    source: Source,
    *,
    batch_size: int = BATCH_SIZE,
    near_duplicates: NearDuplicates = "ignore",
    kinds: Mapping[str, IndexKind] | None = None,
    patience: Patience | None = None,
    refused: Path | None = None,
    on_outcome: Callable[[ItemOutcome], None] | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> IndexReport:
    """Index a source as ``index_images`` does. Ctrl-C ends it after the batch that is being written.

    ``refused``: a file that gets what was refused and why, one JSON object a line. ``note`` is given what a
    person who waits should know. Raises ``EncoderMismatch`` where an encoder gives other vectors than those
    of the images that are there.
    """
    check_same_vectors(runtime, category)
    with ExitStack() as stack:
        listed = stack.enter_context(RefusedFile(refused)) if refused else None

        def tell(outcome: ItemOutcome) -> None:
            for listener in (listed, on_outcome):
                if listener:
                    listener(outcome)

        report = index_images(
            source,
            runtime,
            category,
            batch_size=batch_size,
            near_duplicates=near_duplicates,
            progress=progress,
            on_outcome=tell,
            kinds=kinds,
            patience=patience,
        )
    if report.error is None and not report.interrupted:
        build_search_index(runtime, category, note)
    return report
