"""The bodies of the routes of taggers and of labelling."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from vitrine.api.schemas.changes import UndoOut
from vitrine.api.schemas.common import ID, URLS, Id, Taken, example
from vitrine.api.schemas.images import HitOut
from vitrine.services.taggers.labelling import LabelCounts

MAX_LABELS = 1_000
_OTHER = "0c5c3a4e-1d0c-5f0e-9a51-7d8a5f6f7a10"
_TRAINED = {
    "trained_at": "2026-11-20T10:00:00.000+00:00",
    "kind": "logistic-regression",
    "using": "clip",
    "encoder_revision": "c237dc49",
    "threshold": 0.5,
    "examples": {"positives": 812, "negatives": 2868},
    "metrics": {"average_precision": 0.941, "roc_auc": 0.987, "precision": 0.9, "recall": 0.86, "f1": 0.88},
}
_TAGGER = {
    **_TRAINED,
    "category": "pets",
    "tag": "outdoors",
    "field": "scores.outdoors",
    "fits": True,
    "fingerprint": "sha256:9f86d0",
}
_HIT = {
    "id": ID,
    "similarity": None,
    "score": 0.507,
    "payload": {"filename": "rex.jpg", "tags": ["dog"]},
    "urls": URLS,
}
_LABELS = {"accepted": 24, "rejected": 31}


# What is taken
# -----------------------------------------------------------------------------------------------------------


class PictureBody(Taken):
    """One picture. Multipart with ``file`` is a third smaller."""

    model_config = example({"image": "iVBORw0KGgo="})

    image: str = Field(description="An image file in base64.")


class LabelsBody(Taken):
    """What people said of images, by id. An id on both sides is refused."""

    model_config = example({"accept": [ID], "reject": [_OTHER]})

    accept: list[Id] = Field(default_factory=list, max_length=MAX_LABELS, description="They have the tag.")
    reject: list[Id] = Field(default_factory=list, max_length=MAX_LABELS, description="They do not have it.")


class TrainBody(Taken):
    """How to train a tagger from what people said; an empty body will do."""

    model_config = example({"limit": 10})

    using: str | None = Field(
        None,
        max_length=300,
        description="The encoder to train on; default: the tagger's, or the category's for a new one.",
    )
    limit: int = Field(20, ge=0, le=200, description="How many images of the new ranking to answer with.")


# What is given
# -----------------------------------------------------------------------------------------------------------


class TrainedTagger(BaseModel):
    """What a training left. ``threshold``: from this score on the tag is proposed."""

    trained_at: str
    kind: str
    using: str
    encoder_revision: str
    threshold: float
    examples: dict[str, int]
    metrics: dict[str, Any]


class TaggerOut(TrainedTagger):
    """A tagger in service. ``field`` is what it fills. ``fits``: the category still has the encoder it was
    trained on.

    ``threshold``: from this score on the tag is proposed. ``metrics`` in lists of taggers are numbers only;
    one tagger by itself has all that its training left.
    """

    model_config = example(_TAGGER)

    category: str
    tag: str
    field: str
    fits: bool
    fingerprint: str


class TaggerVersion(TrainedTagger):
    """A tagger as it once was; ``in_service`` marks the present one."""

    in_service: bool


class TaggersOut(BaseModel):
    """Taggers in service, by category and tag."""

    model_config = example({"taggers": [_TAGGER]})

    taggers: list[TaggerOut]


class StoredScores(BaseModel):
    """How far the images carry this tagger's scores. ``stale``: some may still have an older tagger's, which
    queries leave out; ``complete``: every image has this one's."""

    images: int
    scored: int
    stale: bool
    complete: bool


class TaggerDetailOut(TaggerOut):
    """One tagger, its stored scores, and all versions there ever were, latest first."""

    model_config = example(
        {
            **_TAGGER,
            "stored": {"images": 3680, "scored": 3680, "stale": False, "complete": True},
            "labels": _LABELS,
            "history": [{**_TRAINED, "in_service": True}],
        }
    )

    stored: StoredScores
    labels: LabelCounts
    history: list[TaggerVersion]


class DeletedTaggerOut(BaseModel):
    """A tagger that was deleted, and how many images had a score or a proposal by it."""

    model_config = example({"tag": "outdoors", "images": 3680})

    tag: str
    images: int


class TagScoreOut(BaseModel):
    """``score`` in 0..1; ``above``: it reaches the threshold."""

    tag: str
    score: float
    threshold: float
    above: bool


class LeftOut(BaseModel):
    """A tagger that was not asked, and why."""

    tag: str
    code: Literal["tagger_mismatch"]
    detail: str


class ScoresOut(BaseModel):
    """What the taggers say of one picture, highest score first."""

    model_config = example(
        {"scores": [{"tag": "outdoors", "score": 0.97312, "threshold": 0.5, "above": True}], "left_out": []}
    )

    scores: list[TagScoreOut]
    left_out: list[LeftOut]


class CandidateOut(HitOut):
    """An image with the tagger's score, computed now; null where there is no tagger yet."""

    score: float | None


class UncertainOut(BaseModel):
    """Images to be judged, the one that teaches most first. ``by`` similarity to the accepted ones where
    there is no tagger."""

    model_config = example({"tag": "outdoors", "by": "score", "labels": _LABELS, "hits": [_HIT]})

    tag: str
    by: Literal["score", "similarity"]
    labels: LabelCounts
    hits: list[CandidateOut]


class LabelsOut(BaseModel):
    """How many images are accepted and rejected now, in all."""

    model_config = example({"tag": "outdoors", "labels": _LABELS, "undo": None})

    tag: str
    labels: LabelCounts
    undo: UndoOut | None = Field(None, description="Null where nothing was changed.")


class TrainSeconds(BaseModel):
    """What reading the embeddings and fitting took."""

    read: float
    fit: float


class TrainedOut(BaseModel):
    """The tagger that is in service now, and the images that it puts first."""

    model_config = example(
        {"tagger": _TAGGER, "labels": _LABELS, "seconds": {"read": 0.02, "fit": 0.05}, "ranking": [_HIT]}
    )

    tagger: TaggerOut
    labels: LabelCounts
    seconds: TrainSeconds
    ranking: list[CandidateOut]


class RankingOut(BaseModel):
    """Images by the score of the tagger in service, computed now; highest first."""

    model_config = example({"tag": "outdoors", "trained_at": "2026-11-20T10:00:00.000+00:00", "hits": [_HIT]})

    tag: str
    trained_at: str
    hits: list[CandidateOut]


# What older systems' clients are answered
# ---------------------------------------------------------------------------------


class OldModelOut(BaseModel):
    """A model as ``/get_models`` lists it. ``train_start_time`` is null for scores that no tagger gave."""

    model_config = example(
        {"model_type": "ovr-logistic-regression", "train_start_time": "2026-11-20, 10:00:00", "tag": "sea"}
    )

    model_type: str
    train_start_time: str | None
    tag: str


class OldImageOut(BaseModel):
    """An image as the compatibility routes give it. ``url``: of the file; ``score``: null where none was
    asked for.

    ``hash_id`` is the SHA-256 of the file, ``file_name`` and ``file_path`` are ``filename`` and ``url`` under
    their older names.
    """

    model_config = example(
        {
            "id": ID,
            "category": "pets",
            "hash_id": "9f86d081884c7d65",
            "filename": "rex.jpg",
            "file_name": "rex.jpg",
            "file_path": f"/v1/categories/pets/images/{ID}/file",
            "file_type": ".jpg",
            "model_name": "model-ovr-logistic-regression-tag-outdoors",
            "tag": "outdoors",
            "score": 0.97,
            "url": f"/v1/categories/pets/images/{ID}/file",
            "thumbnail_url": f"/v1/categories/pets/images/{ID}/thumbnail",
            "width": 640,
            "height": 480,
            "tags": ["dog"],
        }
    )

    id: str
    category: str
    hash_id: str | None
    filename: str | None
    file_name: str | None
    file_path: str
    file_type: str | None
    model_name: str | None
    tag: str | None
    score: float | None
    url: str
    thumbnail_url: str
    width: int | None
    height: int | None
    tags: list[str]


class OldPayloadOut(BaseModel):
    """What ``/api/search`` says of a hit; ``label`` is the column of that name of its metadata."""

    class_: str | None
    file: str | None
    label: Any = None


class OldHitOut(BaseModel):
    """A hit of ``/api/search``; ``score`` is a cosine similarity, ``version`` is always 0."""

    model_config = example(
        {
            "id": ID,
            "version": 0,
            "score": 0.981,
            "payload": {"class_": "collie", "file": "167841.png", "label": 7},
            "url": f"/v1/categories/dogs/images/{ID}/file",
        }
    )

    id: str
    version: int
    score: float | None
    payload: OldPayloadOut
    url: str


class OldHealthOut(BaseModel):
    """The process answers; ``model_version`` is the encoder of new categories."""

    model_config = example(
        {"status": "ok", "name": "Vitrine", "api_version": "0.9.0", "model_version": "clip"}
    )

    status: Literal["ok"]
    name: str
    api_version: str
    model_version: str
