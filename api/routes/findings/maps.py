"""Maps: which there are, and their points for a page to draw. Images of a part are found by the filter
``map.<name>.x.gte``."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query
from starlette.responses import Response

from vitrine.api.auth import WRITE
from vitrine.api.deps import (
    CursorParameter,
    LimitParameter,
    RuntimeDep,
    conditions_except,
    no_other_parameters,
)
from vitrine.api.openapi import FILTERS
from vitrine.api.route import Json
from vitrine.api.route import router as new_router
from vitrine.api.schemas.findings.maps import MapOut, MapPointsOut, MapsOut
from vitrine.indexer.enrich.maps.make import count_missing, delete_map
from vitrine.indexer.enrich.maps.points import read_points
from vitrine.indexer.enrich.maps.values import value_reader
from vitrine.services.category.filters import Conditions

router = new_router("maps", "/v1/categories/{category}/maps", "read")
_OWN_PARAMETERS = ("limit", "cursor", "by", "depth")


@router.get("", dependencies=[Depends(no_other_parameters())])
def maps(category: str, runtime: RuntimeDep) -> MapsOut:
    """List the maps of a category, by name. 404 ``not_found``."""
    runtime.catalog.get(category)
    found = runtime.maps.in_service(category)
    missing = [count_missing(runtime, category, one) for one in found]
    shown = zip(found, missing, strict=True)
    return MapsOut(maps=[MapOut.model_validate({**vars(one), "missing": count}) for one, count in shown])


@router.get(
    "/{map}/points",
    responses={200: {"model": MapPointsOut}},
    openapi_extra={"parameters": [FILTERS]},
)
def map_points(
    category: str,
    map: str,
    runtime: RuntimeDep,
    conditions: Annotated[Conditions, Depends(conditions_except(*_OWN_PARAMETERS))],
    limit: LimitParameter = 2_000,
    cursor: CursorParameter = None,
    by: Annotated[
        str | None,
        Query(
            max_length=300,
            description="One value of each: class, tags, scores.TAG, metadata.COLUMN, cluster.RUN ...",
        ),
    ] = None,
    depth: Annotated[int, Query(ge=1, le=32, description="With `cluster.RUN`: of the nodes.")] = 1,
) -> Response:
    """List the images of a map that meet the conditions, page by page, as aligned lists.

    404 ``not_found`` for an unknown category, map or run; 422 ``unknown_field`` for an unknown field.
    """
    runtime.catalog.get(category)
    shown = runtime.maps.get(category, map)
    reader = value_reader(runtime, category, by, depth=depth) if by else None
    page = read_points(runtime, category, shown, reader, conditions=conditions, limit=limit, cursor=cursor)
    points = {"map": map, "created_at": shown.created_at, "by": by, "ids": page.ids, "x": page.x, "y": page.y}
    return Json({**points, "values": page.values if reader else None, "cursor": page.cursor})


@router.delete("/{map}", status_code=204, dependencies=[WRITE, Depends(no_other_parameters())])
def delete_category_map(category: str, map: str, runtime: RuntimeDep) -> Response:
    """Delete a map: first for queries, then on the images, which stay themselves. Nothing brings it back.

    Answers when that is done; the same request again completes one that was interrupted. 404 ``not_found``.
    """
    delete_map(runtime, category, map)
    return Response(status_code=204)
