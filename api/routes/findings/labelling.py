"""The labelling loop of a tag: what to judge next, what was said, training again, the new ranking."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.responses import Response

from vitrine.api.auth import READ, WRITE
from vitrine.api.deps import RuntimeDep
from vitrine.api.openapi import body_of
from vitrine.api.responses import hit_json
from vitrine.api.route import Json, json_body
from vitrine.api.route import router as new_router
from vitrine.api.routes.findings.taggers import shown_tagger
from vitrine.api.schemas.changes import UndoOut
from vitrine.api.schemas.findings.taggers import (
    LabelsBody,
    LabelsOut,
    RankingOut,
    TrainBody,
    TrainedOut,
    UncertainOut,
)
from vitrine.services.artifacts.taggers import DIGITS
from vitrine.services.taggers.labelling import (
    MAX_SHOWN,
    Candidate,
    count_labels,
    ranking,
    record,
    refit,
    uncertain,
)

router = new_router("labelling", "/v1/categories/{category}/taggers/{tag:path}")
ShownParameter = Annotated[int, Query(ge=1, le=MAX_SHOWN)]


@router.get("/uncertain", responses={200: {"model": UncertainOut}}, dependencies=[READ])
def uncertain_images(
    category: str,
    tag: str,
    runtime: RuntimeDep,
    limit: ShownParameter = 20,
    using: Annotated[
        str | None, Query(max_length=300, description="For a tag without a tagger: the encoder.")
    ] = None,
) -> Response:
    """List the images whose judgement teaches most: near the tagger's boundary, unlike each other, judged by
    nobody yet.

    A tag without a tagger begins with images like those that have the tag. 422 ``too_few_examples`` if none
    has, 409 ``tagger_mismatch`` if the tagger's encoder is not the category's any more: train it again.
    """
    found = uncertain(runtime, category, tag, limit, using=using)
    by = "similarity" if found and found[0].score is None else "score"
    counts = count_labels(runtime, category, tag)
    return Json({"tag": tag, "by": by, "labels": counts, "hits": _candidates(category, found)})


@router.post("/labels", openapi_extra=body_of(LabelsBody), dependencies=[WRITE])
def label_images(
    category: str, tag: str, runtime: RuntimeDep, body: Annotated[LabelsBody, Depends(json_body(LabelsBody))]
) -> LabelsOut:
    """Record what people said. Accepted images get the tag; rejected ones lose it, also as a proposal, and
    are noted as not having it. Again: nothing. 404 ``not_found`` for an unknown image; then nothing is
    changed."""
    said = record(runtime, category, tag, body.accept, body.reject)
    return LabelsOut(tag=tag, labels=said.counts, undo=UndoOut.of(said.undo))


@router.post(
    "/train",
    responses={200: {"model": TrainedOut}},
    openapi_extra=body_of(TrainBody, required=False),
    dependencies=[WRITE],
)
def train_tagger(
    category: str, tag: str, runtime: RuntimeDep, body: Annotated[TrainBody, Depends(json_body(TrainBody))]
) -> Response:
    """Train this one tagger from all accepted and rejected images, put it into service, and rank the images
    by it.

    The scores that images carry are an older tagger's from now on, and queries leave them out: ``vitrine
    tagger score`` writes new ones. 422 ``too_few_examples`` with under two accepted or two rejected images.
    """
    done = refit(runtime, category, tag, using=body.using)
    best = ranking(runtime, category, done.head, body.limit) if body.limit else []
    return Json(
        {
            "tagger": shown_tagger(runtime.catalog.get(category), done.head).model_dump(),
            "labels": count_labels(runtime, category, done.head.tag),
            "seconds": {"read": done.read_seconds, "fit": done.fit_seconds},
            "ranking": _candidates(category, best),
        }
    )


@router.get("/ranking", responses={200: {"model": RankingOut}}, dependencies=[READ])
def tagger_ranking(
    category: str,
    tag: str,
    runtime: RuntimeDep,
    limit: ShownParameter = 20,
    labelled: Annotated[
        bool, Query(description="false leaves out the images that people have judged.")
    ] = True,
) -> Response:
    """List the images that the tagger in service scores highest, computed now from the stored vectors.

    404 ``not_found``, 409 ``tagger_mismatch``.
    """
    runtime.catalog.get(category)
    head = runtime.taggers.get(category, tag)
    best = ranking(runtime, category, head, limit, labelled=labelled)
    return Json({"tag": head.tag, "trained_at": head.trained_at, "hits": _candidates(category, best)})


def _candidates(category: str, found: Iterable[Candidate]) -> list[dict[str, Any]]:
    return [
        {**hit_json(category, one.hit), "score": None if one.score is None else round(one.score, DIGITS)}
        for one in found
    ]
