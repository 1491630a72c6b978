"""Taggers: which there are, what they are worth, and what they say of a picture that is not stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import Depends

from vitrine.api.auth import WRITE
from vitrine.api.bodies import read_picture
from vitrine.api.deps import RuntimeDep, no_other_parameters
from vitrine.api.openapi import PICTURE
from vitrine.api.route import router as new_router
from vitrine.api.schemas.common import numbers_of
from vitrine.api.schemas.findings.taggers import (
    DeletedTaggerOut,
    LeftOut,
    ScoresOut,
    StoredScores,
    TaggerDetailOut,
    TaggerOut,
    TaggersOut,
    TaggerVersion,
    TagScoreOut,
)
from vitrine.indexer.enrich.scores.purging import delete_tagger
from vitrine.services.artifacts.taggers import DIGITS, TagHead
from vitrine.services.category.catalog import Category
from vitrine.services.category.fields import QUALITY
from vitrine.services.category.filters import Conditions, NumberRange
from vitrine.services.errors import TaggerMismatch
from vitrine.services.runtime import Runtime
from vitrine.services.taggers.classify import TagScore, classify, fitting
from vitrine.services.taggers.labelling import count_labels

router = new_router("taggers", "/v1", "read")
PictureDep = Annotated[bytes, Depends(read_picture)]


@router.get("/taggers")
def all_taggers(runtime: RuntimeDep) -> TaggersOut:
    """List the taggers in service, of all categories."""
    return _listed(runtime, runtime.catalog.list())


@router.get("/categories/{category}/taggers")
def category_taggers(category: str, runtime: RuntimeDep) -> TaggersOut:
    """List the taggers in service of a category. 404 ``not_found``."""
    return _listed(runtime, [runtime.catalog.get(category)])


@router.post("/categories/{category}/taggers/score", openapi_extra=PICTURE)
def score_by_all(category: str, runtime: RuntimeDep, picture: PictureDep) -> ScoresOut:
    """Score one picture by all taggers (``file`` in a form, or ``image`` in base64). It is not stored.

    Taggers whose encoder the category has no more are left out and listed; if that is all of them: 409
    ``tagger_mismatch``.
    """
    heads, mismatches = fitting(runtime.catalog.get(category), runtime.taggers.in_service(category))
    if mismatches and not heads:
        raise mismatches[0]
    return _scores(classify(runtime, category, picture, heads), mismatches)


@router.post("/categories/{category}/taggers/{tag:path}/score", openapi_extra=PICTURE)
def score_by_one(category: str, tag: str, runtime: RuntimeDep, picture: PictureDep) -> ScoresOut:
    """Score a picture by one tagger. It is not stored. 404 ``not_found``, 409 ``tagger_mismatch``, 415 and
    422 for a file that is not a picture."""
    runtime.catalog.get(category)
    return _scores(classify(runtime, category, picture, [runtime.taggers.get(category, tag)]), ())


@router.get("/categories/{category}/taggers/{tag:path}")
def get_tagger(category: str, tag: str, runtime: RuntimeDep) -> TaggerDetailOut:
    """Return one tagger: its metrics and examples, whether the stored scores are its own, and its former
    versions. 404 ``not_found``."""
    cat = runtime.catalog.get(category)
    head = runtime.taggers.get(category, tag)
    history = runtime.taggers.history(category, head.tag)
    return TaggerDetailOut(
        **vars(shown_tagger(cat, head)),
        stored=_stored(runtime, cat, head),
        labels=count_labels(runtime, category, head.tag),
        history=[_version(old, head) for old in history],
    )


@router.delete(
    "/categories/{category}/taggers/{tag:path}", dependencies=[WRITE, Depends(no_other_parameters())]
)
def delete_category_tagger(category: str, tag: str, runtime: RuntimeDep) -> DeletedTaggerOut:
    """Delete a tagger, its scores and what it proposed. The tags that people gave stay, and so does what they
    judged. Nothing brings it back. 404 ``not_found``."""
    runtime.catalog.get(category)
    head = runtime.taggers.get(category, tag)
    return DeletedTaggerOut(tag=head.tag, images=delete_tagger(runtime, category, head.tag))


def shown_tagger(category: Category, head: TagHead) -> TaggerOut:
    """Return a tagger as the API shows it, with all that its training left."""
    fits = bool(fitting(category, [head])[0])
    more = {"category": category.name, "field": head.payload_field, "fits": fits}
    return TaggerOut.model_validate({**vars(head), **more})


def _listed(runtime: Runtime, categories: Iterable[Category]) -> TaggersOut:
    """Return their taggers without curves and histograms, of which fifty taggers would make a long list."""
    found = [
        shown_tagger(category, head)
        for category in categories
        for head in runtime.taggers.in_service(category.name)
    ]
    return TaggersOut(taggers=[one.model_copy(update={"metrics": numbers_of(one.metrics)}) for one in found])


def _version(old: TagHead, current: TagHead) -> TaggerVersion:
    more = {"metrics": numbers_of(old.metrics), "in_service": old.signature == current.signature}
    return TaggerVersion.model_validate({**vars(old), **more})


def _stored(runtime: Runtime, category: Category, head: TagHead) -> StoredScores:
    span = NumberRange(gte=0)
    conditions = Conditions(quality=span) if head.tag == QUALITY else Conditions(scores={head.tag: span})
    images = runtime.vectors.count(category.name)
    indexed = head.payload_field in category.indexes
    scored = runtime.searcher.count(category.name, conditions) if indexed else 0
    stale = head.tag in runtime.taggers.unsettled(category.name)
    return StoredScores(images=images, scored=scored, stale=stale, complete=not stale and scored == images)


def _scores(scores: Sequence[TagScore], mismatches: Iterable[TaggerMismatch]) -> ScoresOut:
    rows = [
        TagScoreOut(tag=s.head.tag, score=round(s.score, DIGITS), threshold=s.head.threshold, above=s.above)
        for s in scores
    ]
    left_out = [
        LeftOut(tag=error.details["tag"], code="tagger_mismatch", detail=error.message)
        for error in mismatches
    ]
    return ScoresOut(scores=rows, left_out=left_out)
