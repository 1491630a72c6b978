"""Bring the vectors that a job has added under the search index."""

from __future__ import annotations

from collections.abc import Callable

from vitrine.services.runtime import Runtime

WORTH_INDEXING = 20_000
"""Vectors outside of the search index that cost a query a millisecond or two: fewer can wait."""


def build_search_index(runtime: Runtime, category: str, note: Callable[[str], None] | None = None) -> None:
    """Index the vectors that searches still compare one by one, if there are more than ``WORTH_INDEXING``.

    The embedded engine would otherwise stop indexing when the program ends. Ctrl-C leaves the rest for later.
    ``note`` is given a sentence for the person who waits.
    """
    info = runtime.vectors.info(category)
    waiting = info.points * len(info.schema.vectors) - info.indexed
    if waiting <= WORTH_INDEXING:
        return
    note = note or (lambda text: None)
    note(f"Building the search index over {waiting} new vectors; Ctrl-C leaves that for later.")
    try:
        runtime.vectors.optimize(category)
    except KeyboardInterrupt:
        note(
            "The images are indexed and can be searched; the next `vitrine index add` goes on with the "
            "search index."
        )
