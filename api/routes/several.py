"""Search over several categories at once."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.responses import Response

from vitrine.api.deps import MetricsDep, RuntimeDep
from vitrine.api.openapi import TEXT, body_of
from vitrine.api.responses import encoder_json, hit_json
from vitrine.api.route import Json
from vitrine.api.route import router as new_router
from vitrine.api.routes.search import ABOUT, FORM, Sent, read_search, shown_fields, timing_json
from vitrine.api.schemas.several import SeveralBody, SeveralOut
from vitrine.services.search.several import Merged, Share, search_several

router = new_router("search", "/v1", "read")
_FORM = {
    **{name: schema for name, schema in FORM.items() if name not in ("group_by", "group_size", "diversity")},
    "categories": {**TEXT, "description": "Names of categories as JSON."},
    "category": TEXT,
}


async def _sent(request: Request) -> Sent:
    return await read_search(request, SeveralBody)


@router.post(
    "/search",
    responses={200: {"model": SeveralOut}},
    openapi_extra=body_of(SeveralBody, form=_FORM, about=ABOUT),
)
def search_categories(
    runtime: RuntimeDep, metrics: MetricsDep, sent: Annotated[Sent, Depends(_sent)]
) -> Response:
    """Search several categories by one of ``text``, ``vector``, ``image`` (or a ``file`` in a form), ``id``
    or ``positive`` examples; hits are merged by similarity, each with its category.

    All are searched by one encoder, which encodes the query once. Without ``categories`` those are left out
    that cannot answer, or do not have the encoder that most have; named ones that do are 422 ``bad_request``.
    Other errors are those of a search.
    """
    started = time.perf_counter()
    body = sent.body
    assert isinstance(body, SeveralBody)
    merged = search_several(
        runtime.searcher,
        runtime.columns,
        sent.search,
        body.categories,
        home=body.category,
        fields=lambda cat: shown_fields(runtime, cat.name, body.fields),
        total=body.total,
    )
    metrics.searched(merged.encode_ms, merged.search_ms)
    return Json({**_answer(merged, body), "timing": timing_json(merged.encode_ms, merged.search_ms, started)})


def _answer(merged: Merged, body: SeveralBody) -> dict[str, Any]:
    return {
        "hits": [{**hit_json(name, hit), "category": name} for name, hit in merged.hits],
        "encoder": encoder_json(merged.encoder, modalities=False),
        "categories": [_share(share, body) for share in merged.shares],
        "left_out": [
            {"category": name, "code": error.code, "detail": error.message}
            for name, error in sorted(merged.left_out.items())
        ],
        **({"total": sum(share.total or 0 for share in merged.shares)} if body.total else {}),
    }


def _share(share: Share, body: SeveralBody) -> dict[str, Any]:
    return {
        "category": share.category,
        "hits": share.hits,
        **({"total": share.total} if body.total else {}),
        **({"similar": dict(share.similar)} if body.collapse else {}),
    }
