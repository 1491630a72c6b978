"""Taggers: which there are, what they are worth, and what they say of a picture that is not stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from vitrine.api.auth import require
from vitrine.api.bodies import read_picture
from vitrine.api.deps import RuntimeDep
from vitrine.api.openapi import body_of
from vitrine.api.responses import as_json
from vitrine.api.schemas.taggers import PictureBody, ScoresOut, TaggerDetailOut, TaggersOut
from vitrine.services.artifacts.taggers import DIGITS, TagHead
from vitrine.services.category.catalog import Category
from vitrine.services.category.fields import QUALITY
from vitrine.services.category.filters import Conditions, NumberRange
from vitrine.services.errors import TaggerMismatch
from vitrine.services.runtime import Runtime
from vitrine.services.taggers.classify import TagScore, classify, fitting
from vitrine.services.taggers.labelling import count_labels

router = APIRouter(prefix="/v1", tags=["taggers"], dependencies=[Depends(require("read"))])
PictureDep = Annotated[bytes, Depends(read_picture)]
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary"}},
}
_picture = body_of(PictureBody, form=_FORM)
_scores: dict[int | str, dict[str, Any]] = {200: {"model": ScoresOut}}
_VERSION = ("trained_at", "kind", "using", "encoder_revision", "threshold", "examples", "metrics")


@router.get("/taggers", responses={200: {"model": TaggersOut}}, response_class=Response)
def all_taggers(runtime: RuntimeDep) -> Response:
    """The taggers in service, of all categories."""
    found = [tree for category in runtime.catalog.list() for tree in _taggers(runtime, category)]
    return as_json({"taggers": found})


@router.get("/categories/{category}/taggers", responses={200: {"model": TaggersOut}}, response_class=Response)
def category_taggers(category: str, runtime: RuntimeDep) -> Response:
    """The taggers in service of a category. 404 ``not_found``."""
    return as_json({"taggers": _taggers(runtime, runtime.catalog.get(category))})


@router.post(
    "/categories/{category}/taggers/score", responses=_scores, response_class=Response, openapi_extra=_picture
)
def score_by_all(category: str, runtime: RuntimeDep, picture: PictureDep) -> Response:
    """What all taggers say of one picture (``file`` in a form, or ``image`` in base64), which is not stored.

    Taggers whose encoder the category has no more are left out and listed; if that is all of them: 409
    ``tagger_mismatch``.
    """
    heads, mismatches = fitting(runtime.catalog.get(category), runtime.taggers.in_service(category))
    if mismatches and not heads:
        raise mismatches[0]
    return as_json(_scores_json(classify(runtime, category, picture, heads), mismatches))


@router.post(
    "/categories/{category}/taggers/{tag:path}/score",
    responses=_scores,
    response_class=Response,
    openapi_extra=_picture,
)
def score_by_one(category: str, tag: str, runtime: RuntimeDep, picture: PictureDep) -> Response:
    """What one tagger says of a picture, which is not stored. 404 ``not_found``, 409 ``tagger_mismatch``, 415
    and 422 for a file that is no picture."""
    runtime.catalog.get(category)
    return as_json(
        _scores_json(classify(runtime, category, picture, [runtime.taggers.get(category, tag)]), ())
    )


@router.get(
    "/categories/{category}/taggers/{tag:path}",
    responses={200: {"model": TaggerDetailOut}},
    response_class=Response,
)
def get_tagger(category: str, tag: str, runtime: RuntimeDep) -> Response:
    """One tagger: its metrics and examples, whether the stored scores are its own, and its former versions.
    404 ``not_found``."""
    cat = runtime.catalog.get(category)
    head = runtime.taggers.get(category, tag)
    counts = count_labels(runtime, category, head.tag)
    history = [_version(old, head) for old in runtime.taggers.history(category, head.tag)]
    return as_json(
        {
            **tagger_json(cat, head),
            "stored": _stored(runtime, cat, head),
            "labels": {"accepted": counts.accepted, "rejected": counts.rejected},
            "history": history,
        }
    )


def tagger_json(category: Category, head: TagHead) -> dict[str, Any]:
    """``TaggerOut``."""
    return {
        "category": category.name,
        "tag": head.tag,
        "field": head.payload_field,
        "kind": head.kind,
        "using": head.using,
        "encoder_revision": head.encoder_revision,
        "fits": bool(fitting(category, [head])[0]),
        "threshold": head.threshold,
        "trained_at": head.trained_at,
        "fingerprint": head.fingerprint,
        "examples": dict(head.examples),
        "metrics": dict(head.metrics),
    }


def _taggers(runtime: Runtime, category: Category) -> list[dict[str, Any]]:
    heads = runtime.taggers.in_service(category.name)
    return [{**tagger_json(category, head), "metrics": _numbers(head.metrics)} for head in heads]


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Without curves and histograms, of which fifty taggers would make a long list."""
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


def _version(old: TagHead, current: TagHead) -> dict[str, Any]:
    tree = {name: getattr(old, name) for name in _VERSION}
    return {**tree, "metrics": _numbers(old.metrics), "in_service": old.signature == current.signature}


def _stored(runtime: Runtime, category: Category, head: TagHead) -> dict[str, Any]:
    any_score = NumberRange(gte=0)
    conditions = (
        Conditions(quality=any_score) if head.tag == QUALITY else Conditions(scores={head.tag: any_score})
    )
    images = runtime.vectors.count(category.name)
    scored = (
        runtime.searcher.count(category.name, conditions) if head.payload_field in category.indexes else 0
    )
    stale = head.tag in runtime.taggers.unsettled(category.name)
    return {"images": images, "scored": scored, "stale": stale, "complete": not stale and scored == images}


def _scores_json(scores: Sequence[TagScore], mismatches: Iterable[TaggerMismatch]) -> dict[str, Any]:
    rows = [
        {"tag": s.head.tag, "score": round(s.score, DIGITS), "threshold": s.head.threshold, "above": s.above}
        for s in scores
    ]
    left_out = [
        {"tag": error.details["tag"], "code": error.code, "detail": error.message} for error in mismatches
    ]
    return {"scores": rows, "left_out": left_out}
