"""The request and response bodies of the API. Hits are built as plain dicts on the way out, because
validating each again would cost more than finding it: the tests hold the two equal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from vitrine.services.category.filters import Conditions
from vitrine.services.category.leftovers import Remains
from vitrine.services.domain import Facet
from vitrine.services.search.searcher import Bin
from vitrine.services.vector_store.base import MAX_LIMIT

MAX_TEXT = 10_000
MAX_EXAMPLES = 1_000
MAX_COMPONENTS = 65_536
ID = "5b1f4a43-94e7-5d5c-8f4e-0a8f6f3c2b11"
_SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_ENCODER = {"name": "clip", "model": "openai/clip-vit-base-patch32", "revision": "c237dc49", "dim": 512}
_ENCODER_OUT = {**_ENCODER, "modalities": ["image", "text"]}
_PATH = f"/v1/categories/pets/images/{ID}"
URLS = {"self": _PATH, "file": f"{_PATH}/file", "thumbnail": f"{_PATH}/thumbnail"}
_PAYLOAD = {
    "sha256": _SHA,
    "filename": "rex.jpg",
    "media_type": "image/jpeg",
    "width": 640,
    "height": 480,
    "bytes": 81234,
    "class": "border_collie",
    "tags": ["dog", "outdoors"],
    "scores": {"outdoors": 0.97},
    "metadata": {"year": 2024},
}
_IMAGE = {"id": ID, "similarity": None, "payload": _PAYLOAD, "urls": URLS}
_CATEGORY = {
    "name": "pets",
    "description": "Dogs and cats",
    "images": 3680,
    "encoders": [_ENCODER_OUT],
    "promoted": {},
    "default": "clip",
    "indexes": {"tags": "keyword", "class": "keyword", "scores.outdoors": "float"},
    "created_at": "2026-11-20T09:30:00.000+00:00",
    "updated_at": "2026-11-20T09:41:12.400+00:00",
}

Id = Annotated[str, StringConstraints(max_length=64)]


class Taken(BaseModel):
    """The base of request bodies: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


def example(value: object) -> ConfigDict:
    """Return the configuration of a model with an example for the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [value]})  # type: ignore[list-item]


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that are numbers, without curves and histograms."""
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


# What is taken
# -----------------------------------------------------------------------------------------------------------


class CategoryNew(Taken):
    """A category to be made. Its encoders cannot be taken away later; others can be added."""

    model_config = example({"name": "pets", "description": "Dogs and cats", "encoders": ["clip"]})

    name: str = Field(
        max_length=200, description="1 to 63 of a-z, 0-9, `-` and `_`, beginning with a letter or digit."
    )
    description: str = Field("", max_length=2_000)
    encoders: list[Annotated[str, StringConstraints(max_length=300)]] | None = Field(
        None,
        min_length=1,
        max_length=8,
        description="Names of presets, of the server's default encoder, or of encoders of other "
        "categories (`GET /v1/encoders`). The first is what queries use. Default: the server's.",
    )


class CategoryChanges(Taken):
    """Changes to a category; what is absent stays."""

    model_config = example({"description": "Dogs, cats and a parrot"})

    description: str | None = Field(None, max_length=2_000)
    add_encoder: str | None = Field(
        None,
        max_length=300,
        description="One more encoder. The images that are there lack its vector until they are "
        "indexed again.",
    )
    default: str | None = Field(
        None,
        max_length=300,
        description="What queries without `using` compare by: a name of `encoders` or of `promoted`.",
    )


class Order(Taken):
    """The order of a listing: by an indexed number or date; images without the field are left out."""

    field: str = Field(max_length=300)
    descending: bool = False


class SearchBody(Taken):
    """One question. Give one of ``text``, ``id``, ``vector``, ``image`` or ``positive``; none of them asks
    for a listing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "text": "a red shoe on white",
                    "limit": 5,
                    "filter": {"tags_all": ["shoes"], "quality": {"gte": 0.5}},
                },
                {"id": ID, "limit": 10, "diversity": 0.3},
                {"id": ID, "using": ["clip", "vit"]},
                {"positive": [ID], "negative": ["0c5c3a4e-1d0c-5f0e-9a51-7d8a5f6f7a10"], "limit": 20},
                {
                    "filter": {"class": ["border_collie"]},
                    "order_by": {"field": "quality", "descending": True},
                    "limit": 50,
                },
            ]
        }
    )

    text: str | None = Field(
        None, max_length=MAX_TEXT, description="What to look for, in words. Needs an encoder that reads text."
    )
    id: Id | None = Field(
        None, description="An image of the category, itself left out of the answer. Needs no encoder."
    )
    vector: list[float] | None = Field(
        None,
        max_length=MAX_COMPONENTS,
        description="A vector of the encoder's dimension; any length but zero, normalised here.",
    )
    image: str | None = Field(
        None, description="An image file in base64. Multipart with `file` is a third smaller."
    )
    positive: list[Id] = Field(
        default_factory=list,
        max_length=MAX_EXAMPLES,
        description="Images to be like, by id; left out of the answer.",
    )
    negative: list[Id] = Field(
        default_factory=list,
        max_length=MAX_EXAMPLES,
        description="Images to be unlike; only together with `positive`.",
    )
    using: str | list[str] | None = Field(
        None,
        description="The encoder whose vectors are compared, or the name of a promoted one; default: the "
        "category's. A list of two or more, with `id`: the answers by each are fused by reciprocal "
        "rank, and `similarity` is the fused score.",
    )
    limit: int = Field(
        10, ge=1, le=MAX_LIMIT, description="Hits at most; `offset + limit` stays within 10,000."
    )
    offset: int = Field(0, ge=0, le=MAX_LIMIT)
    min_similarity: float | None = Field(
        None, ge=-1, le=1, description="Only hits at least so similar (cosine, -1..1)."
    )
    diversity: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Re-rank by maximal marginal relevance: 0 similarity alone, 1 variety alone.",
    )
    filter: Conditions = Field(default_factory=Conditions, description="Conditions that all hits meet.")
    with_vectors: bool = Field(False, description="Add each hit's vector.")
    exact: bool = Field(
        False, description="Compare with every image instead of using the index: slower, never misses one."
    )
    collapse: bool = Field(
        False,
        description="One hit for each group of near-duplicates; `similar` says how many others were "
        "left out.",
    )
    order_by: Order | None = Field(None, description="Listing only.")
    random: bool = Field(False, description="Listing only: a random sample.")
    cursor: str | None = Field(
        None, max_length=2_000, description="Listing only: `cursor` of the page before."
    )

    @property
    def asks(self) -> list[str]:
        """Which of the ways to ask are given."""
        named = {"text": self.text, "id": self.id, "vector": self.vector, "image": self.image}
        return [name for name, value in named.items() if value is not None] + (
            ["positive"] if self.positive else []
        )

    @property
    def fused(self) -> bool:
        return isinstance(self.using, list)

    @model_validator(mode="after")
    def _consistent(self) -> SearchBody:
        asks = self.asks
        if len(asks) > 1:
            raise ValueError(f"give one of text, id, vector, image and positive, not {' and '.join(asks)}")
        if self.negative and not self.positive:
            raise ValueError("negative goes with positive: give at least one positive example")
        if asks:
            self._only("a listing", "order_by", "random", "cursor")
        else:
            self._only("a search", "using", "offset", "min_similarity", "diversity", "exact", "collapse")
        if self.fused:
            if asks != ["id"] or len(set(self.using or ())) < 2:
                raise ValueError("a list in using takes at least two names, and goes with id")
            self._only("a search by one vector", "min_similarity", "diversity")
        if self.random:
            self._only("a listing in order", "order_by", "cursor", "with_vectors")
        return self

    def _only(self, kind: str, *fields: str) -> None:
        defaults = type(self).model_fields
        given = [name for name in fields if getattr(self, name) != defaults[name].default]
        if given:
            raise ValueError(f"{' and '.join(given)} belong to {kind}")


# What is given
# -----------------------------------------------------------------------------------------------------------


class EncoderOut(BaseModel):
    """An encoder. ``model`` is a hub name or the last part of a folder; equal revisions give equal
    vectors."""

    name: str
    model: str
    revision: str
    dim: int
    modalities: list[Literal["image", "text"]] = Field([], description="Left out in search answers.")


class CategoryOut(BaseModel):
    """One image collection. ``indexes`` are the fields that can be filtered by, with their kinds.

    ``promoted`` are names that a trained encoder is asked by: the named vector in service first, then those
    it replaced. ``default`` is what queries without ``using`` compare by: a name of ``promoted`` or of
    ``encoders``.
    """

    model_config = example(_CATEGORY)

    name: str
    description: str
    images: int
    encoders: list[EncoderOut]
    promoted: dict[str, list[str]]
    default: str
    indexes: dict[str, str]
    created_at: str
    updated_at: str


class CategoriesOut(BaseModel):
    """All categories, by name, and what else there is."""

    model_config = example({"categories": [_CATEGORY], "others": []})

    categories: list[CategoryOut]
    others: list[Remains]


class ImagesKept(BaseModel):
    """A category was deleted and its pictures were not: where they are, as ``vitrine index add`` takes
    them."""

    model_config = example({"category": "shop", "images_kept": "objects:shop/images/"})

    category: str
    images_kept: str


class Urls(BaseModel):
    """Paths below this server's address."""

    self: str
    file: str
    thumbnail: str


class HitOut(BaseModel):
    """One image. ``similarity`` is null where nothing was compared."""

    id: str
    similarity: float | None
    payload: dict[str, Any]
    urls: Urls
    vectors: dict[str, list[float]] | None = Field(None, description="By encoder; only if asked for.")


class Timing(BaseModel):
    """Milliseconds: encoding the query, the engine's answer, all of it inside the server."""

    encode_ms: float
    search_ms: float
    total_ms: float


class SearchOut(BaseModel):
    """Hits, best first. ``encoder`` is null for listings; ``cursor`` asks for the next page of a listing,
    null at its end."""

    model_config = example(
        {
            "hits": [{**_IMAGE, "similarity": 0.871}],
            "encoder": _ENCODER,
            "cursor": None,
            "timing": {"encode_ms": 33.1, "search_ms": 1.4, "total_ms": 35.0},
        }
    )

    hits: list[HitOut]
    encoder: EncoderOut | None
    cursor: str | None
    timing: Timing
    similar: dict[str, int] | None = Field(
        None, description="With `collapse`: by id of a hit, how many of its near-duplicates were left out."
    )


class ImageOut(HitOut):
    """One image and what is known of it."""

    model_config = example(_IMAGE)


class ChangedOut(ImageOut):
    """One image as it is after a change."""

    model_config = example({**_IMAGE, "notes": []})

    notes: list[str] = Field([], description="What else to know, such as columns that have no index.")


class NearDuplicateOut(BaseModel):
    """The image that a file is a copy (identical, resized) or a version (edited) of. ``similarity``:
    structural, in -1..1."""

    id: str
    kind: Literal["identical", "resized", "edited"]
    similarity: float
    urls: Urls


class ConflictOut(BaseModel):
    """``kept`` is stored in ``field`` (``class``, ``metadata.price``, ``filename`` ...), ``said`` was not
    taken over."""

    field: str
    kept: Any
    said: Any


class UploadItem(BaseModel):
    """What became of one file. ``id`` if it is in the category; ``reason`` and ``message`` if it was refused.
    A ``duplicate`` was not added, since it is a copy of another image and ``near_duplicates`` was skip.
    ``conflicts``: where the file says something else than the image of the same bytes, which stays as it
    is."""

    filename: str
    outcome: Literal["added", "known", "updated", "duplicate", "refused"]
    id: str | None
    urls: Urls | None
    reason: str | None
    message: str | None
    near_duplicate_of: NearDuplicateOut | None = None
    conflicts: list[ConflictOut] = []


class UploadOut(BaseModel):
    """Item i belongs to file i of the request."""

    model_config = example(
        {
            "items": [
                {
                    "filename": "rex.jpg",
                    "outcome": "added",
                    "id": ID,
                    "urls": URLS,
                    "reason": None,
                    "message": None,
                },
                {
                    "filename": "notes.txt",
                    "outcome": "refused",
                    "id": None,
                    "urls": None,
                    "reason": "unsupported_format",
                    "message": "The file looks like text; JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF and "
                    "PNM pictures are read.",
                },
            ],
            "counts": {"added": 1, "refused": 1},
            "notes": [],
        }
    )

    items: list[UploadItem]
    counts: dict[str, int]
    notes: list[str] = Field([], description="What else to know, such as columns that have no index.")


class FacetsOut(BaseModel):
    """The most frequent values of a field."""

    model_config = example(
        {"field": "tags", "values": [{"value": "dog", "count": 2400}, {"value": "cat", "count": 1280}]}
    )

    field: str
    values: list[Facet]


class HistogramOut(BaseModel):
    """Equal bins in rising order; none where no image has the field."""

    model_config = example({"field": "quality", "bins": [{"lower": 0.0, "upper": 0.5, "count": 12}]})

    field: str
    bins: list[Bin]


class CategoryEncoder(EncoderOut):
    """An encoder of a category; ``loaded`` says whether it is in memory now.

    ``promoted_as`` is the name that a promotion gave it; ``in_service`` is false once another was promoted
    under that name.
    """

    category: str
    loaded: bool
    promoted_as: str | None
    in_service: bool


class EncodersOut(BaseModel):
    """Encoders that new categories may have, those in memory, and those that categories were filled with."""

    model_config = example(
        {
            "default": "clip",
            "presets": {"clip": "openai/clip-vit-base-patch32", "vit": "google/vit-base-patch16-224-in21k"},
            "loaded": [_ENCODER_OUT],
            "categories": [
                {
                    **_ENCODER_OUT,
                    "category": "pets",
                    "loaded": True,
                    "promoted_as": None,
                    "in_service": True,
                }
            ],
            "precision": "auto",
            "device": "auto",
        }
    )

    default: str
    presets: dict[str, str]
    loaded: list[EncoderOut]
    categories: list[CategoryEncoder]
    precision: str
    device: str


class HealthOut(BaseModel):
    """The process answers."""

    model_config = example({"status": "ok"})

    status: Literal["ok"]


class ReadyOut(BaseModel):
    """Whether the stores answer; each part is ``ok`` or an error code. ``ready``: all can be done;
    ``search``: searches can.

    ``known_as_of``: since when the object store does not answer. Searches go on with what was known of it
    then.
    """

    model_config = example(
        {"ready": True, "search": True, "parts": {"vectors": "ok", "objects": "ok"}, "known_as_of": None}
    )

    ready: bool
    search: bool
    parts: dict[str, str]
    known_as_of: datetime | None


class Problem(BaseModel):
    """Any error (RFC 9457). ``code`` is stable and for programs, ``detail`` for people."""

    model_config = example(
        {
            "type": "urn:vitrine:problem:unknown_field",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "'caption' has no index, so it cannot be counted by value. These can: class, tags.",
            "code": "unknown_field",
            "request_id": "4f0c7f3c1c5b4d0f8a7c7d4b0e9b6a51",
            "details": {"field": "caption"},
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    details: dict[str, Any] | None = None
