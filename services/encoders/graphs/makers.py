"""The kinds of network that are built straight from their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

from vitrine.services.encoders.compiled.library import import_openvino
from vitrine.services.encoders.graphs.graph import EncoderGraph, GraphMaker
from vitrine.services.encoders.graphs.weights import Weights

_BY_MODEL_TYPE: Mapping[str, tuple[str, ...]] = {
    "clip": ("clip", "clip_vision_model"),
    "siglip": ("siglip", "siglip_vision_model"),
    "vit": ("vit", "deit", "vit_msn", "vit_mae"),
    "dinov2": ("dinov2", "dinov2_with_registers"),
    "dinov3": ("dinov3_vit",),
    "beit": ("beit", "data2vec-vision"),
    "maps.mobilenet_v2": ("mobilenet_v2",),
    "maps.resnet": ("resnet",),
    "maps.convnext": ("convnext", "convnextv2"),
    "maps.efficientnet": ("efficientnet",),
    "maps.regnet": ("regnet",),
    "maps.segformer": ("segformer",),
    "maps.swin": ("swin",),
}
"""The file next to this one that builds the models of a type, as transformers writes it in config.json."""


@dataclass(frozen=True)
class ByModelType:
    """A GraphMaker for what transformers saved.

    Its file, and openvino with it, are imported when it builds.
    """

    file: str
    types: tuple[str, ...]

    def takes(self, config: Mapping[str, Any]) -> bool:
        return config.get("model_type") in self.types

    def build(
        self, config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
    ) -> EncoderGraph:
        return _build(self.file, config, weights, size, images_only)


@dataclass(frozen=True)
class ByKey:
    """A GraphMaker for what another library saved, whose configs have a key of their own."""

    file: str
    key: str

    def takes(self, config: Mapping[str, Any]) -> bool:
        return isinstance(config.get(self.key), Mapping)

    def build(
        self, config: Mapping[str, Any], weights: Weights, size: tuple[int, int], *, images_only: bool = False
    ) -> EncoderGraph:
        return _build(self.file, config, weights, size, images_only)


def _build(
    file: str, config: Mapping[str, Any], weights: Weights, size: tuple[int, int], images_only: bool
) -> EncoderGraph:
    import_openvino()
    builder = import_module(f"vitrine.services.encoders.graphs.{file}")
    return cast(EncoderGraph, builder.build(config, weights, size, images_only=images_only))


def makers() -> tuple[GraphMaker, ...]:
    """Return a maker for each kind of network, in the order in which a config is shown to them."""
    return (
        *(ByModelType(file, types) for file, types in _BY_MODEL_TYPE.items()),
        ByKey("open_clip", "model_cfg"),
        ByKey("timm_vit", "pretrained_cfg"),
    )
