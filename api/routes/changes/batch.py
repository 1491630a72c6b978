"""Changes of many images at once, undoing, and the bin of deleted images."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query
from starlette.responses import Response

from vitrine.api.auth import READ, WRITE
from vitrine.api.deps import LimitParameter, RuntimeDep
from vitrine.api.openapi import body_of
from vitrine.api.responses import hit_json
from vitrine.api.route import Json, json_body
from vitrine.api.route import router as new_router
from vitrine.api.routes.search import found_ids
from vitrine.api.schemas.changes import (
    BatchBody,
    BatchOut,
    BinOut,
    EmptiedOut,
    UndoneOut,
)
from vitrine.services.category.changes.entries import undo_json
from vitrine.services.category.changes.outcomes import Outcome
from vitrine.services.category.payload import unindexed_notes
from vitrine.services.runtime import Runtime

router = new_router("changes", "/v1")


@router.post(
    "/categories/{category}/images/batch",
    responses={200: {"model": BatchOut}},
    openapi_extra=body_of(BatchBody),
    dependencies=[WRITE],
)
def change_images(
    category: str, runtime: RuntimeDep, body: Annotated[BatchBody, Depends(json_body(BatchBody))]
) -> Response:
    """Change, delete or restore many images, by their ids or all of a query. Deleted images wait in the bin
    for 24 hours.

    Ids of no image are ``missing``; the others are changed nonetheless. A query is answered first, then its
    images are changed a thousand at a time; the same request again completes one that was interrupted. Errors
    are those of a search and of a single change.
    """
    ids = list(dict.fromkeys(body.ids or ())) if body.query is None else []
    if body.query is not None:
        ids = found_ids(runtime, category, body.query)
    outcome, notes = _done(runtime, category, body, ids)
    return Json(
        {
            "action": body.action,
            "matched": outcome.matched,
            "changed": outcome.changed,
            "unchanged": outcome.unchanged,
            "missing": outcome.missing,
            "undo": undo_json(outcome.undo),
            "notes": notes,
        }
    )


@router.post("/undo/{token}", responses={200: {"model": UndoneOut}}, dependencies=[WRITE])
def undo(token: str, runtime: RuntimeDep) -> Response:
    """Take back what was done under a token: only what is still as it was left then, per field and per tag.

    The answer's own token takes this back in turn. 404 ``not_found`` if the token was used, or is older than
    24 hours.
    """
    done = runtime.editor.undo(token)
    return Json({"undone": done.undone, "kept": done.kept, "undo": undo_json(done.undo)})


@router.get("/categories/{category}/bin", responses={200: {"model": BinOut}}, dependencies=[READ])
def list_bin(
    category: str,
    runtime: RuntimeDep,
    limit: LimitParameter = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """List the images that were deleted in the last 24 hours and not restored, latest first.

    ``POST .../images/batch`` with the action restore brings them back.
    """
    runtime.catalog.get(category)
    page = runtime.editor.bin.images(category, limit=limit, offset=offset)
    images = [
        {
            name: value
            for name, value in (hit_json(category, each.hit) | {"deleted_at": each.deleted_at}).items()
            if name != "similarity"
        }
        for each in page.images
    ]
    return Json({"images": images, "total": page.total})


@router.delete("/categories/{category}/bin", dependencies=[WRITE])
def empty_bin(category: str, runtime: RuntimeDep) -> EmptiedOut:
    """Remove what is in the bin for good, with the pictures. Nothing brings it back."""
    return EmptiedOut(removed=runtime.editor.empty_bin(category))


def _done(runtime: Runtime, category: str, body: BatchBody, ids: list[str]) -> tuple[Outcome, list[str]]:
    """Return what became of the images, and what else to know."""
    editor = runtime.editor
    if body.changes is not None:
        outcome = editor.change_found(category, ids, body.changes)
        return outcome, unindexed_notes(body.changes.metadata, runtime.catalog.get(category).indexes)
    if body.action == "delete":
        return editor.delete(category, ids), []
    outcome = editor.restore(category, ids)
    there = f"{outcome.unchanged} are in the category already, and were left as they are."
    return outcome, [there] if outcome.unchanged else []
