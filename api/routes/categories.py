"""Categories: make, read, change, delete."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Depends, Query
from starlette.responses import Response

from vitrine.api.auth import READ, WRITE
from vitrine.api.deps import RuntimeDep
from vitrine.api.errors import ConfirmationNeeded
from vitrine.api.openapi import body_of
from vitrine.api.responses import encoder_json
from vitrine.api.route import Json, json_body
from vitrine.api.route import router as new_router
from vitrine.api.schemas.categories import (
    CategoriesOut,
    CategoryChanges,
    CategoryNew,
    CategoryOut,
    ImagesKept,
)
from vitrine.api.schemas.encoders import EncoderOut
from vitrine.services.category.catalog import Category, Remains
from vitrine.services.domain import EncoderSpec, Quantization
from vitrine.services.encoders.reference import PRESETS, EncoderReference, parse_reference
from vitrine.services.errors import BadRequest, Unavailable
from vitrine.services.runtime import Runtime

router = new_router("categories", "/v1/categories")


@router.get("", dependencies=[READ])
def list_categories(runtime: RuntimeDep) -> CategoriesOut:
    """List all categories by name, each with the number of its images; ``others`` are damaged, half deleted,
    or left of one."""
    others = _remains(runtime)
    faulty = {other.name for other in others}
    found = [_shown(runtime, one) for one in runtime.catalog.list() if one.name not in faulty]
    return CategoriesOut(categories=found, others=others)


@router.post("", status_code=201, openapi_extra=body_of(CategoryNew), dependencies=[WRITE])
def create_category(
    response: Response, runtime: RuntimeDep, body: Annotated[CategoryNew, Depends(json_body(CategoryNew))]
) -> CategoryOut:
    """Make an empty category. Loads its encoders, which takes seconds the first time.

    422 ``bad_request`` for a bad name or an unknown encoder, 409 ``already_exists``, 503
    ``model_unavailable``.
    """
    runtime.catalog.make_room(body.name)
    known = [_known(runtime, name) for name in body.encoders or [runtime.settings.encoder]]
    if len({one.name for one in known}) < len(known):
        raise BadRequest("Two of the encoders have the same name: name each once.")
    category = runtime.create_category(
        body.name, known, body.description, quantization=_form(body.quantization)
    )
    response.headers["Location"] = f"/v1/categories/{category.name}"
    return _shown(runtime, category)


@router.get("/{category}", dependencies=[READ])
def get_category(category: str, runtime: RuntimeDep) -> CategoryOut:
    """Return one category. 404 ``not_found``."""
    return _shown(runtime, runtime.catalog.get(category))


@router.patch("/{category}", openapi_extra=body_of(CategoryChanges), dependencies=[WRITE])
def change_category(
    category: str, runtime: RuntimeDep, body: Annotated[CategoryChanges, Depends(json_body(CategoryChanges))]
) -> CategoryOut:
    """Change the description, add an encoder, choose the default one, or how the search index is kept.

    409 ``encoder_mismatch`` if the name of an added one is taken by another revision, 422 ``unknown_vector``
    for a default that the category does not have.
    """
    found = runtime.catalog.get(category)
    if body.add_encoder is not None:
        found = runtime.add_encoder(category, _known(runtime, body.add_encoder))
    if body.default is not None:
        found = runtime.catalog.set_default(category, body.default)
    if body.quantization is not None:
        found = runtime.catalog.set_quantization(category, _form(body.quantization))
    if body.description is not None:
        found = runtime.catalog.describe(category, body.description)
    return _shown(runtime, found)


@router.delete(
    "/{category}",
    status_code=204,
    responses={200: {"model": ImagesKept, "description": "The pictures were kept."}},
    dependencies=[WRITE],
)
def delete_category(
    category: str,
    runtime: RuntimeDep,
    confirm: Annotated[
        str | None, Query(description="The category's name, once more: there is no way back.")
    ] = None,
    images: Annotated[
        Literal["keep", "delete"] | None,
        Query(
            description="Whether the pictures stay in the object store. By default they do only if the "
            "category is damaged."
        ),
    ] = None,
) -> Response:
    """Delete a category with all its images, or what an interrupted deletion has left of one.

    204; 200 with where the pictures are, if they were kept. 422 ``confirmation_needed`` unless ``confirm``
    repeats the name.
    """
    kept = runtime.catalog.keeps_images(category)
    keep = kept if images is None else images == "keep"
    if confirm != category:
        loss = (
            f"{category!r} for good and keeps its pictures"
            if keep
            else f"every image of {category!r} for good"
        )
        raise ConfirmationNeeded(
            f"This deletes {loss}: repeat the request with ?confirm={category}.", category=category
        )
    runtime.catalog.delete(category, keep_images=keep)
    if not keep:
        return Response(status_code=204)
    return Json({"category": category, "images_kept": f"objects:{category}/images/"})


def _remains(runtime: Runtime) -> list[Remains]:
    """Return what else is there; nothing while a store does not answer, as the categories are known then
    too."""
    try:
        return [] if runtime.known.away_since else runtime.catalog.remains()
    except Unavailable:
        return []


def _form(word: Literal["none", "int8", "turbo4"]) -> Quantization | None:
    return None if word == "none" else word


def _shown(runtime: Runtime, category: Category) -> CategoryOut:
    return CategoryOut(
        name=category.name,
        description=category.description,
        images=runtime.vectors.count(category.name),
        encoders=[EncoderOut(**encoder_json(spec)) for spec in category.encoders],
        promoted={alias: list(names) for alias, names in category.promoted.items()},
        default=category.default or category.encoders[0].name,
        quantization=category.quantization or "none",
        indexes=dict(category.indexes),
        created_at=category.created_at,
        updated_at=category.updated_at,
    )


def _known(runtime: Runtime, name: str) -> EncoderReference | EncoderSpec:
    """Return an encoder that the server knows. Any other reference could make it read its folders or
    download."""
    name = name.strip()
    default = parse_reference(runtime.settings.encoder)
    if name in (default.name, runtime.settings.encoder):
        return default
    if name in PRESETS:
        return PRESETS[name]
    used = [spec for category in runtime.catalog.list() for spec in category.encoders]
    for spec in (*used, *runtime.encoders.loaded()):
        if spec.name == name:
            return spec
    raise BadRequest(
        f"{name[:80]!r} is not an encoder of this server: GET /v1/encoders names them.", encoder=name[:80]
    )
