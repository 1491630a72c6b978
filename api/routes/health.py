"""Is the server alive, can it work, and what has it done."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from vitrine.api.auth import require
from vitrine.api.deps import MetricsDep, ReadinessDep, RuntimeDep
from vitrine.api.responses import as_json
from vitrine.api.schemas.common import HealthOut, ReadyOut

router = APIRouter(tags=["health"])


@router.get("/healthz", responses={200: {"model": HealthOut}}, response_class=Response)
async def healthz() -> Response:
    """The process answers. Asks nobody else; open without a key."""
    return as_json({"status": "ok"})


@router.get(
    "/readyz", responses={200: {"model": ReadyOut}, 503: {"model": ReadyOut}}, response_class=Response
)
def readyz(
    readiness: ReadinessDep,
    runtime: RuntimeDep,
    need: Annotated[
        Literal["all", "search"], Query(description="search: 200 as long as searches are answered.")
    ] = "all",
) -> Response:
    """Whether both stores can be reached and written: 200 or 503. Asked at most once a second; open without a
    key.

    Searches need the vectors alone: while the object store is away they go on with what is known of it, as of
    ``known_as_of``.
    """
    parts = readiness.check("vectors") if need == "search" else readiness.check()
    away = runtime.known.away_since
    # a store that hangs must not hold up the answer of one who needs searches alone
    parts = {"objects": "unavailable" if away else "ok"} | parts
    ready, search = all(state == "ok" for state in parts.values()), parts["vectors"] == "ok"
    since = away.isoformat(timespec="seconds") if away and parts["objects"] != "ok" else None
    body = {"ready": ready, "search": search, "parts": parts, "known_as_of": since}
    return as_json(body, 200 if (search if need == "search" else ready) else 503)


@router.get("/metrics", response_class=Response, dependencies=[Depends(require("read"))])
def metrics(metrics: MetricsDep) -> Response:
    """Counters and histograms in Prometheus' text format."""
    return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
