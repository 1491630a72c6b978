"""Bodies of categories."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from vitrine.api.schemas.common import Taken, example
from vitrine.api.schemas.encoders import ENCODER_OUT, EncoderOut
from vitrine.services.category.leftovers import Remains

_QUANTIZATION = (
    "Smaller copies of the vectors, which searches look through first: 8 bits a component, or 4 (TurboQuant)."
)
_CATEGORY = {
    "name": "pets",
    "description": "Dogs and cats",
    "images": 3680,
    "encoders": [ENCODER_OUT],
    "promoted": {},
    "default": "clip",
    "quantization": "none",
    "indexes": {"tags": "keyword", "class": "keyword", "scores.outdoors": "float"},
    "created_at": "2026-11-20T09:30:00.000+00:00",
    "updated_at": "2026-11-20T09:41:12.400+00:00",
}


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
    quantization: Literal["none", "int8", "turbo4"] = Field("none", description=_QUANTIZATION)


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
    quantization: Literal["none", "int8", "turbo4"] | None = Field(
        None, description=f"{_QUANTIZATION} The index is built anew in the background."
    )


class CategoryOut(BaseModel):
    """One image collection. ``indexes`` are the fields that can be filtered by, with their kinds.

    ``promoted`` are names that a trained encoder is asked by: the named vector in service first, then those
    it replaced. ``default`` is what queries without ``using`` compare by: a name of ``promoted`` or of
    ``encoders``. ``quantization``: the smaller copies of the vectors that the search index holds.
    """

    model_config = example(_CATEGORY)

    name: str
    description: str
    images: int
    encoders: list[EncoderOut]
    promoted: dict[str, list[str]]
    default: str
    quantization: Literal["none", "int8", "turbo4"]
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
