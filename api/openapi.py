"""Complete the OpenAPI document with what the routes' signatures do not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from vitrine.api.schemas.categories import CategoryChanges, CategoryNew
from vitrine.api.schemas.changes import BatchBody
from vitrine.api.schemas.common import Problem
from vitrine.api.schemas.findings.clusters import NodeBody
from vitrine.api.schemas.findings.duplicates import DecisionBody
from vitrine.api.schemas.findings.taggers import LabelsBody, PictureBody, TrainBody
from vitrine.api.schemas.images import KnownBody
from vitrine.api.schemas.jobs import JobBody
from vitrine.api.schemas.saved import SavedBody
from vitrine.api.schemas.search import SearchBody, SearchesBody
from vitrine.api.schemas.session import SessionBody
from vitrine.api.schemas.several import SeveralBody
from vitrine.api.schemas.summary import SummaryBody
from vitrine.services.category.editor import ImageChanges
from vitrine.services.category.filters import FILTER_WORDS

_TAKEN: tuple[type[BaseModel], ...] = (
    CategoryNew,
    CategoryChanges,
    SearchBody,
    SearchesBody,
    SeveralBody,
    SummaryBody,
    ImageChanges,
    BatchBody,
    SavedBody,
    DecisionBody,
    NodeBody,
    PictureBody,
    LabelsBody,
    KnownBody,
    TrainBody,
    SessionBody,
    JobBody,
    Problem,
)
_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "description": "An error; `code` says which.",
    "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
}
BINARY = {"type": "string", "format": "binary"}
TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
COLUMNS = {
    **TEXTS,
    "description": "What a metadata column holds, as `price:float`; once for each. Kinds: keyword, "
    "integer, float, bool, datetime. Other values are refused by name; what images hold in it already "
    "is cast.",
}
"""The form field ``columns``."""
FILTERS = {
    "name": "conditions",
    "in": "query",
    "style": "form",
    "explode": True,
    "description": "Conditions as `key=value`: "
    + ", ".join(f"`{word}`" for word in FILTER_WORDS)
    + ". `tag` repeated: all of them. Bounds are gte, lte, gt and lt. Repeated keys collect.",
    "schema": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    "example": {"tag": ["shoes"], "quality.gte": ["0.5"]},
}


def body_of(
    model: type[BaseModel] | None = None,
    *,
    form: Mapping[str, Any] | None = None,
    needs: Sequence[str] = (),
    about: str = "",
    required: bool = True,
) -> dict[str, Any]:
    """Return ``openapi_extra`` of a route that reads its body by hand: JSON of ``model``, or a multipart
    form.

    ``form`` has the schema of each form field; ``needs`` names those that must be there, ``about`` describes
    it.
    """
    content: dict[str, Any] = {}
    if model:
        content["application/json"] = {"schema": {"$ref": _REF.format(model=model.__name__)}}
    if form:
        more = ({"required": list(needs)} if needs else {}) | ({"description": about} if about else {})
        content["multipart/form-data"] = {"schema": {"type": "object", **more, "properties": form}}
    return {"requestBody": {"required": required, "content": content}}


PICTURE = body_of(PictureBody, form={"file": BINARY}, needs=["file"])
"""One picture: ``bodies.read_picture``."""


def describe(app: FastAPI) -> None:
    """Give the app a document that also holds the models read by hand, and the problem document on every
    route."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    tree = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    schemas = tree.setdefault("components", {}).setdefault("schemas", {})
    _, taken = models_json_schema([(model, "validation") for model in _TAKEN], ref_template=_REF)
    schemas.update(taken["$defs"])
    schemas.pop("HTTPValidationError", None)  # FastAPI's own error body: ours is a Problem
    schemas.pop("ValidationError", None)
    for path in tree["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _PROBLEM
    return tree


if __name__ == "__main__":  # the page's types are made of it: make web-check
    import sys

    import orjson

    from vitrine.api.app import create_app
    from vitrine.services.settings import Settings

    sys.stdout.buffer.write(orjson.dumps(create_app(Settings()).openapi()))
