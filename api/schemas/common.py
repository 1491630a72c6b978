"""What the bodies of several resources share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

ID = "5b1f4a43-94e7-5d5c-8f4e-0a8f6f3c2b11"
_PATH = f"/v1/categories/pets/images/{ID}"
URLS = {"self": _PATH, "file": f"{_PATH}/file", "thumbnail": f"{_PATH}/thumbnail"}
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
