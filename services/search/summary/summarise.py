"""A whole query in figures: how many images, the most frequent values of fields, histograms of numbers and of
similarity.

A listing is counted over everything, a search over its up to 10,000 nearest. Each facet and histogram is
counted without the conditions on its own field, so that it shows what else could be chosen; the total, with
all of them. Columns in memory are counted where they are at hand (``vitrine.services.columns``), else the
engine counts a listing, and the payloads of the hits are read for a search: all say the same.
"""

from __future__ import annotations

import time

from vitrine.services.category.filters import Conditions, in_full
from vitrine.services.columns.store import ColumnStore
from vitrine.services.domain import Bin
from vitrine.services.search.searcher import Search, Searcher
from vitrine.services.search.summary.by_engine import CountsByEngine
from vitrine.services.search.summary.counts import Counts, FacetCounts, Histogram
from vitrine.services.search.summary.hits import counts_of_hits
from vitrine.services.search.summary.listing import counts_of_listing
from vitrine.services.search.summary.plan import Summary, SummaryAsk, plan_of, span_of


def summarise(
    searcher: Searcher,
    columns: ColumnStore,
    category: str,
    asked: SummaryAsk,
    *,
    conditions: Conditions | None = None,
    search: Search | None = None,
) -> Summary:
    """Return the summary of a listing by ``conditions``, or of a ``search``, whose own conditions count
    instead; its ``limit``, ``offset`` and ``diversity`` do not matter.

    Raises as ``Searcher`` does: ``NotFound``, ``UnknownField``, ``BadRequest`` ...
    """
    started = time.perf_counter()
    cat = searcher.catalog.get(category)
    plan = plan_of(searcher, cat, asked, in_full(conditions if search is None else search.options.conditions))
    similarity: tuple[Bin, ...] | None = None
    encode_ms = 0.0
    counts: Counts
    if search is None:
        by_columns = counts_of_listing(searcher, columns, cat, plan)
        counts = CountsByEngine(searcher, cat, plan.sets) if by_columns is None else by_columns
    else:
        counts, similarity, encode_ms = counts_of_hits(
            searcher, columns, cat, plan, search, asked.similarity_bins
        )
    facets = [
        FacetCounts(part.named, *counts.facet(part.path, part.owner, ask.limit))
        for part, ask in zip(plan.facets, asked.facets, strict=True)
    ]
    histograms = [
        Histogram(part.named, *counts.histogram(part.path, part.owner, span_of(part, ask)))
        for part, ask in zip(plan.histograms, asked.histograms, strict=True)
    ]
    total_ms = (time.perf_counter() - started) * 1000
    return Summary(
        counts.size(None),
        tuple(facets),
        tuple(histograms),
        similarity,
        encode_ms,
        round(total_ms - encode_ms, 3),
    )
