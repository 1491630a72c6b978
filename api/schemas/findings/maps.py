"""The bodies of the routes of maps."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from vitrine.api.schemas.common import example

_MAP = {
    "name": "umap",
    "method": "umap",
    "using": "clip",
    "encoder_revision": "c237dc49",
    "images": 3680,
    "missing": 0,
    "seed": 0,
    "parameters": {"neighbours": 15, "min_dist": 0.1, "metric": "cosine", "sample": 20000},
    "metrics": {"fitted": 3680, "explained_before": 0.57, "neighbours_kept": 0.31},
    "created_at": "2026-11-20T10:00:00.000+00:00",
}
_POINTS = {
    "map": "umap",
    "created_at": "2026-11-20T10:00:00.000+00:00",
    "by": "class",
    "ids": ["5b1f4a43-94e7-5d5c-8f4e-0a8f6f3c2b11"],
    "x": [0.25],
    "y": [0.75],
    "values": ["dog"],
    "cursor": None,
}


class MapOut(BaseModel):
    """A map. ``images``: how many were laid out; ``missing``: how many have the vector but no place, since
    they came later."""

    model_config = example(_MAP)

    name: str
    method: str
    using: str
    encoder_revision: str
    images: int
    missing: int
    seed: int
    parameters: dict[str, Any]
    metrics: dict[str, Any] = Field(
        description="`neighbours_kept`: of an image's 15 nearest, the share that is near on the map."
    )
    created_at: str


class MapsOut(BaseModel):
    maps: list[MapOut]


class MapPointsOut(BaseModel):
    """Some images of a map; the lists are aligned. Coordinates are in 0..1; y grows upwards."""

    model_config = example(_POINTS)

    map: str
    created_at: str = Field(
        description="If it differs from the page before, the map was replaced meanwhile: begin again."
    )
    by: str | None
    ids: list[str]
    x: list[float]
    y: list[float]
    values: list[str | int | float | bool | None] | None
    cursor: str | None
