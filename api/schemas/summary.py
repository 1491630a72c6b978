"""Bodies of summaries."""

from __future__ import annotations

from pydantic import BaseModel, Field

from vitrine.api.schemas.common import Taken, example
from vitrine.api.schemas.search import SearchBody, Timing
from vitrine.services.domain import Bin, Facet
from vitrine.services.search.counts import MAX_BINS
from vitrine.services.search.summary.plan import MAX_PARTS, MAX_VALUES

_FIELD = "As in conditions and answers: class, tags, width, scores.TAG, metadata.COLUMN"


class FacetBody(Taken):
    """Count the most frequent values of a field of words, whole numbers or truths."""

    field: str = Field(max_length=300, description=f"{_FIELD}, cluster.RUN ...")
    limit: int = Field(20, ge=1, le=MAX_VALUES, description="How many values.")


class HistogramBody(Taken):
    """Count the values of a number or date in equal bins."""

    field: str = Field(max_length=300, description=f"{_FIELD} ...")
    bins: int = Field(32, ge=1, le=MAX_BINS)
    lower: float | None = Field(
        None, description="Default: 0 for scores, else the least value. Of dates: seconds since 1970."
    )
    upper: float | None = Field(None, description="Default: 1 for scores, else the greatest value.")


class SummaryBody(SearchBody):
    """What to count, and the question and filter of a search or listing. How many hits it would show, and in
    which order, does not matter."""

    model_config = example(
        {
            "text": "a red shoe on white",
            "filter": {"class": ["shoe"], "quality": {"gte": 0.5}},
            "facets": [{"field": "class", "limit": 5}, {"field": "tags"}],
            "histograms": [{"field": "bytes", "bins": 8}],
            "similarity_bins": 40,
        }
    )

    facets: list[FacetBody] = Field([], max_length=MAX_PARTS)
    histograms: list[HistogramBody] = Field([], max_length=MAX_PARTS)
    similarity_bins: int = Field(40, ge=0, le=MAX_BINS, description="Of the hits of a search; 0: none.")


class FacetCountsOut(BaseModel):
    """Counted without the conditions on the field itself. ``more``: there are other values. ``missing``:
    images without a value."""

    field: str
    values: list[Facet]
    more: bool
    missing: int


class HistogramCountsOut(BaseModel):
    """Counted without the conditions on the field itself. ``missing``: images without a value."""

    field: str
    bins: list[Bin]
    missing: int


class SimilarityOut(BaseModel):
    """Counted whatever ``min_similarity`` is."""

    bins: list[Bin]


class SummaryOut(BaseModel):
    """``total``: images that meet all conditions; of a search at most 10,000. ``similarity`` is null for a
    listing, and for fused ranks."""

    model_config = example(
        {
            "total": 812,
            "facets": [
                {"field": "class", "values": [{"value": "shoe", "count": 812}], "more": False, "missing": 0}
            ],
            "histograms": [
                {"field": "bytes", "bins": [{"lower": 0.0, "upper": 9000.0, "count": 812}], "missing": 0}
            ],
            "similarity": {"bins": [{"lower": 0.21, "upper": 0.34, "count": 812}]},
            "timing": {"encode_ms": 31.0, "search_ms": 24.0, "total_ms": 55.2},
        }
    )

    total: int
    facets: list[FacetCountsOut]
    histograms: list[HistogramCountsOut]
    similarity: SimilarityOut | None
    timing: Timing
