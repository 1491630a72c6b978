"""Images: list, add, read, change, delete; and their bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args
from urllib.parse import quote

from fastapi import Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from vitrine.api.auth import READ, WRITE
from vitrine.api.bodies import SentForm, read_form
from vitrine.api.deps import (
    CursorParameter,
    LimitParameter,
    MetricsDep,
    RuntimeDep,
    ThumbnailsDep,
    conditions_except,
)
from vitrine.api.openapi import BINARY, COLUMNS, FILTERS, TEXT, TEXTS, body_of
from vitrine.api.responses import hit_json, image_urls
from vitrine.api.route import MAX_FILES, Json, json_body, parse_json
from vitrine.api.route import router as new_router
from vitrine.api.routes.search import Listing, listing_response
from vitrine.api.schemas.images import ChangedOut, ImageOut, UploadItem, UploadOut
from vitrine.api.schemas.search import SearchOut
from vitrine.indexer.ingest.upload import Upload, index_uploads
from vitrine.indexer.job.report import ItemOutcome, NearDuplicates
from vitrine.services.category.editor import ImageChanges
from vitrine.services.category.fields import SAID
from vitrine.services.category.filters import Conditions
from vitrine.services.category.payload import unindexed_notes
from vitrine.services.domain import Hit, IndexKind, OrderBy
from vitrine.services.errors import REFUSALS, BadRequest, ImageRefused, NotFound
from vitrine.services.images.open import thumbnail as make_thumbnail
from vitrine.services.runtime import Runtime

router = new_router("images", "/v1/categories/{category}/images")
_FILE_FIELDS = ("file", "files")
_TEXT_FIELDS = ("tags", *SAID, "metadata", "columns", "near_duplicates")
_CACHE = "private, max-age=31536000, immutable"
_PICTURES = frozenset(
    {"image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/tiff", "image/webp"}
)
_OWN_PARAMETERS = ("limit", "cursor", "order_by", "descending", "random", "with_vectors")
_FORM: dict[str, Any] = {
    "files": {"type": "array", "items": BINARY, "maxItems": MAX_FILES},
    "tags": {**TEXTS, "description": "Once for each tag, or a JSON list."},
    **{name: {**TEXT, "description": field.help} for name, field in SAID.items()},
    "metadata": {**TEXT, "description": "A JSON object: columns and their values."},
    "columns": COLUMNS,
    "near_duplicates": {
        **TEXT,
        "enum": list(get_args(NearDuplicates)),
        "default": "tell",
        "description": "tell: the answer names the image that a file is a copy of; skip: it is not added.",
    },
}


@router.get(
    "",
    responses={200: {"model": SearchOut}},
    openapi_extra={"parameters": [FILTERS]},
    dependencies=[READ],
)
def list_images(
    category: str,
    runtime: RuntimeDep,
    conditions: Annotated[Conditions, Depends(conditions_except(*_OWN_PARAMETERS))],
    limit: LimitParameter = 50,
    cursor: CursorParameter = None,
    order_by: Annotated[str | None, Query(max_length=300, description="An indexed number or date.")] = None,
    descending: bool = False,
    random: Annotated[bool, Query(description="A random sample instead of a page.")] = False,
    with_vectors: bool = False,
) -> Response:
    """List images that meet the conditions, page by page: by id, or ordered by a field. Every image that
    stays is seen once.

    422 ``unknown_field`` for a field without an index, ``bad_request`` for a malformed condition or cursor.
    """
    if random and (order_by is not None or cursor is not None or with_vectors):
        raise BadRequest("A random sample has no order_by, cursor or with_vectors.")
    if descending and order_by is None:
        raise BadRequest("descending goes with order_by: name a field.")
    order = OrderBy(order_by, descending) if order_by is not None else None
    return listing_response(
        runtime, category, Listing(conditions, order, random, limit, cursor, with_vectors)
    )


@router.post(
    "",
    status_code=201,
    responses={200: {"model": UploadOut, "description": "Nothing new: all were known."}},
    openapi_extra=body_of(form=_FORM, needs=["files"]),
    dependencies=[WRITE],
)
def add_images(
    category: str,
    response: Response,
    runtime: RuntimeDep,
    metrics: MetricsDep,
    form: Annotated[SentForm, Depends(read_form)],
) -> UploadOut:
    """Index one or many files (``files`` or ``file``), with tags, class, caption and metadata for all of
    them.

    201 if any was added; 200 if none was, but some were known, updated or near-duplicates. If every file is
    refused, the answer is an error with the reason as its ``code``: 415 ``unsupported_format``, else 422;
    ``image_refused`` where reasons differ. ``details.items`` then holds the outcomes.
    """
    runtime.catalog.get(category)
    uploads = _uploads(form)
    outcomes = index_uploads(
        runtime,
        category,
        uploads,
        near_duplicates=_near_duplicates(form),
        kinds=_kinds(form, uploads[0].metadata),
    )
    for outcome in outcomes:
        metrics.uploaded(outcome.outcome)
    items = [_item(category, outcome) for outcome in outcomes]
    counts: Counter[str] = Counter(outcome.outcome for outcome in outcomes)
    if counts["refused"] == len(outcomes):
        raise _all_refused(outcomes, items)
    notes = unindexed_notes(uploads[0].metadata, runtime.catalog.get(category).indexes)
    response.status_code = 201 if counts["added"] else 200
    return UploadOut(items=items, counts=dict(counts), notes=notes)


@router.get("/{id}", responses={200: {"model": ImageOut}}, dependencies=[READ])
def get_image(category: str, id: str, runtime: RuntimeDep, with_vectors: bool = False) -> Response:
    """Return one image and what is known of it. 404 ``not_found``."""
    return Json(hit_json(category, runtime.searcher.image(category, id, with_vectors=with_vectors)))


@router.patch(
    "/{id}",
    responses={200: {"model": ChangedOut}},
    openapi_extra=body_of(ImageChanges),
    dependencies=[WRITE],
)
def change_image(
    category: str,
    id: str,
    runtime: RuntimeDep,
    body: Annotated[ImageChanges, Depends(json_body(ImageChanges))],
) -> Response:
    """Change tags, class, caption, quality or metadata; the image as it is now. 404 ``not_found``, 422
    ``bad_request``."""
    changed = hit_json(category, runtime.editor.change(category, [id], body)[0])
    notes = unindexed_notes(body.metadata, runtime.catalog.get(category).indexes)
    return Json({**changed, "notes": notes})


@router.delete("/{id}", status_code=204, dependencies=[WRITE])
def delete_image(category: str, id: str, runtime: RuntimeDep) -> Response:
    """Delete an image and its file. 404 ``not_found``."""
    if not runtime.editor.delete(category, [id]):
        raise NotFound(f"There is no image {id} in category {category!r}.", category=category, id=id)
    return Response(status_code=204)


@router.get(
    "/{id}/file",
    responses={
        200: {"content": {"image/*": {}}},
        304: {"description": "Not changed."},
        307: {"description": "A presigned URL."},
    },
    response_class=Response,
    dependencies=[READ],
)
def image_file(
    category: str,
    id: str,
    request: Request,
    runtime: RuntimeDep,
    redirect: Annotated[
        bool, Query(description="307 to a presigned URL of 15 minutes, where the object store has one.")
    ] = False,
) -> Response:
    """Return the file as it was indexed. Its ETag is its SHA-256, so it never changes; 304 if
    ``If-None-Match`` names it."""
    hit = runtime.searcher.image(category, id)
    if redirect and (url := runtime.objects.url(hit.payload["object_key"])):
        return RedirectResponse(url, headers={"Cache-Control": "no-store"})
    etag = f'"{hit.payload["sha256"]}"'
    if _unchanged(request, etag):
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": _CACHE})
    media_type = hit.payload.get("media_type")
    return _picture(
        _bytes_of(runtime, hit), media_type, etag, _disposition(str(hit.payload.get("filename") or hit.id))
    )


@router.get(
    "/{id}/thumbnail",
    responses={200: {"content": {"image/jpeg": {}}}, 304: {"description": "Not changed."}},
    response_class=Response,
    dependencies=[READ],
)
def image_thumbnail(
    category: str,
    id: str,
    request: Request,
    runtime: RuntimeDep,
    thumbnails: ThumbnailsDep,
    w: Annotated[
        int, Query(ge=16, le=1024, description="Width in pixels; never enlarged, at most four times as high.")
    ] = 256,
) -> Response:
    """Return a small upright version, made when first asked for and kept in memory for a while."""
    hit = runtime.searcher.image(category, id)
    sha256 = hit.payload["sha256"]
    etag = f'"{sha256}-w{w}"'
    if _unchanged(request, etag):
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": _CACHE})
    made = thumbnails.get(sha256, w)
    if made is None:
        made = make_thumbnail(_bytes_of(runtime, hit), w, limits=runtime.limits, budget=runtime.budget)
        thumbnails.put(sha256, w, made)
    return _picture(*made, etag, "inline")


def _uploads(form: SentForm) -> list[Upload]:
    if text := next((name for name in form.fields if name in _FILE_FIELDS), None):
        raise BadRequest(
            f"The form field {text!r} is text, not a file: send the picture itself (curl -F {text}=@FILE).",
            field=text,
        )
    unknown = [name for name in form.fields if name not in _TEXT_FIELDS]
    unknown += [file.field for file in form.files if file.field not in _FILE_FIELDS]
    if unknown:
        raise BadRequest(
            f"{unknown[0][:80]!r} is not a field of an upload: use files, {', '.join(_TEXT_FIELDS)}."
        )
    if not form.files:
        raise BadRequest(
            "The form has no file: send the pictures in the field 'files', each with its filename."
        )
    tags, metadata = _tags(form.fields.get("tags", ())), _metadata(form.one("metadata"))
    fields = {name: form.one(name) for name in SAID}
    return [Upload(file.filename, file.data, tags, fields, metadata) for file in form.files]


def _kinds(form: SentForm, metadata: Mapping[str, Any]) -> dict[str, IndexKind]:
    kinds = form.kinds
    if other := next((column for column in kinds if column not in metadata), None):
        raise BadRequest(
            f"The form field 'columns' names {other!r}, which is not in 'metadata'.", field="columns"
        )
    return kinds


def _near_duplicates(form: SentForm) -> NearDuplicates:
    said = form.one("near_duplicates") or "tell"
    for word in get_args(NearDuplicates):
        if said == word:
            return word  # type: ignore[no-any-return]
    raise BadRequest(f"near_duplicates is one of {', '.join(get_args(NearDuplicates))}, not {said[:80]!r}.")


def _tags(values: Sequence[str]) -> list[str]:
    if len(values) != 1 or not values[0].lstrip().startswith("["):
        return list(values)
    tags = parse_json(values[0], "form field 'tags'")
    if not all(isinstance(tag, str) for tag in tags):
        raise BadRequest("The form field 'tags' is not a list of texts.", field="tags")
    return list(tags)


def _metadata(text: str | None) -> dict[str, Any]:
    tree = {} if text is None else parse_json(text, "form field 'metadata'")
    if not isinstance(tree, dict):
        raise BadRequest("The form field 'metadata' is not a JSON object.", field="metadata")
    return tree


def _item(category: str, outcome: ItemOutcome) -> UploadItem:
    near = outcome.near and {**vars(outcome.near), "urls": image_urls(category, outcome.near.id)}
    return UploadItem.model_validate(
        {
            **vars(outcome),
            "urls": image_urls(category, outcome.id) if outcome.id else None,
            "near_duplicate_of": near,
            "conflicts": [conflict.to_json() for conflict in outcome.conflicts],
        }
    )


def _all_refused(outcomes: Sequence[ItemOutcome], items: Sequence[UploadItem]) -> ImageRefused:
    trees = [item.model_dump() for item in items]
    first = outcomes[0]
    if len(outcomes) == 1:
        return ImageRefused(
            first.reason or "image_refused", first.message or "The file was refused.", items=trees
        )
    reasons = {outcome.reason for outcome in outcomes}
    words = REFUSALS.get(first.reason or "", "") if len(reasons) == 1 else "for different reasons"
    reason = (first.reason or "image_refused") if len(reasons) == 1 else "image_refused"
    return ImageRefused(reason, f"All {len(outcomes)} files were refused: {words}.", items=trees)


def _bytes_of(runtime: Runtime, hit: Hit) -> bytes:
    try:
        return runtime.objects.get(hit.payload["object_key"])
    except NotFound:  # without the object's key
        raise NotFound(
            f"The file of image {hit.id} is gone from the object store: index it again.", id=hit.id
        ) from None


def _unchanged(request: Request, etag: str) -> bool:
    asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in asked or "*" in asked


def _picture(data: bytes, media_type: object, etag: str, disposition: str) -> Response:
    """Return a response that a browser may show as a picture and as nothing else."""
    headers = {
        "ETag": etag,
        "Cache-Control": _CACHE,
        "Content-Disposition": disposition,
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    kind = str(media_type) if media_type in _PICTURES else "application/octet-stream"
    return Response(data, headers=headers, media_type=kind)


def _disposition(filename: str) -> str:
    """Return the Content-Disposition header (RFC 6266): a plain name for old clients, and the whole one in
    UTF-8."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%;' else "_" for c in filename)
    return (
        f'inline; filename="{plain}"; '
        f"filename*=UTF-8''{quote(filename.encode('utf-8', 'replace'), safe='')}"
    )
