"""Which encoders there are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from vitrine.api.auth import require
from vitrine.api.deps import RuntimeDep
from vitrine.api.responses import as_json, encoder_json
from vitrine.api.schemas.common import EncodersOut
from vitrine.services.category.catalog import Category
from vitrine.services.domain import EncoderSpec
from vitrine.services.encoders.reference import PRESETS, parse_reference

router = APIRouter(prefix="/v1/encoders", tags=["encoders"], dependencies=[Depends(require("read"))])


@router.get("", responses={200: {"model": EncodersOut}}, response_class=Response)
def list_encoders(runtime: RuntimeDep) -> Response:
    """Presets, what is in memory, and what the categories were filled with; precision and device as they are
    set."""
    loaded = runtime.encoders.loaded()
    in_memory = {(spec.name, spec.fingerprint) for spec in loaded}
    used = [
        {**_of_category(category, spec), "loaded": (spec.name, spec.fingerprint) in in_memory}
        for category in runtime.catalog.list()
        for spec in category.encoders
    ]
    return as_json(
        {
            "default": parse_reference(runtime.settings.encoder).name,
            "presets": {name: reference.model for name, reference in PRESETS.items()},
            "loaded": [encoder_json(spec) for spec in loaded],
            "categories": used,
            "precision": runtime.settings.precision,
            "device": runtime.settings.device,
        }
    )


def _of_category(category: Category, spec: EncoderSpec) -> dict[str, Any]:
    names = (alias for alias, versions in category.promoted.items() if spec.name in versions)
    return {
        **encoder_json(spec),
        "category": category.name,
        "promoted_as": next(names, None),
        "in_service": spec in category.active_encoders,
    }
