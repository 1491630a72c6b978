"""Search: by text, picture, id, vector or examples; or a listing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from vitrine.api.bodies import SentForm, decoded_image, read_form
from vitrine.api.metrics import Metrics
from vitrine.api.openapi import BINARY, TEXT, body_of
from vitrine.api.responses import encoder_json, hits_json
from vitrine.api.route import MULTIPART, Json, LimitedRequest, direct_route, media_type, parse_json
from vitrine.api.route import router as new_router
from vitrine.api.schemas.search import SearchBody, SearchesBody, SearchesOut, SearchOut
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Hit, OrderBy
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime
from vitrine.services.search.batch import Ask, search_all
from vitrine.services.search.searcher import SearchOptions, SearchResult
from vitrine.services.validation import validated

router = new_router("search", "/v1/categories/{category}", "read", route_class=direct_route("read"))
_ITEM = "file"
_JSON_FIELDS = ("filter", "order_by", "vector", "positive", "negative")
_FORM: dict[str, Any] = {
    "file": BINARY,
    "query": {
        **TEXT,
        "description": "SearchBody as JSON, without a way to ask.",
        "example": '{"limit": 5}',
    },
    "using": TEXT,
    **{name: {"type": "integer"} for name in ("limit", "offset")},
    **{name: {"type": "number"} for name in ("min_similarity", "diversity")},
    "filter": {**TEXT, "description": "Conditions as JSON."},
    **{name: {"type": "boolean"} for name in ("with_vectors", "exact", "collapse")},
}
_ABOUT = (
    "The picture to search by, and the fields of SearchBody as form fields or together as JSON in `query`."
)


@dataclass(frozen=True)
class Question:
    """What is asked, and the bytes of the picture where one was sent."""

    body: SearchBody
    picture: bytes | None


async def read_question(request: Request) -> Question:
    """Return the question from JSON or from a form. ``BadRequest``, ``TooLarge``, 415 for other content
    types."""
    if media_type(request) == MULTIPART:
        return _from_form(await read_form(request))
    return _question(await request.json())


@router.post(
    "/search",
    responses={200: {"model": SearchOut}},
    openapi_extra=body_of(SearchBody, form=_FORM, about=_ABOUT, required=False),
)
async def search(request: Request, category: str) -> Response:
    """Search a category by one of ``text``, ``id``, ``vector``, ``image`` (or a ``file`` in a form) or
    ``positive`` examples. Without any of them: a listing, by id, in order of a field, or at random.

    404 ``not_found`` (category or image), 422 ``unknown_vector``, ``unknown_field``, ``unsupported_query``,
    ``bad_vector`` or ``bad_request``, 415 ``unsupported_format`` for a file that is not a picture, 409
    ``encoder_mismatch``, 503 ``model_unavailable``.
    """
    question, state = await read_question(request), request.app.state
    return await run_in_threadpool(_response, state.runtime, state.metrics, category, question)


def _response(runtime: Runtime, metrics: Metrics, category: str, question: Question) -> Response:
    started = time.perf_counter()
    body = question.body
    if not body.asks and question.picture is None:
        order = OrderBy(body.order_by.field, body.order_by.descending) if body.order_by else None
        listed = Listing(body.filter, order, body.random, body.limit, body.cursor, body.with_vectors)
        return listing_response(runtime, category, listed)
    result = _answer(runtime, category, question)
    metrics.searched(result.encode_ms, result.search_ms)
    return Json(
        {
            **_answer_json(category, body, result),
            "cursor": None,
            "timing": _timing(result.encode_ms, result.search_ms, started),
        }
    )


@router.post("/searches", responses={200: {"model": SearchesOut}}, openapi_extra=body_of(SearchesBody))
async def searches(request: Request, category: str) -> Response:
    """Search a category by several questions in one call, each a body of a search by ``text``, ``id``,
    ``vector``, ``image`` or ``positive`` examples. Answer i belongs to search i.

    Texts are encoded together and the engine is asked once; searches with ``diversity`` or ``collapse`` ask
    it for themselves. Errors are those of a search; one that is wrong refuses all.
    """
    assert isinstance(request, LimitedRequest)
    body, state = validated(SearchesBody, await request.json(), "body"), request.app.state
    return await run_in_threadpool(_responses, state.runtime, state.metrics, category, body.searches)


def _responses(runtime: Runtime, metrics: Metrics, category: str, bodies: Sequence[SearchBody]) -> Response:
    started = time.perf_counter()
    results = search_all(runtime.searcher, category, [_ask(body) for body in bodies])
    encode_ms, search_ms = results[0].encode_ms, results[0].search_ms
    metrics.searched(encode_ms, search_ms)
    answers = [_answer_json(category, body, one) for body, one in zip(bodies, results, strict=True)]
    return Json({"answers": answers, "timing": _timing(encode_ms, search_ms, started)})


@dataclass(frozen=True)
class Listing:
    """Which images to list, and how."""

    conditions: Conditions
    order_by: OrderBy | None = None
    random: bool = False
    limit: int = 50
    cursor: str | None = None
    with_vectors: bool = False


def listing_response(runtime: Runtime, category: str, listing: Listing) -> Response:
    """Return a page of images as ``SearchOut`` without an encoder."""
    started = time.perf_counter()
    hits: Sequence[Hit]
    cursor = None
    if listing.random:
        hits = runtime.searcher.random(category, listing.conditions, limit=listing.limit)
    else:
        page = runtime.searcher.listing(
            category,
            listing.conditions,
            order_by=listing.order_by,
            limit=listing.limit,
            cursor=listing.cursor,
            with_vectors=listing.with_vectors,
        )
        hits, cursor = page.hits, page.cursor
    timing = _timing(0.0, _ms(started), started)
    return Json({"hits": hits_json(category, hits), "encoder": None, "cursor": cursor, "timing": timing})


def _answer(runtime: Runtime, category: str, question: Question) -> SearchResult:
    body, searcher, options = question.body, runtime.searcher, _options(question.body)
    if question.picture is not None:
        return searcher.by_image(category, question.picture, options)
    if body.text is not None:
        return searcher.by_text(category, body.text, options)
    if body.vector is not None:
        return searcher.by_vector(category, body.vector, options)
    if body.id is None:
        return searcher.by_examples(category, body.positive, body.negative, options)
    if isinstance(body.using, list):
        return searcher.by_fusion(category, body.id, body.using, options)
    return searcher.by_id(category, body.id, options)


def _ask(body: SearchBody) -> Ask:
    return Ask(
        _options(body),
        text=body.text,
        id=body.id,
        vector=body.vector,
        image=None if body.image is None else decoded_image(body.image),
        positive=tuple(body.positive),
        negative=tuple(body.negative),
        fused=tuple(body.using) if isinstance(body.using, list) else (),
    )


def _answer_json(category: str, body: SearchBody, result: SearchResult) -> dict[str, Any]:
    return {
        "hits": hits_json(category, result.hits),
        "encoder": encoder_json(result.encoder, modalities=False),
        **({"similar": dict(result.similar)} if body.collapse else {}),
    }


def _options(body: SearchBody) -> SearchOptions:
    return SearchOptions(
        using=body.using if isinstance(body.using, str) else None,
        conditions=body.filter,
        limit=body.limit,
        offset=body.offset,
        min_similarity=body.min_similarity,
        diversity=body.diversity,
        with_vectors=body.with_vectors,
        exact=body.exact,
        collapse=body.collapse,
    )


def _question(tree: Any) -> Question:
    body = validated(SearchBody, tree, "body")
    return Question(body, None if body.image is None else decoded_image(body.image))


def _from_form(form: SentForm) -> Question:
    files = [file for file in form.files if file.field == _ITEM]
    if len(form.files) > 1 or len(files) != len(form.files):
        raise BadRequest("A search takes one picture, in the form field 'file'.")
    tree = _tree(form)
    if not files:
        return _question(tree)
    if "image" in tree:
        raise BadRequest("The form has a file and an image: send one picture.")
    # the picture stands in the model's place for it, so that the same rules say what goes together
    return Question(validated(SearchBody, {**tree, "image": ""}, "body"), files[0].data)


def _tree(form: SentForm) -> dict[str, Any]:
    """Return one JSON object from ``query`` and the other fields, which have the last word."""
    tree: Any = {}
    for name in form.fields:
        if name != "using":
            form.one(name)
    if "query" in form.fields:
        tree = parse_json(form.fields["query"][0], "form field 'query'")
        if not isinstance(tree, dict):
            raise BadRequest("The form field 'query' is not a JSON object.", field="query")
    for name, values in form.fields.items():
        if name == "query":
            continue
        if name in _JSON_FIELDS:
            tree[name] = parse_json(values[0], f"form field {name!r}")
        else:
            tree[name] = values[0] if len(values) == 1 else list(values)
    return dict(tree)


def _timing(encode_ms: float, search_ms: float, started: float) -> dict[str, float]:
    return {"encode_ms": encode_ms, "search_ms": search_ms, "total_ms": _ms(started)}


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
