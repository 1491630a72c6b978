"""Is the server alive, can it work, and what has it done."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from api.auth import require
from api.deps import MetricsDep, ReadinessDep
from api.responses import as_json
from api.schemas import HealthOut, ReadyOut

router = APIRouter(tags=["health"])


@router.get("/healthz", responses={200: {"model": HealthOut}}, response_class=Response)
async def healthz() -> Response:
    """The process answers. Asks nobody else; open without a key."""
    return as_json({"status": "ok"})


@router.get("/readyz", responses={200: {"model": ReadyOut}, 503: {"model": ReadyOut}}, response_class=Response)
def readyz(readiness: ReadinessDep) -> Response:
    """Whether both stores can be reached and written: 200 or 503. Asked at most once a second; open without a key."""
    parts = readiness.check()
    ready = all(state == "ok" for state in parts.values())
    return as_json({"ready": ready, "parts": parts}, 200 if ready else 503)


@router.get("/metrics", response_class=Response, dependencies=[Depends(require("read"))])
def metrics(metrics: MetricsDep) -> Response:
    """Counters and histograms in Prometheus' text format."""
    return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
