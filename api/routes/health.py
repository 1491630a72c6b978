"""Is the server alive, can it work, and what has it done."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Query
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from vitrine.api.auth import READ, may_read
from vitrine.api.deps import MetricsDep, ReadinessDep, RuntimeDep
from vitrine.api.route import router as new_router
from vitrine.api.schemas.health import HealthOut, ReadyOut

router = new_router("health")


@router.get("/healthz")
async def healthz() -> HealthOut:
    """Say that the process answers. Asks nobody else; open without a key."""
    return HealthOut(status="ok")


@router.get("/readyz", responses={503: {"model": ReadyOut}})
def readyz(
    response: Response,
    readiness: ReadinessDep,
    runtime: RuntimeDep,
    may_read: Annotated[bool, Depends(may_read)],
    need: Annotated[
        Literal["all", "search"], Query(description="search: 200 as long as searches are answered.")
    ] = "all",
) -> ReadyOut:
    """Say whether both stores can be reached and written: 200 or 503. Asked at most once a second; open
    without a key.

    A damaged category changes neither: the others are served. Who may read is told the names.

    Searches need the vectors alone: while the object store is away they go on with what is known of it, as of
    ``known_as_of``.
    """
    parts = readiness.check("vectors") if need == "search" else readiness.check()
    away = runtime.known.away_since
    # a store that hangs must not hold up the answer of one who needs searches alone
    parts = {"objects": "unavailable" if away else "ok"} | parts
    ready, search = all(state == "ok" for state in parts.values()), parts["vectors"] == "ok"
    response.status_code = 200 if (search if need == "search" else ready) else 503
    since = away.isoformat(timespec="seconds") if away and parts["objects"] != "ok" else None
    damaged = readiness.damaged() if parts["vectors"] == "ok" else ()
    return ReadyOut(
        ready=ready,
        search=search,
        parts=parts,
        known_as_of=since,
        damaged=len(damaged),
        damaged_categories=list(damaged) if may_read else [],
    )


@router.get("/metrics", response_class=Response, dependencies=[READ])
def metrics(metrics: MetricsDep) -> Response:
    """Return counters and histograms in Prometheus' text format."""
    return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
