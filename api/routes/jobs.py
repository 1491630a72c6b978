"""Jobs: long work that the server does in processes of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response, StreamingResponse

from vitrine.api.auth import WRITE, caller
from vitrine.api.deps import JobsDep, no_other_parameters
from vitrine.api.openapi import BINARY, body_of
from vitrine.api.route import Json, json_body
from vitrine.api.route import router as new_router
from vitrine.api.schemas.jobs import JobBody, JobOut, JobsOut, KindsOut, LogOut, WholeJobOut
from vitrine.services.jobs.job import Job, State
from vitrine.services.jobs.jobs import Jobs
from vitrine.services.jobs.places import FOLDER

router = new_router("jobs", "/v1/jobs", "read")
EVENTS = "text/event-stream"
_SHOWN = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
_TICK_SECONDS = 0.25
_SILENT_TICKS = 60
"""After so many without an event a comment is sent: proxies close connections on which nothing moves."""


@router.get(
    "",
    responses={200: {"model": JobsOut}},
    dependencies=[Depends(no_other_parameters("state", "kind", "limit", "skip"))],
)
def list_jobs(
    jobs: JobsDep,
    state: Annotated[list[State] | None, Query(description="Of these states; again: more.")] = None,
    kind: Annotated[list[str] | None, Query(max_length=100, description="Of these kinds.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    skip: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> Response:
    """List jobs, the latest first. Those that ended more than 30 days ago are gone."""
    change = jobs.table.latest()  # first: what changes meanwhile is told again
    found = jobs.find(states=state or (), kinds=kind or (), limit=limit, skip=skip)
    shown = [_shown(jobs, job) for job in found]
    return Json({"jobs": shown, "counts": jobs.table.counts(), "change": change})


@router.post(
    "",
    status_code=202,
    responses={202: {"model": JobOut}},
    openapi_extra=body_of(JobBody),
    dependencies=[WRITE, Depends(no_other_parameters())],
)
def start_job(
    request: Request, jobs: JobsDep, body: Annotated[JobBody, Depends(json_body(JobBody))]
) -> Response:
    """Let a job wait for its turn. 422 ``bad_request`` for a kind or argument that does not exist or does not
    fit, 403 ``forbidden`` for a path that jobs may not read, 404 ``not_found`` where nothing is there, 409
    ``conflict`` where the same is repeated already."""
    job = jobs.start(body.kind, body.arguments, who=caller(request), every_seconds=body.every_seconds)
    return Json(_shown(jobs, job), 202, {"Location": f"/v1/jobs/{job.id}"})


@router.get("/kinds", responses={200: {"model": KindsOut}}, dependencies=[Depends(no_other_parameters())])
def job_kinds(jobs: JobsDep) -> Response:
    """List what can be a job: the long commands, with their options as they take them over HTTP."""
    folders = [FOLDER + root.name for root in jobs.settings.roots]
    return Json({"kinds": [kind.to_json() for kind in jobs.kinds if kind.remote], "folders": folders})


@router.get(
    "/events",
    responses={200: {"content": {EVENTS: {"schema": {"type": "string"}}}}},
    dependencies=[Depends(no_other_parameters("after", "seconds"))],
)
async def job_events(
    request: Request,
    jobs: JobsDep,
    after: Annotated[
        int | None,
        Query(ge=0, description="What comes after this change. [default: Last-Event-ID, or the latest]"),
    ] = None,
    seconds: Annotated[
        float | None,
        Query(
            ge=0,
            le=86_400,
            description="How long to stay; 0: say what has changed, and end. [default: an hour for who "
            "accepts text/event-stream, as EventSource does; else 0]",
        ),
    ] = None,
) -> Response:
    """Follow the jobs by server-sent events: ``job`` with a job as it is now, ``removed`` with its id. The
    id of an event is the number of the change: who comes back with it as ``Last-Event-ID`` misses nothing.
    """
    told = request.headers.get("last-event-id", "")
    since = int(told) if told.isascii() and told.isdigit() and len(told) < 19 else after
    if since is None:
        since = await run_in_threadpool(jobs.table.latest)
    if seconds is None:
        seconds = 3_600 if EVENTS in request.headers.get("accept", "") else 0
    stream = _events(jobs, since, seconds, request.app.state.ending)
    return StreamingResponse(stream, media_type=EVENTS, headers={"Cache-Control": "no-store"})


@router.get("/{id}", responses={200: {"model": WholeJobOut}}, dependencies=[Depends(no_other_parameters())])
def get_job(id: str, jobs: JobsDep) -> Response:
    """Return a job with its report. 404 ``not_found``."""
    return Json(_shown(jobs, jobs.get(id), whole=True))


@router.delete(
    "/{id}",
    responses={200: {"model": JobOut}, 204: {"description": "It had ended, and is forgotten."}},
    dependencies=[WRITE, Depends(no_other_parameters())],
)
def end_job(id: str, jobs: JobsDep) -> Response:
    """Cancel a job that waits or runs: it has 10 seconds for what it has under way, and does not repeat
    itself any more. Of one that has ended, forget it and remove its files. 404 ``not_found``."""
    job = jobs.get(id)
    if job.finished:
        jobs.remove(job.id)
        return Response(status_code=204)
    return Json(_shown(jobs, jobs.cancel(job.id)))


@router.post(
    "/{id}/retry",
    status_code=202,
    responses={202: {"model": JobOut}},
    dependencies=[WRITE, Depends(no_other_parameters())],
)
def retry_job(id: str, jobs: JobsDep) -> Response:
    """Let a job that has ended wait again, with the same arguments. 404 ``not_found``, 409 ``conflict`` if it
    has not ended."""
    return Json(_shown(jobs, jobs.retry(id)), 202)


@router.get("/{id}/log", responses={200: {"model": LogOut}}, dependencies=[Depends(no_other_parameters())])
def job_log(id: str, jobs: JobsDep) -> Response:
    """Return the end of a job's log. 404 ``not_found``."""
    return Json({"log": jobs.without_paths(jobs.log(id))})


@router.get(
    "/{id}/file",
    responses={200: {"content": {"application/octet-stream": {"schema": BINARY}}}},
    dependencies=[Depends(no_other_parameters())],
)
def job_file(id: str, jobs: JobsDep) -> Response:
    """Download the file that a job made, or a range of its bytes: an export. 404 ``not_found``."""
    path = jobs.file(id)
    drawn = _SHOWN.get(path.suffix.lower())
    return FileResponse(
        path,
        media_type=drawn or "application/octet-stream",
        filename=path.name,
        content_disposition_type="inline" if drawn else "attachment",
        headers={
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "private, no-cache",
        },
    )


def _shown(jobs: Jobs, job: Job, *, whole: bool = False) -> dict[str, Any]:
    """Return a job as ``JobOut``, or ``WholeJobOut``, without the server's paths."""
    tree = job.to_json(whole=whole)
    tree["file"] = job.file and job.file.rpartition("/")[2]
    for name in ("arguments", "error", "report"):
        if tree.get(name) is not None:
            tree[name] = orjson.loads(jobs.without_paths(orjson.dumps(tree[name]).decode()))
    return tree


async def _events(jobs: Jobs, since: int, seconds: float, ending: threading.Event) -> AsyncIterator[bytes]:
    """Yield what changes after the change ``since``, until the time is up or the server ends."""
    yield b"retry: 1000\n\n"
    began, silent = asyncio.get_running_loop().time(), 0
    while True:
        events, since = await run_in_threadpool(_news, jobs, since)
        silent = 0 if events else silent + 1
        if silent >= _SILENT_TICKS:
            events, silent = [b": still here\n\n"], 0
        for event in events:
            yield event
        if ending.is_set() or asyncio.get_running_loop().time() - began >= seconds:
            return
        await asyncio.sleep(_TICK_SECONDS)


def _news(jobs: Jobs, since: int) -> tuple[list[bytes], int]:
    changed = jobs.changed(since)
    told = [(job.change, "job", _shown(jobs, job)) for job in changed.jobs]
    told += [(change, "removed", {"id": id}) for change, id in changed.removed]
    told.sort(key=lambda one: one[0])
    events = [
        b"id: %d\nevent: %s\ndata: %s\n\n" % (change, name.encode(), orjson.dumps(tree, default=str))
        for change, name, tree in told
    ]
    return events, told[-1][0] if told else since
