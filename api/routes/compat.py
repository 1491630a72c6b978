"""The routes of the service that Vitrine replaces, for clients that still call them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import RedirectResponse, Response

from api.auth import require
from api.deps import RuntimeDep
from api.responses import as_json, image_urls
from api.tagger_schemas import OldImageOut
from services.conditions import Conditions, NumberRange
from services.domain import Hit, OrderBy
from services.errors import BadRequest, NotFound, UnknownField
from services.field_names import find_member
from services.payload import composed
from services.runtime import Runtime
from services.tagging import QUALITY
from services.vector_store.base import MAX_LIMIT

router = APIRouter(tags=["compatibility"], dependencies=[Depends(require("read"))], deprecated=True)
CategoryParameter = Annotated[
    str | None, Query(max_length=200, description="May be left out where there is exactly one category.")
]
ModelParameter = Annotated[str, Query(min_length=1, max_length=200, description="A tagger's tag, or another tag with scores.")]
Bound = Annotated[float | None, Query(ge=0, le=1)]


@router.get("/get_models", responses={200: {"model": list[str]}}, response_class=Response)
def get_models(runtime: RuntimeDep, category: CategoryParameter = None) -> Response:
    """The names of the taggers. Now: `GET /v1/categories/{category}/taggers`."""
    return as_json([head.tag for head in runtime.taggers.in_service(_category(runtime, category))])


@router.get("/get_images_in_tag_score_range", responses={200: {"model": list[OldImageOut]}}, response_class=Response)
def get_images_in_tag_score_range(
    runtime: RuntimeDep,
    model_name: ModelParameter,
    score_gte: Bound = None,
    score_lte: Bound = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 100,
    category: CategoryParameter = None,
) -> Response:
    """Images with a score in the range, bounds included; highest first. Now: `GET /v1/categories/{category}/images` with
    `score.<tag>.gte`, `score.<tag>.lte`, `order_by=scores.<tag>` and `descending=true`."""
    name = _category(runtime, category)
    field = _scored_field(runtime, name, model_name)
    conditions = _in_range(model_name, score_gte, score_lte)
    page = runtime.searcher.listing(name, conditions, order_by=OrderBy(field, descending=True), limit=limit)
    return as_json([_image_json(name, hit, model_name) for hit in page.hits])


@router.get(
    "/get_random_img",
    responses={200: {"model": OldImageOut}, 307: {"description": "The file, if `redirect` asks for it."}},
    response_class=Response,
)
def get_random_img(
    runtime: RuntimeDep,
    model_name: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    score_gte: Bound = None,
    score_lte: Bound = None,
    category: CategoryParameter = None,
    redirect: Annotated[bool, Query(description="307 to the picture itself instead of its JSON.")] = False,
) -> Response:
    """One image at random, of all or of those with a score in the range. Now: `GET /v1/categories/{category}/images` with
    `random=true` and `limit=1`. 404 ``not_found`` if there is none."""
    name = _category(runtime, category)
    if model_name is None and (score_gte is not None or score_lte is not None):
        raise BadRequest("score_gte and score_lte go with model_name: say whose scores are meant.")
    if model_name is not None:
        _scored_field(runtime, name, model_name)
    conditions = Conditions() if model_name is None else _in_range(model_name, score_gte, score_lte)
    hits = runtime.searcher.random(name, conditions, limit=1)
    if not hits:
        raise NotFound(f"No image of category {name!r} is in this range: widen it.", category=name)
    tree = _image_json(name, hits[0], model_name)
    headers = {"Cache-Control": "no-store"}  # the next one is another
    return RedirectResponse(tree["url"], headers=headers) if redirect else as_json(tree, headers=headers)


def _category(runtime: Runtime, name: str | None) -> str:
    if name is not None:
        return runtime.catalog.get(name).name
    names = [category.name for category in runtime.catalog.list()]
    if len(names) != 1:
        known = ", ".join(names) or "none yet"
        raise BadRequest(f"Say which category is meant with category=; there are: {known}.", categories=names)
    return names[0]


def _scored_field(runtime: Runtime, category: str, tag: str) -> str:
    """The field with the scores of a tag. ``NotFound`` without such a tagger, ``UnknownField`` before anything is scored."""
    indexes = runtime.catalog.get(category).indexes
    field = QUALITY if tag == QUALITY else find_member("scores", tag, indexes)
    if field not in indexes:
        runtime.taggers.get(category, tag)
        raise UnknownField(f"No image has a score of {tag!r} yet: `vitrine tagger score -c {category}` writes them.", field=field)
    return field


def _in_range(tag: str, gte: float | None, lte: float | None) -> Conditions:
    span = NumberRange(gte=0 if gte is None else gte, lte=1 if lte is None else lte)
    return Conditions(quality=span) if tag == QUALITY else Conditions(scores={tag: span})


def _image_json(category: str, hit: Hit, tag: str | None) -> dict[str, Any]:
    """``OldImageOut``."""
    payload, urls = hit.payload, image_urls(category, hit.id)
    score = None if tag is None else payload.get(QUALITY) if tag == QUALITY else payload.get("scores", {}).get(composed(tag))
    return {
        "id": hit.id,
        "category": category,
        "filename": payload.get("filename"),
        "model_name": tag,
        "score": score,
        "url": urls["file"],
        "thumbnail_url": urls["thumbnail"],
        "width": payload.get("width"),
        "height": payload.get("height"),
        "tags": payload.get("tags", []),
    }
