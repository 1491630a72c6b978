"""Searches that people gave a name."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.responses import Response

from vitrine.api.auth import READ, WRITE
from vitrine.api.deps import RuntimeDep
from vitrine.api.openapi import body_of
from vitrine.api.route import Json, json_body
from vitrine.api.route import router as new_router
from vitrine.api.schemas.saved import SavedBody, SavedListOut, SavedOut

router = new_router("saved searches", "/v1/categories/{category}/saved")


@router.get("", responses={200: {"model": SavedListOut}}, dependencies=[READ])
def list_saved(category: str, runtime: RuntimeDep) -> Response:
    """List the saved searches of a category, by name."""
    return Json({"saved": runtime.saved.all(category)})


@router.put(
    "/{name:path}",
    responses={200: {"model": SavedOut}},
    openapi_extra=body_of(SavedBody),
    dependencies=[WRITE],
)
def save_search(
    category: str, name: str, runtime: RuntimeDep, body: Annotated[SavedBody, Depends(json_body(SavedBody))]
) -> Response:
    """Save a search under a name, in place of the one that has it. 422 ``bad_request`` for what is no search,
    for one of over 64 KB, and for the 1,001st."""
    query = body.query.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return Json(runtime.saved.put(category, name, query, body.view))


@router.delete("/{name:path}", status_code=204, dependencies=[WRITE])
def delete_saved(category: str, name: str, runtime: RuntimeDep) -> Response:
    """Delete a saved search. 404 ``not_found``."""
    runtime.saved.delete(category, name)
    return Response(status_code=204)
