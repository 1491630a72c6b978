"""Images: list, add, read, change, delete."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, get_args

from fastapi import Depends, Query
from starlette.responses import Response

from vitrine.api.auth import READ, WRITE
from vitrine.api.bodies import SentForm, read_form
from vitrine.api.deps import (
    CursorParameter,
    FieldsParameter,
    LimitParameter,
    MetricsDep,
    RuntimeDep,
    conditions_except,
    field_names,
)
from vitrine.api.openapi import BINARY, COLUMNS, FILTERS, TEXT, TEXTS, body_of
from vitrine.api.responses import hit_json, image_urls
from vitrine.api.route import MAX_FILES, Json, json_body, parse_json
from vitrine.api.route import router as new_router
from vitrine.api.routes.search import Listing, listing_response
from vitrine.api.schemas.changes import ChangedOut, DeletedOut
from vitrine.api.schemas.images import ImageOut, KnownBody, KnownOut, UploadItem, UploadOut
from vitrine.api.schemas.search import SearchOut
from vitrine.indexer.ingest.upload import Upload, index_uploads
from vitrine.indexer.job.report import ItemOutcome, NearDuplicates
from vitrine.services.category.changes.entries import undo_json
from vitrine.services.category.editor import ImageChanges
from vitrine.services.category.fields import SAID
from vitrine.services.category.filters import Conditions
from vitrine.services.category.payload import unindexed_notes
from vitrine.services.domain import IndexKind, OrderBy
from vitrine.services.errors import REFUSALS, BadRequest, ImageRefused, NotFound, UrlsOff
from vitrine.services.images.open import point_id

router = new_router("images", "/v1/categories/{category}/images")
_FILE_FIELDS = ("file", "files")
_MAX_URLS = 100
_TEXT_FIELDS = ("urls", "tags", *SAID, "metadata", "columns", "near_duplicates")
_OWN_PARAMETERS = ("limit", "cursor", "order_by", "descending", "random", "with_vectors", "fields", "total")
_FORM: dict[str, Any] = {
    "files": {"type": "array", "items": BINARY, "maxItems": MAX_FILES},
    "urls": {
        **TEXTS,
        "maxItems": _MAX_URLS,
        "description": "Once for each picture that the server is to download, or a JSON list.",
    },
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
    fields: FieldsParameter = None,
    total: Annotated[bool, Query(description="Say how many images meet the conditions.")] = False,
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
    listing = Listing(
        conditions, order, random, limit, cursor, with_vectors, fields=field_names(fields), total=total
    )
    return listing_response(runtime, category, listing)


@router.post(
    "",
    status_code=201,
    responses={200: {"model": UploadOut, "description": "Nothing new: all were known."}},
    openapi_extra=body_of(form=_FORM, about="`files`, `urls`, or both."),
    dependencies=[WRITE],
)
def add_images(
    category: str,
    response: Response,
    runtime: RuntimeDep,
    metrics: MetricsDep,
    form: Annotated[SentForm, Depends(read_form)],
) -> UploadOut:
    """Index one or many files (``files`` or ``file``), or pictures that the server downloads (``urls``), with
    tags, class, caption and metadata for all of them. 403 ``urls_off`` where it does not.

    201 if any was added; 200 if none was, but some were known, updated or near-duplicates. If every file is
    refused, the answer is an error with the reason as its ``code``: 415 ``unsupported_format``, else 422;
    ``image_refused`` where reasons differ. ``details.items`` then holds the outcomes.
    """
    runtime.catalog.get(category)
    uploads = _uploads(form, runtime.settings.urls_over_http)
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


@router.post(
    "/known",
    responses={200: {"model": KnownOut}},
    openapi_extra=body_of(KnownBody),
    dependencies=[READ],
)
def known_images(
    category: str, runtime: RuntimeDep, body: Annotated[KnownBody, Depends(json_body(KnownBody))]
) -> Response:
    """Say which files the category holds, by the SHA-256 of their bytes, so that an upload that was cut off
    goes on with the others. Images in the bin are not held."""
    name = runtime.catalog.get(category).name
    ids = [point_id(sha256) for sha256 in body.sha256]
    hits = runtime.vectors.retrieve(name, ids, with_payload=False) if ids else []
    return Json({"known": {sha256: hit.id for sha256, hit in zip(body.sha256, hits, strict=True) if hit}})


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
    edited = runtime.editor.change(category, [id], body)
    notes = unindexed_notes(body.metadata, runtime.catalog.get(category).indexes)
    return Json({**hit_json(category, edited.hits[0]), "undo": undo_json(edited.undo), "notes": notes})


@router.delete("/{id}", responses={200: {"model": DeletedOut}}, dependencies=[WRITE])
def delete_image(
    category: str,
    id: str,
    runtime: RuntimeDep,
    for_good: Annotated[bool, Query(description="true: not into the bin, the file goes at once.")] = False,
) -> Response:
    """Put an image into the bin, where it waits for 24 hours. 404 ``not_found``."""
    editor = runtime.editor
    outcome = None if for_good else editor.delete(category, [id])
    if not (editor.remove(category, [id]) if outcome is None else outcome.changed):
        raise NotFound(f"There is no image {id} in category {category!r}.", category=category, id=id)
    return Json({"deleted": 1, "undo": undo_json(outcome.undo if outcome else None)})


def _uploads(form: SentForm, urls_taken: bool) -> list[Upload]:
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
    urls = _texts("urls", form.fields.get("urls", ()))
    if urls and not urls_taken:
        raise UrlsOff("This server downloads nothing: send the pictures themselves in the field 'files'.")
    if len(urls) > _MAX_URLS:
        raise BadRequest(f"The form names {len(urls)} URLs: at most {_MAX_URLS} at once.", field="urls")
    if not form.files and not urls:
        raise BadRequest(
            "The form has no file: send the pictures in the field 'files', each with its filename."
        )
    tags, metadata = _texts("tags", form.fields.get("tags", ())), _metadata(form.one("metadata"))
    fields = {name: form.one(name) for name in SAID}
    sent = [Upload(file.filename, file.data, tags, fields, metadata) for file in form.files]
    return [*sent, *(Upload("", b"", tags, fields, metadata, url) for url in urls)]


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


def _texts(field: str, values: Sequence[str]) -> list[str]:
    """Return the texts of a field that is there once for each, or once with a JSON list."""
    if len(values) != 1 or not values[0].lstrip().startswith("["):
        return list(values)
    texts = parse_json(values[0], f"form field {field!r}")
    if not all(isinstance(text, str) for text in texts):
        raise BadRequest(f"The form field {field!r} is not a list of texts.", field=field)
    return list(texts)


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
