"""Which encoders there are."""

from __future__ import annotations

from vitrine.api.deps import RuntimeDep
from vitrine.api.responses import encoder_json
from vitrine.api.route import router as new_router
from vitrine.api.schemas.encoders import CategoryEncoder, EncoderOut, EncodersOut
from vitrine.services.category.catalog import Category
from vitrine.services.domain import EncoderSpec
from vitrine.services.encoders.reference import PRESETS, parse_reference

router = new_router("encoders", "/v1/encoders", "read")


@router.get("")
def list_encoders(runtime: RuntimeDep) -> EncodersOut:
    """List presets, the encoders in memory, and those that filled the categories; precision and device as
    they are set."""
    loaded = runtime.encoders.loaded()
    in_memory = {(spec.name, spec.fingerprint) for spec in loaded}

    def of_category(category: Category, spec: EncoderSpec) -> CategoryEncoder:
        names = (alias for alias, versions in category.promoted.items() if spec.name in versions)
        return CategoryEncoder(
            **encoder_json(spec),
            category=category.name,
            loaded=(spec.name, spec.fingerprint) in in_memory,
            promoted_as=next(names, None),
            in_service=spec in category.active_encoders,
        )

    categories = runtime.catalog.list()
    return EncodersOut(
        default=parse_reference(runtime.settings.encoder).name,
        presets={name: reference.model for name, reference in PRESETS.items()},
        loaded=[EncoderOut(**encoder_json(spec)) for spec in loaded],
        categories=[of_category(category, spec) for category in categories for spec in category.encoders],
        precision=runtime.settings.precision,
        device=runtime.settings.device,
    )
