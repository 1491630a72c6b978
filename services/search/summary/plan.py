"""What a summary is asked for, and what follows: which fields are counted in which sets of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vitrine.services.category.field_names import find_field
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Bin
from vitrine.services.errors import BadRequest
from vitrine.services.search.counts import CLUSTER_FIELD, MAX_BINS, cluster_fields
from vitrine.services.search.score_validity import is_score
from vitrine.services.search.searcher import Searcher
from vitrine.services.search.summary.counts import FacetCounts, Histogram, Owner, Span
from vitrine.services.search.summary.own_conditions import without_own
from vitrine.services.search.usable_fields import check_indexed
from vitrine.services.vector_store.fields import COUNTABLE, ORDERED

if TYPE_CHECKING:
    from vitrine.services.category.catalog import Category

MAX_PARTS = 64
"""Facets in one summary; histograms as well."""
MAX_VALUES = 1_000
"""Values of one facet."""


@dataclass(frozen=True)
class FacetAsk:
    """The ``limit`` most frequent values of ``field``: a keyword, whole number or truth, or
    ``cluster.<run>``."""

    field: str
    limit: int = 20


@dataclass(frozen=True)
class HistogramAsk:
    """The values of ``field``, a number or date, in ``bins`` equal bins from ``lower`` to ``upper`` (None: 0
    and 1 for scores, else the least and greatest value found; of dates, seconds since 1970)."""

    field: str
    bins: int = 32
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class SummaryAsk:
    """What is counted. ``similarity_bins``: of the hits of a search; 0: none."""

    facets: tuple[FacetAsk, ...] = ()
    histograms: tuple[HistogramAsk, ...] = ()
    similarity_bins: int = 0


@dataclass(frozen=True)
class Summary:
    """``facets`` and ``histograms`` in the order in which they were asked for. ``similarity``: None for a
    listing, and for fused ranks. Milliseconds: encoding the query, all the rest."""

    total: int
    facets: tuple[FacetCounts, ...]
    histograms: tuple[Histogram, ...]
    similarity: tuple[Bin, ...] | None
    encode_ms: float = 0.0
    search_ms: float = 0.0


@dataclass(frozen=True)
class Part:
    """A field to count: as it was ``named``, its path in the payload, and whose conditions are left out."""

    named: str
    path: str
    owner: Owner


@dataclass
class Plan:
    """The fields that are counted, and the conditions of each set of images."""

    facets: list[Part] = field(default_factory=list)
    histograms: list[Part] = field(default_factory=list)
    sets: dict[Owner, Conditions] = field(default_factory=dict)

    @property
    def paths(self) -> set[str]:
        return {part.path for part in (*self.facets, *self.histograms)}


def plan_of(searcher: Searcher, cat: Category, asked: SummaryAsk, conditions: Conditions) -> Plan:
    """Return the plan of a summary. ``NotFound`` (cluster run), ``UnknownField``, ``BadRequest``."""
    check_asked(asked)
    plan = Plan(sets={None: conditions})
    plan.facets = [_facet_part(searcher, cat, ask.field, plan) for ask in asked.facets]
    plan.histograms = [_histogram_part(cat, ask.field, plan) for ask in asked.histograms]
    return plan


def _facet_part(searcher: Searcher, cat: Category, named: str, plan: Plan) -> Part:
    run = None
    path = named
    if named.startswith(CLUSTER_FIELD):
        run = named[len(CLUSTER_FIELD[0]) :]
        path = searcher.clusters.get(cat.name, run).payload_field
    path = find_field(path, cat.indexes)
    check_indexed(cat, path, COUNTABLE, "counted by value", cluster_fields(searcher, cat.name))
    return _part(cat, named, path, plan, run)


def _histogram_part(cat: Category, named: str, plan: Plan) -> Part:
    path = find_field(named, cat.indexes)
    check_indexed(cat, path, ORDERED, "counted in bins")
    return _part(cat, named, path, plan)


def _part(cat: Category, named: str, path: str, plan: Plan, run: str | None = None) -> Part:
    if path not in plan.sets:
        others = without_own(plan.sets[None], path, cat.indexes, run=run)
        if others is None:
            return Part(named, path, None)
        plan.sets[path] = others
    return Part(named, path, path)


def span_of(part: Part, ask: HistogramAsk) -> Span:
    """Return how the values of a histogram are put into bins."""
    if not is_score(part.path):
        return Span(ask.bins, ask.lower, ask.upper)
    lower, upper = 0.0 if ask.lower is None else ask.lower, 1.0 if ask.upper is None else ask.upper
    return Span(ask.bins, lower, upper)


def check_asked(asked: SummaryAsk) -> None:
    """Raise ``BadRequest`` if too much is asked for."""
    parts: Sequence[Sequence[object]] = (asked.facets, asked.histograms)
    if any(len(several) > MAX_PARTS for several in parts):
        raise BadRequest(
            f"A summary has at most {MAX_PARTS} facets and {MAX_PARTS} histograms: ask for fewer."
        )
    if any(not 1 <= ask.limit <= MAX_VALUES for ask in asked.facets):
        raise BadRequest(f"limit of a facet must be in 1..{MAX_VALUES}.")
    numbers = [ask.bins for ask in asked.histograms]
    if any(not 1 <= bins <= MAX_BINS for bins in numbers) or not 0 <= asked.similarity_bins <= MAX_BINS:
        raise BadRequest(f"bins must be in 1..{MAX_BINS}.")
