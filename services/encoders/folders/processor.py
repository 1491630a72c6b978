"""Read preprocessor_config.json (or processor_config.json) of transformers, new and old forms of it.

The result is that of the library's own PIL processors, which a test holds. The DINOv3 processor alone differs
by its order (it rescales before it resizes): a cosine of 0.99999.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.folders.processor_kinds import (
    KIND_OF_MODEL,
    KINDS,
    REFUSED,
    Channels,
    ProcessorKind,
)
from vitrine.services.errors import ModelUnavailable

_CONVNEXT_WARPS_FROM = 384
_LEVIT_GROWTH = 256 / 224
_ENDINGS = ("Pil", "Fast", "ImageProcessor", "FeatureExtractor")
_UNBOUNDED = ("longest_edge", "max_height", "max_width", "min_pixels", "max_pixels")
"""Keys of a size that lets pictures differ in theirs."""

Size = int | tuple[int, int]


def parse_processor(processor: Mapping[str, Any], config: Mapping[str, Any]) -> Preprocessing:
    """Return what an image processor's file asks for; ``config`` is the model's config.json.

    Raises ModelUnavailable for a kind that is not known, and for steps that do not end in one fixed size.
    """
    name, kind = _kind(processor, config)
    try:
        return _Reader(name, kind, processor).preprocessing()
    except (KeyError, TypeError, ValueError) as error:
        raise ModelUnavailable(
            f"The preprocessing of {name} cannot be read: preprocessor_config.json holds something else than "
            f"numbers where sizes, means or factors belong ({str(error)[:100]}). Take the file of the "
            "original model."
        ) from error


def names_known_kind(processor: Mapping[str, Any]) -> bool:
    """Return whether the file itself names a kind of image processor that can be used."""
    return _stem(_class_name(processor)) in KINDS


@dataclass(frozen=True)
class _Reader:
    name: str
    kind: ProcessorKind
    keys: Mapping[str, Any]

    def preprocessing(self) -> Preprocessing:
        resize, crop = self._sizes()
        mean, std = self._mean_and_std()
        return Preprocessing(resize, crop, mean, std, self._interpolation(), self._channels())

    def _get(self, key: str, default: Any) -> Any:
        """Return a key's value. Null is a value, as in transformers: the step is left out."""
        return self.keys.get(key, default)

    def _interpolation(self) -> str:
        resample = self._get("resample", self.kind.resample)
        if isinstance(resample, str):
            return Image.Resampling[resample.upper()].name.lower()
        return Image.Resampling(int(resample)).name.lower()

    def _channels(self) -> Literal["rgb", "bgr"]:
        return "bgr" if self.kind.bgr and self._get("do_flip_channel_order", True) else "rgb"

    def _sizes(self) -> tuple[Size, tuple[int, int] | None]:
        if not self._get("do_resize", True) or self._get("do_pad", False):
            raise ModelUnavailable(
                f"The preprocessing of {self.name} is not supported: images must be resized to one fixed "
                "size, without padding."
            )
        size = self._size()
        crop = self._crop()
        if self.kind.steps == "convnext" and isinstance(size, int):
            return _convnext_sizes(size, float(self.keys.get("crop_pct") or self.kind.crop_pct or 1))
        if self.kind.steps == "levit" and isinstance(size, int):
            size = int(_LEVIT_GROWTH * size)
        if self.kind.steps == "poolformer" and (crop_pct := self._get("crop_pct", self.kind.crop_pct)):
            size = _enlarged(size, float(crop_pct))
        if isinstance(size, int) and crop is None:
            raise ModelUnavailable(
                f"The preprocessing of {self.name} keeps the aspect without a crop: images would differ in "
                "size."
            )
        return size, crop

    def _size(self) -> Size:
        """Return the shortest edge, or (height, width)."""
        size = self._get("size", self.kind.size)
        if not isinstance(size, Mapping):
            return _pair(size) if self.kind.square or not isinstance(size, int | float) else int(size)
        given = {key: int(value) for key, value in size.items() if value is not None}
        if unbounded := [key for key in _UNBOUNDED if key in given]:
            raise ModelUnavailable(
                f"The preprocessing of {self.name} is not supported: images must be resized to one fixed "
                f"size, and {unbounded[0]} lets each keep one of its own."
            )
        return given["shortest_edge"] if "shortest_edge" in given else (given["height"], given["width"])

    def _crop(self) -> tuple[int, int] | None:
        size = self._get("crop_size", self.kind.crop)
        if not self._get("do_center_crop", self.kind.crops) or size is None or self.name == "Segformer":
            return None
        if not isinstance(size, Mapping):
            return _pair(size)
        edge = size.get("shortest_edge")
        return _pair(edge) if edge is not None else (int(size["height"]), int(size["width"]))

    def _mean_and_std(self) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
        """Return m and s of (x / 255 - m) / s for raw pixels x, with all factors and offsets in them."""
        rescales = self._get("do_rescale", True)
        # (f x - o - m) / s is (x / 255 - (o + m) / 255f) / (s / 255f); the usual f = 1 / 255 leaves m and s
        factor = 255.0 * (float(self._get("rescale_factor", self.kind.rescale)) if rescales else 1.0)
        normalises = self._get("do_normalize", self.kind.normalises) and self.kind.steps != "mobilevit"
        mean = _three(self._get("image_mean", self.kind.mean) if normalises else 0.0)
        scale = _three(self._get("image_std", self.kind.std) if normalises else 1.0)
        offset = 0.0
        if self.kind.steps == "efficientnet":
            offset = 1.0 if rescales and self._get("rescale_offset", False) else 0.0
            if self._get("include_top", True):  # divides by the deviation once more
                again = _three(self._get("image_std", self.kind.std))
                scale = (scale[0] * again[0], scale[1] * again[1], scale[2] * again[2])
        return (
            _rounded((part + offset) / factor for part in mean),
            _rounded(part / factor for part in scale),
        )


def _class_name(processor: Mapping[str, Any]) -> str:
    return str(processor.get("image_processor_type") or processor.get("feature_extractor_type") or "")


def _stem(name: str) -> str:
    """Return CLIP for CLIPImageProcessorFast and CLIPFeatureExtractor."""
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name


def _kind(processor: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, ProcessorKind]:
    """Return the kind that the file names, else the one that its model usually has."""
    named = _class_name(processor) or str(config.get("image_processor_type") or "")
    stem = _stem(named)
    if stem in REFUSED:
        raise ModelUnavailable(
            f"The preprocessing of {stem} is not supported: {REFUSED[stem]}, and images must be resized to "
            "one fixed size."
        )
    usual = KIND_OF_MODEL.get(str(config.get("model_type")), "")
    if (name := stem if stem in KINDS else usual) in KINDS:
        return name, KINDS[name]
    asked = named or f"a model of the kind {config.get('model_type')!r}"
    raise ModelUnavailable(
        f"The preprocessing of {asked} is not supported: its steps are not known here. Where it is a plain "
        "resize, crop and normalisation, put a preprocessor_config.json there that says "
        '"image_processor_type": "CLIPImageProcessor" with its size, crop_size, image_mean and image_std.'
    )


def _convnext_sizes(shortest: int, crop_pct: float) -> tuple[Size, tuple[int, int] | None]:
    """Return the sizes to resize and to crop to: ConvNeXt resizes to more and crops below 384 pixels, and
    from there on warps to a square."""
    if shortest >= _CONVNEXT_WARPS_FROM:
        return (shortest, shortest), None
    return int(shortest / crop_pct), (shortest, shortest)


def _enlarged(size: Size, crop_pct: float) -> Size:
    """Return the shortest edge from which PoolFormer cuts its crop."""
    if isinstance(size, int):
        return int(size / crop_pct)
    height, width = size
    return int(height / crop_pct) if height == width else (int(height / crop_pct), int(width / crop_pct))


def _pair(size: Any) -> tuple[int, int]:
    """Return (height, width) of one number or a list of two."""
    height, width = (size, size) if isinstance(size, int | float) else size
    return int(height), int(width)


def _three(value: Channels | Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = [value] * 3 if isinstance(value, int | float) else value
    return float(red), float(green), float(blue)


def _rounded(values: Iterable[float]) -> tuple[float, float, float]:
    # to 9 digits: the factor 255 * (1 / 255) as stored in a config is 1 only to 16
    red, green, blue = (round(value, 9) for value in values)
    return red, green, blue
