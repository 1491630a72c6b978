"""Bodies of encoders."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from vitrine.api.schemas.common import example

ENCODER = {"name": "clip", "model": "openai/clip-vit-base-patch32", "revision": "c237dc49", "dim": 512}
ENCODER_OUT = {**ENCODER, "modalities": ["image", "text"]}


class EncoderOut(BaseModel):
    """An encoder. ``model`` is a hub name or the last part of a folder; equal revisions give equal
    vectors."""

    name: str
    model: str
    revision: str
    dim: int
    modalities: list[Literal["image", "text"]] = Field([], description="Left out in search answers.")


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
            "loaded": [ENCODER_OUT],
            "categories": [
                {
                    **ENCODER_OUT,
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
