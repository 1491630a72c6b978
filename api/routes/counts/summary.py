"""A whole query in figures: total, facets, histograms."""

from __future__ import annotations

import time
from dataclasses import asdict

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from vitrine.api.openapi import body_of
from vitrine.api.route import Json, LimitedRequest, direct_route
from vitrine.api.route import router as new_router
from vitrine.api.routes.search import sent_json
from vitrine.api.schemas.summary import SummaryBody, SummaryOut
from vitrine.services.runtime import Runtime
from vitrine.services.search.summary.plan import FacetAsk, HistogramAsk, SummaryAsk
from vitrine.services.search.summary.summarise import summarise
from vitrine.services.validation import validated

router = new_router("search", "/v1/categories/{category}", "read", route_class=direct_route("read"))


@router.post(
    "/summary", responses={200: {"model": SummaryOut}}, openapi_extra=body_of(SummaryBody, required=False)
)
async def summary(request: Request, category: str) -> Response:
    """Count a whole query: how many images, the most frequent values of fields, histograms of numbers, dates
    and similarity.

    The body is that of a search or listing, with what is to be counted. A listing is counted over all images,
    a search over its up to 10,000 nearest. Each facet and histogram leaves out the conditions on its own
    field. Errors are those of a search; 422 ``unknown_field`` for a field that cannot be counted, naming
    those that can.
    """
    assert isinstance(request, LimitedRequest)
    body = validated(SummaryBody, await request.json(), "body")
    return await run_in_threadpool(_response, request.app.state.runtime, category, body)


def _response(runtime: Runtime, category: str, body: SummaryBody) -> Response:
    started = time.perf_counter()
    found = summarise(
        runtime.searcher,
        runtime.columns,
        category,
        SummaryAsk(
            tuple(FacetAsk(facet.field, facet.limit) for facet in body.facets),
            tuple(HistogramAsk(it.field, it.bins, it.lower, it.upper) for it in body.histograms),
            body.similarity_bins,
        ),
        conditions=body.filter,
        search=sent_json(body).search if body.asks else None,
    )
    return Json(
        {
            "total": found.total,
            "facets": [asdict(facet) for facet in found.facets],
            "histograms": [asdict(histogram) for histogram in found.histograms],
            "similarity": None
            if found.similarity is None
            else {"bins": [asdict(one) for one in found.similarity]},
            "timing": {
                "encode_ms": found.encode_ms,
                "search_ms": found.search_ms,
                "total_ms": round((time.perf_counter() - started) * 1000, 3),
            },
        }
    )
