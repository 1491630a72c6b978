"""Bodies of searches, facets and histograms."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from vitrine.api.schemas.common import ID, Id, Taken, example
from vitrine.api.schemas.encoders import ENCODER, EncoderOut
from vitrine.api.schemas.images import IMAGE, HitOut
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Bin, Facet
from vitrine.services.search.returned import MAX_FIELDS
from vitrine.services.search.whole.grouping import MAX_GROUP
from vitrine.services.vector_store.base import MAX_LIMIT

Example = Annotated[str, StringConstraints(max_length=200)]
FieldName = Annotated[str, StringConstraints(min_length=1, max_length=300)]
MAX_TEXT = 10_000
MAX_EXAMPLES = 1_000
MAX_COMPONENTS = 65_536
MAX_SEARCHES = 100
PICTURE = "picture:"
"""Before the hash of a picture that was sent before, in place of an image's id."""


class Order(Taken):
    """The order of a listing: by an indexed number or date; images without the field are left out."""

    field: str = Field(max_length=300)
    descending: bool = False


class SearchBody(Taken):
    """One question. Give one of ``text``, ``id``, ``vector``, ``image`` or ``positive``, or ``text`` next to
    ``positive`` and ``negative``; none of them asks for a listing."""

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
    positive: list[Example] = Field(
        default_factory=list,
        max_length=MAX_EXAMPLES,
        description="Images to be like: ids, which are left out of the answer, or `picture:<sha256>`, what "
        "`POST /v1/pictures` answered. A `text` is one example more.",
    )
    negative: list[Example] = Field(
        default_factory=list,
        max_length=MAX_EXAMPLES,
        description="Images to be unlike; only together with `positive` or `text`.",
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
    fields: list[FieldName] | None = Field(
        None,
        max_length=MAX_FIELDS,
        description="Only these of each payload: class, scores.TAG, metadata.COLUMN ...; default: all.",
    )
    total: bool = Field(
        False, description="Say how many images there are: all that meet the filter, or hits up to 10,000."
    )
    group_by: FieldName | None = Field(
        None,
        description="Search only: the best hits of each value of this field of words, whole numbers or "
        "truths, or of each leaf of cluster.RUN. `limit` and `offset` count groups.",
    )
    group_size: int = Field(1, ge=1, le=MAX_GROUP, description="With `group_by`: hits of each group at most.")
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
        if len(asks) > 1 and asks != ["text", "positive"]:
            raise ValueError(f"give one of text, id, vector, image and positive, not {' and '.join(asks)}")
        if self.negative and not (self.positive or asks == ["text"]):
            raise ValueError("negative goes with positive or text: give at least one positive example")
        if asks:
            self._only("a listing", "order_by", "random", "cursor")
        else:
            self._only(
                "a search", "using", "offset", "min_similarity", "diversity", "exact", "collapse", "group_by"
            )
        if self.group_by is None:
            self._only("group_by", "group_size")
        else:
            self._only("hits that are not grouped", "diversity")
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


class SearchesBody(Taken):
    """Several questions to one category, 1 to 100, which ask for at most 10,000 hits together."""

    model_config = example(
        {"searches": [{"id": ID, "limit": 5}, {"text": "a red shoe", "filter": {"class": ["shoe"]}}]}
    ) | ConfigDict(extra="forbid")

    searches: list[SearchBody] = Field(
        min_length=1, max_length=MAX_SEARCHES, description="Each asks by one of the ways of a search."
    )

    @model_validator(mode="after")
    def _consistent(self) -> SearchesBody:
        number = next((n for n, search in enumerate(self.searches, 1) if not search.asks), None)
        if number is not None:
            raise ValueError(
                f"search {number} of {len(self.searches)} asks for nothing: give it one of text, id, vector, "
                "image and positive"
            )
        if any(search.total or search.group_by is not None for search in self.searches):
            raise ValueError("total and group_by belong to a single search: send it to .../search")
        if sum(search.offset + search.limit for search in self.searches) > MAX_LIMIT:
            raise ValueError(f"offset + limit of all searches add up to more than {MAX_LIMIT:,}: send fewer")
        return self


class Timing(BaseModel):
    """Milliseconds: encoding the query, the engine's answer, all of it inside the server."""

    encode_ms: float
    search_ms: float
    total_ms: float


class GroupOut(BaseModel):
    """A run of ``hits`` hits that have one ``value``; null: an image without one."""

    value: str | int | bool | None
    hits: int


class SearchOut(BaseModel):
    """Hits, best first. ``encoder`` is null for listings; ``cursor`` asks for the next page of a listing,
    null at its end."""

    model_config = example(
        {
            "hits": [{**IMAGE, "similarity": 0.871}],
            "encoder": ENCODER,
            "cursor": None,
            "timing": {"encode_ms": 33.1, "search_ms": 1.4, "total_ms": 35.0},
        }
    )

    hits: list[HitOut]
    encoder: EncoderOut | None
    cursor: str | None
    timing: Timing
    total: int | None = Field(None, description="With `total`: images of the whole query.")
    groups: list[GroupOut] | None = Field(
        None, description="With `group_by`: each is the next so many of `hits`."
    )
    similar: dict[str, int] | None = Field(
        None, description="With `collapse`: by id of a hit, how many of its near-duplicates were left out."
    )


class AnswerOut(BaseModel):
    """The answer to one of several searches: its hits, best first."""

    hits: list[HitOut]
    encoder: EncoderOut
    similar: dict[str, int] | None = Field(None, description="As in the answer to a single search.")


class SearchesOut(BaseModel):
    """Answer i belongs to search i. ``timing`` is of all together."""

    model_config = example(
        {
            "answers": [{"hits": [{**IMAGE, "similarity": 0.871}], "encoder": ENCODER}],
            "timing": {"encode_ms": 33.1, "search_ms": 1.9, "total_ms": 36.0},
        }
    )

    answers: list[AnswerOut]
    timing: Timing


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
