"""The one list of what is done with new images."""

from __future__ import annotations

from typing import get_args

from vitrine.indexer.enrich.clusters.arrivals import NewImageAssigner
from vitrine.indexer.enrich.duplicates.arrivals import NewImageComparer
from vitrine.indexer.enrich.scores.arrivals import NewImageScorer
from vitrine.indexer.job.on_arrival import OnArrival
from vitrine.indexer.job.report import NearDuplicates
from vitrine.services.category.catalog import Category
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime


def on_arrival(
    runtime: Runtime, category: Category, near_duplicates: NearDuplicates = "ignore"
) -> list[OnArrival]:
    """Return the enrichments that act on new images, in the order in which they are called.

    ``BadRequest``: ``near_duplicates`` is none of its words.
    """
    if near_duplicates not in get_args(NearDuplicates):
        words = ", ".join(get_args(NearDuplicates))
        raise BadRequest(f"near_duplicates is one of {words}, not {near_duplicates!r}.")
    found: list[OnArrival] = []
    if near_duplicates != "ignore":
        found.append(NewImageComparer(runtime, category, near_duplicates))
    return [*found, NewImageScorer(runtime, category), NewImageAssigner(runtime, category)]
