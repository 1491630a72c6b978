"""Count the images of a category: by value, and by number in bins."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from vitrine.api.deps import LimitParameter, RuntimeDep, conditions_except
from vitrine.api.openapi import FILTERS
from vitrine.api.route import router as new_router
from vitrine.api.schemas.search import FacetsOut, HistogramOut
from vitrine.services.category.filters import Conditions
from vitrine.services.search.counts import MAX_BINS, count_bins, count_values

router = new_router("facets", "/v1/categories/{category}", "read")
_with_filters = {"parameters": [FILTERS]}


@router.get("/facets/{field:path}", openapi_extra=_with_filters)
def facets(
    category: str,
    field: str,
    runtime: RuntimeDep,
    conditions: Annotated[Conditions, Depends(conditions_except("limit"))],
    limit: LimitParameter = 100,
) -> FacetsOut:
    """Count the most frequent values of a keyword, integer or bool field, with exact counts; equal counts in
    order of value.

    422 ``unknown_field`` for a field that cannot be counted by value, naming those that can.
    """
    found = count_values(runtime.searcher, category, field, conditions, limit=limit)
    return FacetsOut(field=field, values=found)


@router.get("/histograms/{field:path}", openapi_extra=_with_filters)
def histogram(
    category: str,
    field: str,
    runtime: RuntimeDep,
    conditions: Annotated[Conditions, Depends(conditions_except("bins", "lower", "upper"))],
    bins: Annotated[int, Query(ge=1, le=MAX_BINS)] = 10,
    lower: Annotated[
        float | None, Query(allow_inf_nan=False, description="Default: 0 for scores, else the least value.")
    ] = None,
    upper: Annotated[
        float | None,
        Query(allow_inf_nan=False, description="Default: 1 for scores, else the greatest value."),
    ] = None,
) -> HistogramOut:
    """Count the values of a number in equal bins. 422 ``unknown_field`` for a field that is not a number."""
    found = count_bins(runtime.searcher, category, field, conditions, bins=bins, lower=lower, upper=upper)
    return HistogramOut(field=field, bins=found)
