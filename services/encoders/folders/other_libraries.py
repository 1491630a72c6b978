"""Read the preprocessing of open_clip (open_clip_config.json) and of timm (pretrained_cfg in config.json).

Both centre a crop by rounding where Pillow-based processors round down: where an odd number of pixels is cut,
theirs may lie one pixel to the right or below.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.folders.processor_kinds import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
)
from vitrine.services.errors import ModelUnavailable

_TIMM_CROP = 0.875


def parse_open_clip(config: Mapping[str, Any]) -> Preprocessing:
    """Return what open_clip_config.json asks for. Raises ModelUnavailable for padding, and where it says no
    size."""
    asked = _part(config, "preprocess_cfg")
    model = _part(config, "model_cfg")
    with_size = asked.get("size") or _part(model, "vision_cfg").get("image_size")
    mode = asked.get("resize_mode") or "shortest"
    if with_size is None:
        raise ModelUnavailable(
            "open_clip_config.json says no image_size (in model_cfg.vision_cfg): take the file of the "
            "original model."
        )
    height, width = _pair(with_size)
    mean, std = _three(asked.get("mean") or CLIP_MEAN), _three(asked.get("std") or CLIP_STD)
    interpolation = _interpolation(asked.get("interpolation"))
    if mode == "squash":
        return Preprocessing((height, width), None, mean, std, interpolation)
    if mode != "shortest" or height != width:
        raise ModelUnavailable(
            f"The preprocessing of this open_clip model (resize_mode {mode}, {height} x {width}) is not "
            "supported: pictures are either squashed to one size or cropped to a square, never padded."
        )
    return Preprocessing(height, (height, width), mean, std, interpolation)


def parse_timm(config: Mapping[str, Any]) -> Preprocessing:
    """Return what a config.json of timm asks for: its ``pretrained_cfg``, or older files' own keys. Raises
    ModelUnavailable for padding, and where it says no input size."""
    asked = config.get("pretrained_cfg") or config
    size = asked.get("input_size")
    mode = asked.get("crop_mode") or "center"
    if not isinstance(size, list | tuple) or len(size) != 3:
        raise ModelUnavailable(
            "config.json of this timm model says no input_size in its pretrained_cfg: take the file of the "
            "original model."
        )
    height, width = int(size[1]), int(size[2])
    share = float(asked.get("crop_pct") or _TIMM_CROP)
    around = math.floor(height / share), math.floor(width / share)
    mean, std = _three(asked.get("mean") or IMAGENET_MEAN), _three(asked.get("std") or IMAGENET_STD)
    interpolation = _interpolation(asked.get("interpolation"))
    crop = None if around == (height, width) else (height, width)
    if mode == "squash":
        return Preprocessing(around, crop, mean, std, interpolation)
    if mode != "center" or height != width:
        raise ModelUnavailable(
            f"The preprocessing of this timm model (crop_mode {mode}, {height} x {width}) is not supported: "
            "pictures are either squashed to one size or cropped to a square, never padded."
        )
    return Preprocessing(around[0], (height, width), mean, std, interpolation)


def _part(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = tree.get(key)
    return part if isinstance(part, Mapping) else {}


def _interpolation(name: object) -> str:
    known = {resampling.name.lower() for resampling in Image.Resampling}
    return str(name) if str(name) in known else "bicubic"  # timm also draws one by chance, in training


def _pair(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _three(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
