"""Search: by text, picture, id, vector or examples; or a listing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from vitrine.api.bodies import SentForm, decoded_image, read_form
from vitrine.api.metrics import Metrics
from vitrine.api.openapi import BINARY, TEXT, body_of
from vitrine.api.responses import SHOWN, encoder_json, hits_json
from vitrine.api.route import MULTIPART, Json, LimitedRequest, direct_route, media_type, parse_json
from vitrine.api.route import router as new_router
from vitrine.api.schemas.search import PICTURE, SearchBody, SearchesBody, SearchesOut, SearchOut
from vitrine.services.category.filters import Conditions
from vitrine.services.category.read_all import pages
from vitrine.services.domain import Fields, Hit, OrderBy
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime
from vitrine.services.search.options import SearchOptions, SearchResult
from vitrine.services.search.questions import (
    ByExamples,
    ByFusion,
    ById,
    ByImage,
    ByText,
    ByVector,
    Example,
    Question,
    Text,
)
from vitrine.services.search.questions import Sent as SentBefore
from vitrine.services.search.returned import returned_paths
from vitrine.services.search.searcher import Search
from vitrine.services.search.whole.grouping import Group, search_grouped
from vitrine.services.search.whole.totals import search_with_total
from vitrine.services.validation import validated
from vitrine.services.vector_store.base import MAX_LIMIT

router = new_router("search", "/v1/categories/{category}", "read", route_class=direct_route("read"))
_ITEM = "file"
_JSON_FIELDS = ("filter", "order_by", "vector", "positive", "negative", "fields", "categories")
FORM: dict[str, Any] = {
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
    "fields": {**TEXT, "description": "Names of payload fields as JSON."},
    "group_by": TEXT,
    "group_size": {"type": "integer"},
    **{name: {"type": "boolean"} for name in ("with_vectors", "exact", "collapse", "total")},
}
ABOUT = (
    "The picture to search by, and the fields of SearchBody as form fields or together as JSON in `query`."
)


@dataclass(frozen=True)
class Sent:
    """A search as it was sent: its body, and the bytes of the picture where there is one."""

    body: SearchBody
    picture: bytes | None

    @property
    def search(self) -> Search:
        """What is asked of the ``Searcher``."""
        return Search(_question(self.body, self.picture), _options(self.body))


async def read_search(request: Request, model: type[SearchBody] = SearchBody) -> Sent:
    """Return the search from JSON or from a form. ``BadRequest``, ``TooLarge``, 415 for other content
    types."""
    if media_type(request) == MULTIPART:
        return _from_form(await read_form(request), model)
    return sent_json(validated(model, await request.json(), "body"))


@router.post(
    "/search",
    responses={200: {"model": SearchOut}},
    openapi_extra=body_of(SearchBody, form=FORM, about=ABOUT, required=False),
)
async def search(request: Request, category: str) -> Response:
    """Search a category by one of ``text``, ``id``, ``vector``, ``image`` (or a ``file`` in a form) or
    ``positive`` examples, next to which a ``text`` is one more. Without any of them: a listing, by id, in
    order of a field, or at random.

    404 ``not_found`` (category or image), 422 ``unknown_vector``, ``unknown_field``, ``unsupported_query``,
    ``bad_vector`` or ``bad_request``, 415 ``unsupported_format`` for a file that is not a picture, 409
    ``encoder_mismatch``, 503 ``model_unavailable``.
    """
    sent, state = await read_search(request), request.app.state
    return await run_in_threadpool(_response, state.runtime, state.metrics, category, sent)


def _response(runtime: Runtime, metrics: Metrics, category: str, sent: Sent) -> Response:
    started = time.perf_counter()
    body = sent.body
    if not body.asks and sent.picture is None:
        order = OrderBy(body.order_by.field, body.order_by.descending) if body.order_by else None
        listed = Listing(
            body.filter,
            order,
            body.random,
            body.limit,
            body.cursor,
            body.with_vectors,
            fields=body.fields,
            total=body.total,
        )
        return listing_response(runtime, category, listed)
    search = _returning(runtime, category, sent.search, body.fields)
    result, groups, total = _result(runtime, category, search, body)
    metrics.searched(result.encode_ms, result.search_ms)
    return Json(
        {
            **_answer_json(category, body, result),
            "cursor": None,
            **({} if total is None else {"total": total}),
            **({} if groups is None else {"groups": [asdict(group) for group in groups]}),
            "timing": timing_json(result.encode_ms, result.search_ms, started),
        }
    )


def _result(
    runtime: Runtime, category: str, search: Search, body: SearchBody
) -> tuple[SearchResult, Sequence[Group] | None, int | None]:
    """Return the answer to a search, its groups and its total, where they are asked for."""
    searcher, columns = runtime.searcher, runtime.columns
    if body.group_by is not None:
        grouped = search_grouped(
            searcher, columns, category, search, body.group_by, size=body.group_size, total=body.total
        )
        return grouped.result, grouped.groups, grouped.total
    if body.total:
        result, total = search_with_total(searcher, columns, category, search)
        return result, None, total
    return searcher.search(category, search.question, search.options), None, None


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
    asked = [_returning(runtime, category, sent_json(body).search, body.fields) for body in bodies]
    results = runtime.searcher.search_all(category, asked)
    encode_ms, search_ms = results[0].encode_ms, results[0].search_ms
    metrics.searched(encode_ms, search_ms)
    answers = [_answer_json(category, body, one) for body, one in zip(bodies, results, strict=True)]
    return Json({"answers": answers, "timing": timing_json(encode_ms, search_ms, started)})


@dataclass(frozen=True)
class Listing:
    """Which images to list, and how."""

    conditions: Conditions
    order_by: OrderBy | None = None
    random: bool = False
    limit: int = 50
    cursor: str | None = None
    with_vectors: bool = False
    fields: Sequence[str] | None = None
    total: bool = False


def listing_response(runtime: Runtime, category: str, listing: Listing) -> Response:
    """Return a page of images as ``SearchOut`` without an encoder."""
    started = time.perf_counter()
    hits: Sequence[Hit]
    cursor = None
    fields = shown_fields(runtime, category, listing.fields)
    if listing.random:
        hits = runtime.searcher.random(category, listing.conditions, limit=listing.limit, fields=fields)
    else:
        page = runtime.searcher.listing(
            category,
            listing.conditions,
            order_by=listing.order_by,
            limit=listing.limit,
            cursor=listing.cursor,
            with_vectors=listing.with_vectors,
            fields=fields,
        )
        hits, cursor = page.hits, page.cursor
    total = {"total": runtime.searcher.count(category, listing.conditions)} if listing.total else {}
    timing = timing_json(0.0, _ms(started), started)
    answer = {"hits": hits_json(category, hits), "encoder": None, "cursor": cursor, **total}
    return Json({**answer, "timing": timing})


def shown_fields(runtime: Runtime, category: str, names: Sequence[str] | None) -> Fields:
    """Return what hits have of their payloads: the fields of these names, or all that clients see."""
    if names is None:
        return SHOWN
    return returned_paths(runtime.searcher, runtime.catalog.get(category), names)


def _returning(runtime: Runtime, category: str, search: Search, names: Sequence[str] | None) -> Search:
    """Return the search whose hits have these fields."""
    return replace(search, options=replace(search.options, fields=shown_fields(runtime, category, names)))


def _question(body: SearchBody, picture: bytes | None) -> Question:
    if picture is not None:
        return ByImage(picture)
    if body.text is not None and not (body.positive or body.negative):
        return ByText(body.text)
    if body.vector is not None:
        return ByVector(body.vector)
    if body.id is None:
        words = () if body.text is None else (Text(body.text),)
        positive, negative = map(_example, body.positive), map(_example, body.negative)
        return ByExamples((*words, *positive), tuple(negative))
    if isinstance(body.using, list):
        return ByFusion(body.id, tuple(body.using))
    return ById(body.id)


def _example(text: str) -> Example:
    """Return an example of a body: the id of an image, or ``picture:`` and the hash of one that was sent."""
    return SentBefore(text.removeprefix(PICTURE)) if text.startswith(PICTURE) else text


def found_ids(runtime: Runtime, category: str, body: SearchBody) -> list[str]:
    """Return the ids of all images of a question: of a listing all that meet its filter, of a search its
    hits, at most 10,000. ``limit`` of them, where it is given."""
    limited, searcher = "limit" in body.model_fields_set, runtime.searcher
    if body.cursor is not None or (body.random and not limited):
        raise BadRequest(
            "A query of all its images has no cursor, and a random sample of them needs a limit."
        )
    if body.asks:
        limit = body.limit if limited else MAX_LIMIT - body.offset
        search = sent_json(body).search
        options = replace(search.options, limit=limit, fields=())
        return [hit.id for hit in searcher.search(category, search.question, options).hits]
    if body.random:
        return [hit.id for hit in searcher.random(category, body.filter, limit=body.limit, fields=())]
    if limited:
        order = OrderBy(body.order_by.field, body.order_by.descending) if body.order_by else None
        page = searcher.listing(category, body.filter, order_by=order, limit=body.limit, fields=())
        return [hit.id for hit in page.hits]
    cat = runtime.catalog.get(category)
    read = pages(runtime.vectors, category, filter=searcher.to_filter(cat, body.filter), size=MAX_LIMIT)
    return [hit.id for page in read for hit in page]


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
        fields=SHOWN,
        collapse=body.collapse,
    )


def sent_json(body: SearchBody) -> Sent:
    """Return the search of a JSON body."""
    return Sent(body, None if body.image is None else decoded_image(body.image))


def _from_form(form: SentForm, model: type[SearchBody]) -> Sent:
    files = [file for file in form.files if file.field == _ITEM]
    if len(form.files) > 1 or len(files) != len(form.files):
        raise BadRequest("A search takes one picture, in the form field 'file'.")
    tree = _tree(form)
    if not files:
        return sent_json(validated(model, tree, "body"))
    if "image" in tree:
        raise BadRequest("The form has a file and an image: send one picture.")
    # the picture stands in the model's place for it, so that the same rules say what goes together
    return Sent(validated(model, {**tree, "image": ""}, "body"), files[0].data)


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


def timing_json(encode_ms: float, search_ms: float, started: float) -> dict[str, float]:
    return {"encode_ms": encode_ms, "search_ms": search_ms, "total_ms": _ms(started)}


def _ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
