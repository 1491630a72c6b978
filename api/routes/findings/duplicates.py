"""Near-duplicates: the groups that were found, and what people decide on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.responses import Response

from vitrine.api.auth import READ, WRITE
from vitrine.api.deps import LimitParameter, RuntimeDep, no_other_parameters
from vitrine.api.openapi import body_of
from vitrine.api.responses import image_urls, shown_payload
from vitrine.api.route import Json, json_body
from vitrine.api.route import router as new_router
from vitrine.api.schemas.changes import UndoOut
from vitrine.api.schemas.findings.duplicates import (
    DecisionBody,
    DecisionOut,
    DuplicateGroupOut,
    DuplicateGroupsOut,
    DuplicatesOut,
    Kind,
)
from vitrine.indexer.enrich.duplicates.changes import (
    Deleted,
    check_rule,
    deletable,
    delete,
    dismiss,
    keep,
    named,
)
from vitrine.indexer.enrich.duplicates.keep import keep_first, reason
from vitrine.indexer.export.duplicates import group_json
from vitrine.services.artifacts.duplicates import DuplicateGroup, DuplicateRun
from vitrine.services.category.changes.entries import Record
from vitrine.services.domain import Hit
from vitrine.services.runtime import Runtime

router = new_router("duplicates", "/v1/categories/{category}/duplicates")


@router.get("", dependencies=[READ, Depends(no_other_parameters())])
def show_duplicates(category: str, runtime: RuntimeDep) -> DuplicatesOut:
    """Return the search for near-duplicates that is in service, counted. 404 ``not_found`` before the first
    search."""
    run = _run(runtime, category)
    kinds = Counter(member.kind for group in run.groups for member in group.members[1:])
    return DuplicatesOut(
        run=run.key,
        using=run.using,
        images=run.images,
        groups=len(run.groups),
        copies=kinds.total(),
        kinds=dict(kinds.most_common()),
        dismissed=len(runtime.duplicates.dismissed(category)),
        parameters=dict(run.parameters),
        created_at=run.created_at,
    )


@router.get(
    "/groups",
    responses={200: {"model": DuplicateGroupsOut}},
    dependencies=[READ, Depends(no_other_parameters("kind", "limit", "offset"))],
)
def list_duplicate_groups(
    category: str,
    runtime: RuntimeDep,
    kind: Annotated[
        list[Kind] | None,
        Query(description="Only groups with a copy of this verdict; again: or of this one."),
    ] = None,
    limit: LimitParameter = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """List the groups, the largest of the search first, with what is known of their images."""
    run = _run(runtime, category)
    wanted = set(kind or ())
    groups = [g for g in run.groups if not wanted or any(m.kind in wanted for m in g.members[1:])]
    page = groups[offset : offset + limit]
    return Json({"groups": _shown(runtime, category, run, page), "total": len(groups)})


@router.get(
    "/groups/{group}",
    responses={200: {"model": DuplicateGroupOut}},
    dependencies=[READ, Depends(no_other_parameters())],
)
def show_duplicate_group(category: str, group: str, runtime: RuntimeDep) -> Response:
    """Return one group with what is known of its images. 404 ``not_found``."""
    run = _run(runtime, category)
    return Json(_shown(runtime, category, run, [run.group(group)])[0])


@router.post(
    "/decisions",
    responses={200: {"model": DecisionOut}},
    openapi_extra=body_of(DecisionBody),
    dependencies=[WRITE],
)
def decide_duplicates(
    category: str, runtime: RuntimeDep, body: Annotated[DecisionBody, Depends(json_body(DecisionBody))]
) -> DecisionOut:
    """Keep an image of a group, dismiss groups, or merge copies into the image that is kept.

    Deleted copies wait in the bin for 24 hours; the token in the answer takes all of a decision back. A group
    that is gone is 404 ``not_found``, and nothing was changed then.
    """
    run = _run(runtime, category)
    groups = [run.group(group) for group in body.groups]  # all are there, or nothing is done
    record = runtime.editor.record(category)
    if body.action == "merge":
        return _merged(runtime, category, body, run, record)
    if body.action == "keep":
        keep(runtime, category, body.groups[0], str(body.keep), record=record)
        return _decided(body, body.groups, record)
    pairs = sum(dismiss(runtime, category, group.id, body.ids, record=record) for group in groups)
    return _decided(body, body.groups, record, pairs=pairs)


def _merged(
    runtime: Runtime, category: str, body: DecisionBody, run: DuplicateRun, record: Record
) -> DecisionOut:
    check_rule(run, category)
    found = named(runtime, category, body.groups[0], body.ids, body.keep) if body.ids else None
    if body.keep is not None:
        keep(runtime, category, body.groups[0], body.keep, record=record)
    found = found or deletable(runtime, category, body.groups, body.kinds)
    done = Deleted(images=sum(map(len, found.takes.values())))
    if not body.dry_run:
        done = delete(runtime, category, found.takes, record=record)
    return _decided(
        body, list(found.takes), record, deleted=done.images, merged=done.merged, richer=list(found.richer)
    )


def _decided(body: DecisionBody, groups: Sequence[str], record: Record, **counts: Any) -> DecisionOut:
    return DecisionOut(
        action=body.action, dry_run=body.dry_run, groups=list(groups), undo=UndoOut.of(record.undo), **counts
    )


def _run(runtime: Runtime, category: str) -> DuplicateRun:
    runtime.catalog.get(category)  # an unknown category is told from one that was never looked through
    return runtime.duplicates.get(category)


def _shown(
    runtime: Runtime, category: str, run: DuplicateRun, groups: Sequence[DuplicateGroup]
) -> list[dict[str, Any]]:
    ids = [id for group in groups for id in group.ids]
    hits = {hit.id: hit for hit in runtime.vectors.retrieve(category, ids) if hit is not None} if ids else {}
    return [_shown_group(category, run, group, hits) for group in groups]


def _shown_group(
    category: str, run: DuplicateRun, group: DuplicateGroup, hits: Mapping[str, Hit]
) -> dict[str, Any]:
    tree = group_json(group)
    for member in tree["members"]:
        hit = hits.get(member["id"])
        member |= {
            "payload": None if hit is None else shown_payload(hit),
            "urls": image_urls(category, member["id"]),
        }
    return {**tree, "reason": _reason(run, group, hits)}


def _reason(run: DuplicateRun, group: DuplicateGroup, hits: Mapping[str, Hit]) -> str | None:
    """Return what put the image to keep before the others; None where a person did, or they changed since."""
    about = {m.id: {**hits[m.id].payload, "grey": m.grey} for m in group.members if m.id in hits}
    policy = run.parameters["policy"]
    if group.chosen or len(about) < 2 or keep_first(about, policy)[0] != group.keep:
        return None
    return reason(about, policy)
