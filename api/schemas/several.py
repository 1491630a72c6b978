"""Bodies of searches over several categories."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from vitrine.api.schemas.common import ID, example
from vitrine.api.schemas.encoders import ENCODER, EncoderOut
from vitrine.api.schemas.images import IMAGE, HitOut
from vitrine.api.schemas.search import PICTURE, SearchBody, Timing

MAX_CATEGORIES = 16
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class SeveralBody(SearchBody):
    """One question to several categories: ``text``, ``vector``, ``image``, ``id`` or ``positive``. What
    belongs to a listing, ``diversity``, ``group_by`` and a list in ``using`` are for one category."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "a red shoe", "categories": ["shop", "archive"], "limit": 20},
                {"id": ID, "category": "shop", "limit": 10},
            ]
        }
    )

    categories: list[Name] | None = Field(
        None,
        min_length=1,
        max_length=MAX_CATEGORIES,
        description="Which to search, by name; default: all that can answer by the encoder that most have.",
    )
    category: Name | None = Field(
        None,
        description="Of which category the image `id` is, and the examples that are ids. It need not be "
        "searched.",
    )

    @model_validator(mode="after")
    def _of_several(self) -> SeveralBody:
        if not self.asks:
            raise ValueError("give one of text, id, vector, image and positive: a listing is of one category")
        self._only("a search of one category", "diversity", "group_by")
        if self.fused:
            raise ValueError("a list in using belongs to a search of one category")
        ids = [one for one in (*self.positive, *self.negative) if not one.startswith(PICTURE)]
        if (self.id is not None or bool(ids)) != (self.category is not None):
            raise ValueError(
                "category goes with id, and with examples that are ids: it says which category has them"
            )
        return self


class CategoryHitOut(HitOut):
    """A hit, and the category that it is of."""

    category: str


class ShareOut(BaseModel):
    """A category that was searched, and how many of the ``hits`` are of it."""

    category: str
    hits: int
    total: int | None = Field(None, description="With `total`: its hits in all, 10,000 at most.")
    similar: dict[str, int] | None = Field(
        None, description="With `collapse`: by id of a hit, how many of its near-duplicates were left out."
    )


class NotSearchedOut(BaseModel):
    """A category that was not searched, and why, as the error would be if it were named."""

    category: str
    code: str
    detail: str


class SeveralOut(BaseModel):
    """Hits of all categories, best first. ``encoder`` is the one that they were searched by, under its name
    where the query was encoded."""

    model_config = example(
        {
            "hits": [{**IMAGE, "similarity": 0.871, "category": "pets"}],
            "encoder": ENCODER,
            "categories": [{"category": "pets", "hits": 1}, {"category": "shop", "hits": 0}],
            "left_out": [
                {
                    "category": "scans",
                    "code": "unsupported_query",
                    "detail": "The encoder 'vit' of category 'scans' reads no text.",
                }
            ],
            "timing": {"encode_ms": 33.1, "search_ms": 2.9, "total_ms": 36.4},
        }
    )

    hits: list[CategoryHitOut]
    encoder: EncoderOut
    categories: list[ShareOut]
    left_out: list[NotSearchedOut]
    timing: Timing
    total: int | None = Field(None, description="With `total`: the hits of all categories.")
