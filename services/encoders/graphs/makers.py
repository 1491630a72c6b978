"""The kinds of network that are built straight from their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from vitrine.services.encoders.graphs.graph import EncoderGraph, GraphMaker
from vitrine.services.encoders.graphs.weights import Weights

_BY_MODEL_TYPE: Mapping[str, tuple[str, ...]] = {
    "clip": ("clip", "clip_vision_model"),
    "vit": ("vit", "deit", "vit_msn", "vit_mae"),
}
"""The file next to this one that builds the models of a type, as transformers writes it in config.json."""


@dataclass(frozen=True)
class ByModelType:
    """A GraphMaker for what transformers saved. Its file, and openvino, are imported when it builds."""

    file: str
    types: tuple[str, ...]

    def takes(self, config: Mapping[str, Any]) -> bool:
        return config.get("model_type") in self.types

    def build(
        self, config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
    ) -> EncoderGraph:
        builder = import_module(f"vitrine.services.encoders.graphs.{self.file}")
        return cast(EncoderGraph, builder.build(config, weights, size, images_only=images_only))


def makers() -> tuple[GraphMaker, ...]:
    """Return a maker for each kind of network, in the order in which a config is shown to them."""
    return tuple(ByModelType(file, types) for file, types in _BY_MODEL_TYPE.items())
