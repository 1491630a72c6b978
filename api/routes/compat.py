"""The routes of the systems that Vitrine replaces, under the names and with the answers that their clients
know."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from vitrine.api.bodies import read_picture
from vitrine.api.deps import LimitParameter, MetricsDep, RuntimeDep
from vitrine.api.metrics import Metrics
from vitrine.api.openapi import PICTURE
from vitrine.api.responses import image_urls, shown_similarity
from vitrine.api.route import Json
from vitrine.api.route import router as new_router
from vitrine.api.schemas.findings.taggers import OldHealthOut, OldHitOut, OldImageOut, OldModelOut
from vitrine.services.category.field_names import find_member
from vitrine.services.category.fields import QUALITY
from vitrine.services.category.filters import Conditions, NumberRange
from vitrine.services.domain import Hit, OrderBy
from vitrine.services.errors import BadRequest, NotFound, UnknownField
from vitrine.services.runtime import Runtime
from vitrine.services.search.options import SearchOptions, SearchResult
from vitrine.services.search.questions import ByImage
from vitrine.services.values.field_paths import path_keys
from vitrine.services.values.words import composed

router = new_router("compatibility", access="read", deprecated=True)
open_router = new_router("compatibility", deprecated=True)
"""What monitors ask, which have no key."""
CategoryParameter = Annotated[
    str | None, Query(max_length=200, description="May be left out where there is exactly one category.")
]
MODEL_NAME = (
    "A name of `/get_models`, such as `model-ovr-logistic-regression-tag-outdoors`, or the tag alone."
)
ModelParameter = Annotated[str, Query(min_length=1, max_length=300, description=MODEL_NAME)]
Bound = Annotated[float | None, Query(ge=0, le=1)]
MODEL_TYPES = {
    "logistic-regression": "torch-logistic-regression",
    "sklearn-logistic-regression": "ovr-logistic-regression",
    "converted-logistic-regression": "ovr-logistic-regression",
    "converted-linear-svm": "ovr-svm",
}
"""What the pipeline of taggers called the kinds of its models; ours that it did not have keep their name."""
_SCORED = "scores"
"""The model type of scores that no tagger here gave: they came with the images."""
_TAG = "-tag-"


@router.get("/get_models")
def get_models(runtime: RuntimeDep, category: CategoryParameter = None) -> dict[str, OldModelOut]:
    """Return the tags that images have scores of, by the model's name: taggers, and scores that came with the
    images. Now: `GET /v1/categories/{category}/taggers`."""
    return _models(runtime, _category(runtime, category))


@router.get("/get_images_in_tag_score_range", responses={200: {"model": list[OldImageOut]}})
def get_images_in_tag_score_range(
    runtime: RuntimeDep,
    model_name: ModelParameter,
    score_gte: Bound = None,
    score_lte: Bound = None,
    limit: LimitParameter = 100,
    category: CategoryParameter = None,
) -> Response:
    """Images with a score in the range, bounds included; highest first. Now: `GET
    /v1/categories/{category}/images` with `score.<tag>.gte`, `score.<tag>.lte`, `order_by=scores.<tag>` and
    `descending=true`."""
    name = _category(runtime, category)
    tag = _tag(runtime, name, model_name)
    field = _scored_field(runtime, name, tag)
    page = runtime.searcher.listing(
        name, _in_range(tag, score_gte, score_lte), order_by=OrderBy(field, descending=True), limit=limit
    )
    return Json([_image_json(name, hit, model_name, tag) for hit in page.hits])


@router.get(
    "/get_random_img",
    responses={
        200: {"model": OldImageOut, "content": {"text/html": {"schema": {"type": "string"}}}},
        307: {"description": "The file, if `redirect` asks for it."},
    },
    response_class=Response,
)
def get_random_img(
    request: Request,
    runtime: RuntimeDep,
    model_name: Annotated[str | None, Query(min_length=1, max_length=300, description=MODEL_NAME)] = None,
    score_gte: Bound = None,
    score_lte: Bound = None,
    category: CategoryParameter = None,
    redirect: Annotated[bool, Query(description="307 to the picture itself.")] = False,
) -> Response:
    """Return a page that shows one image at random, of all or of those with a score in the range; as JSON
    where `Accept` is `application/json`. Now: `GET /v1/categories/{category}/images` with `random=true` and
    `limit=1`. 404 ``not_found`` if there is none."""
    name = _category(runtime, category)
    if model_name is None and (score_gte is not None or score_lte is not None):
        raise BadRequest("score_gte and score_lte go with model_name: say whose scores are meant.")
    tag = None if model_name is None else _tag(runtime, name, model_name)
    if tag is not None:
        _scored_field(runtime, name, tag)
    conditions = Conditions() if tag is None else _in_range(tag, score_gte, score_lte)
    hits = runtime.searcher.random(name, conditions, limit=1)
    if not hits:
        raise NotFound(f"No image of category {name!r} is in this range: widen it.", category=name)
    tree = _image_json(name, hits[0], model_name, tag)
    headers = {"Cache-Control": "no-store"}  # the next one is another
    if redirect:
        return RedirectResponse(tree["url"], headers=headers)
    wanted = request.headers.get("accept", "")
    if "application/json" in wanted and "text/html" not in wanted:
        return Json(tree, headers=headers)
    return HTMLResponse(_page(tree), headers=headers)


@router.post("/image_finder", response_model=dict[str, float], openapi_extra=PICTURE)
def image_finder(
    runtime: RuntimeDep,
    metrics: MetricsDep,
    picture: Annotated[bytes, Depends(read_picture)],
    top_k: LimitParameter = 5,
    category: CategoryParameter = None,
) -> Any:
    """Return the images most like the picture in `file`: similarity by id, best first. Now: `POST
    /v1/categories/{category}/search`."""
    found = _similar(runtime, metrics, _category(runtime, category), picture, top_k)
    return {hit.id: shown_similarity(hit) for hit in found.hits}


@router.post("/api/search/{category}", responses={200: {"model": list[OldHitOut]}}, openapi_extra=PICTURE)
def api_search(
    category: str,
    runtime: RuntimeDep,
    metrics: MetricsDep,
    picture: Annotated[bytes, Depends(read_picture)],
    limit: LimitParameter = 25,
) -> Response:
    """Return the images most like the picture in `file`, best first, with their class, file and label (the
    column `label` of their metadata). Now: `POST /v1/categories/{category}/search`."""
    found = _similar(runtime, metrics, category, picture, limit)
    return Json([_hit_json(category, hit) for hit in found.hits])


@open_router.get("/api/ping")
async def api_ping() -> dict[str, str]:
    """Say that the process answers; open without a key. Now: `GET /healthz`."""
    return {"msg": "pong"}


@open_router.get("/health")
async def health(runtime: RuntimeDep) -> OldHealthOut:
    """Say that the process answers, and with which version and default encoder; open without a key. Now: `GET
    /healthz`."""
    encoder = runtime.settings.encoder.partition("=")[0]
    return OldHealthOut(status="ok", name="Vitrine", api_version=version("vitrine"), model_version=encoder)


def _category(runtime: Runtime, name: str | None) -> str:
    if name is not None:
        return runtime.catalog.get(name).name
    names = [category.name for category in runtime.catalog.list()]
    if len(names) != 1:
        known = ", ".join(names) or "none yet"
        raise BadRequest(f"Say which category is meant with category=; there are: {known}.", categories=names)
    return names[0]


def _scored_field(runtime: Runtime, category: str, tag: str) -> str:
    """Return the field with the scores of a tag. ``NotFound`` without such a tagger, ``UnknownField`` before
    anything is scored."""
    indexes = runtime.catalog.get(category).indexes
    field = QUALITY if tag == QUALITY else find_member("scores", tag, indexes)
    if field not in indexes:
        runtime.taggers.get(category, tag)
        raise UnknownField(
            f"No image has a score of {tag!r} yet: `vitrine tagger score -c {category}` writes them.",
            field=field,
        )
    return field


def _in_range(tag: str, gte: float | None, lte: float | None) -> Conditions:
    span = NumberRange(gte=0 if gte is None else gte, lte=1 if lte is None else lte)
    return Conditions(quality=span) if tag == QUALITY else Conditions(scores={tag: span})


def _models(runtime: Runtime, category: str) -> dict[str, OldModelOut]:
    """Return ``OldModelOut`` by name, of every tag with scores or a tagger."""
    models = {}
    for head in runtime.taggers.in_service(category):
        at = datetime.fromisoformat(head.trained_at) if head.trained_at else None
        trained = at and at.strftime("%Y-%m-%d, %H:%M:%S")
        kind = MODEL_TYPES.get(head.kind, head.kind)
        models[head.tag] = OldModelOut(model_type=kind, train_start_time=trained, tag=head.tag)
    for field in runtime.catalog.get(category).indexes:
        if field.startswith("scores."):
            tag = path_keys(field)[1]
            models.setdefault(tag, OldModelOut(model_type=_SCORED, train_start_time=None, tag=tag))
    return {f"model-{model.model_type}{_TAG}{tag}": model for tag, model in sorted(models.items())}


def _tag(runtime: Runtime, category: str, model_name: str) -> str:
    """Return the tag of a model's name, whatever type that says, which may also be the tag itself."""
    model_name = composed(model_name)
    models = _models(runtime, category)
    if model_name in models:
        return models[model_name].tag
    tags = {model.tag for model in models.values()}
    called = model_name.partition(_TAG)[2]
    return (
        called
        if model_name not in tags and model_name.startswith("model-") and called in tags
        else model_name
    )


def _similar(runtime: Runtime, metrics: Metrics, category: str, picture: bytes, limit: int) -> SearchResult:
    found = runtime.searcher.search(category, ByImage(picture), SearchOptions(limit=limit))
    metrics.searched(found.encode_ms, found.search_ms)
    return found


def _hit_json(category: str, hit: Hit) -> dict[str, Any]:
    """Return a hit as ``OldHitOut``."""
    payload, urls = hit.payload, image_urls(category, hit.id)
    label = payload.get("metadata", {}).get("label")
    shown = {"class_": payload.get("class"), "file": payload.get("filename"), "label": label}
    return {"id": hit.id, "version": 0, "score": shown_similarity(hit), "payload": shown, "url": urls["file"]}


def _page(tree: dict[str, Any]) -> str:
    """Return a page of HTML that shows an image and what is known of it."""
    rows = {
        "File name": tree["filename"],
        "Image size": f"{tree['width']} x {tree['height']}",
        "Hash ID": tree["hash_id"],
        "Category": tree["category"],
        "Tags": ", ".join(tree["tags"]),
        "Model": tree["model_name"],
        "Score": tree["score"],
        "Request time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    shown = "".join(
        f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>"
        for name, value in rows.items()
        if value not in (None, "")
    )
    title, url = escape(str(tree["filename"])), escape(tree["url"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>body{{font-family:sans-serif}}th{{text-align:left}}img{{max-width:100%}}</style></head>"
        f'<body><table>{shown}</table><p><img src="{url}" alt="{title}"></p></body></html>'
    )


def _image_json(category: str, hit: Hit, model_name: str | None, tag: str | None) -> dict[str, Any]:
    """Return a hit as ``OldImageOut``."""
    payload, urls = hit.payload, image_urls(category, hit.id)
    score = (
        None
        if tag is None
        else payload.get(QUALITY)
        if tag == QUALITY
        else payload.get("scores", {}).get(tag)
    )
    name = payload.get("filename")
    return {
        "id": hit.id,
        "category": category,
        "hash_id": payload.get("sha256"),
        "filename": name,
        "file_name": name,
        "file_path": urls["file"],
        "file_type": PurePosixPath(name or "").suffix or None,
        "model_name": model_name,
        "tag": tag,
        "score": score,
        "url": urls["file"],
        "thumbnail_url": urls["thumbnail"],
        "width": payload.get("width"),
        "height": payload.get("height"),
        "tags": payload.get("tags", []),
    }
