"""Count images by the values of a field: the most frequent values, or a histogram of a number."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from vitrine.services.category.field_names import find_field
from vitrine.services.domain import Bin, Facet, OrderBy, Query
from vitrine.services.errors import BadRequest
from vitrine.services.filters.conditions import Filter, Range
from vitrine.services.search.options import check_limit
from vitrine.services.search.score_validity import is_score
from vitrine.services.search.usable_fields import check_indexed
from vitrine.services.values.field_paths import value_at
from vitrine.services.vector_store.fields import COUNTABLE

if TYPE_CHECKING:
    from vitrine.services.category.manifest import Category
    from vitrine.services.search.options import AnyConditions
    from vitrine.services.search.searcher import Searcher

MAX_BINS = 200
CLUSTER_FIELD = ("cluster.", "cluster:")
"""Before the name of a run, where a field is asked for."""


def count_values(
    searcher: Searcher, category: str, field: str, conditions: AnyConditions, *, limit: int = 100
) -> list[Facet]:
    """Return the most frequent values of a keyword, integer or bool field among the images that meet the
    conditions. ``UnknownField``, and as of the ``Searcher``.

    Of ``cluster.<run>`` (or ``cluster:<run>``) these are the ids of its nodes, each with the images below it.
    """
    cat = searcher.catalog.get(category)
    check_limit(limit)
    if field.startswith(CLUSTER_FIELD):
        field = searcher.clusters.get(category, field[len(CLUSTER_FIELD[0]) :]).payload_field
    field = find_field(field, cat.indexes)
    check_indexed(cat, field, COUNTABLE, "counted by value", cluster_fields(searcher, category))
    chosen = searcher.to_filter(cat, conditions)
    return searcher.vectors.facet(cat.name, field, filter=chosen, limit=limit)


def count_bins(
    searcher: Searcher,
    category: str,
    field: str,
    conditions: AnyConditions,
    *,
    bins: int = 10,
    lower: float | None = None,
    upper: float | None = None,
) -> list[Bin]:
    """Return the numbers of images by value of a number, in ``bins`` equal bins from ``lower`` to ``upper``
    (0..1 for scores and quality, else the least and greatest value found). ``UnknownField``, and as of the
    ``Searcher``."""
    import numpy as np

    cat = searcher.catalog.get(category)
    if not 1 <= bins <= MAX_BINS:
        raise BadRequest(f"bins must be in 1..{MAX_BINS}, not {bins}.")
    field = find_field(field, cat.indexes)
    check_indexed(cat, field, ("integer", "float"), "counted in bins")
    chosen = searcher.to_filter(cat, conditions, field)
    if is_score(field):
        lower, upper = 0.0 if lower is None else lower, 1.0 if upper is None else upper
    lower = _extreme(searcher, cat, field, chosen, descending=False) if lower is None else lower
    upper = _extreme(searcher, cat, field, chosen, descending=True) if upper is None else upper
    if lower is None or upper is None:
        return []
    if not lower <= upper or not np.isfinite(upper - lower):
        raise BadRequest(
            f"The edges {lower} and {upper} do not bound a range: give finite numbers, the lower first."
        )
    edges = np.linspace(lower, upper, bins + 1) if upper > lower else np.array([lower, upper])
    return list(_bins(searcher, cat, field, chosen, edges.tolist()))


def _bins(
    searcher: Searcher, cat: Category, field: str, chosen: Filter | None, edges: list[float]
) -> Iterator[Bin]:
    for number, (low, high) in enumerate(pairwise(edges), 1):
        last = number == len(edges) - 1
        span = Range(field, gte=low, lte=high if last else None, lt=None if last else high)
        both = Filter(must=(span,) if chosen is None else (span, chosen))
        yield Bin(low, high, searcher.vectors.count(cat.name, both))


def _extreme(
    searcher: Searcher, cat: Category, field: str, chosen: Filter | None, *, descending: bool
) -> float | None:
    """Return the least or the greatest value among the images that were chosen; None where there is none."""
    query = Query(OrderBy(field, descending), filter=chosen, limit=1)
    hits = searcher.vectors.query(cat.name, query)
    return _number(hits[0].payload, field, descending) if hits else None


def _number(payload: dict[str, object], field: str, largest: bool) -> float:
    value = value_at(payload, field)
    values = [float(v) for v in (value if isinstance(value, list) else [value])]
    return max(values) if largest else min(values)


def cluster_fields(searcher: Searcher, category: str) -> Iterator[str]:
    """Yield the names by which the cluster runs of a category are asked for."""
    for run in searcher.clusters.in_service(category):
        yield f"{CLUSTER_FIELD[0]}{run.run}"
