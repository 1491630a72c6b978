"""From PIL images to the normalised batch that a model reads.

Pixels stay uint8 until the batch: an image costs one resize (which releases the GIL), and the arithmetic on
floats happens once for the whole batch. Equal to the image processors of transformers (their PIL backends)
within rounding, which a test holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.pretrained import load_image_processor
from vitrine.services.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]
"""(height, width, 3), one image fitted to its model."""

_MAX_RESIZED_ASPECT = 32


class ImageProcessor(Protocol):
    """What is read of an image processor of transformers."""

    do_resize: bool | None
    size: Any
    resample: Any
    do_center_crop: bool | None
    crop_size: Any
    do_rescale: bool | None
    rescale_factor: float | None
    do_normalize: bool | None
    image_mean: Any
    image_std: Any


def fit(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """Resize and crop one RGB image of any size: (height, width, 3) uint8, the size that the model reads."""
    resample = Image.Resampling[preprocessing.interpolation.upper()]
    if isinstance(preprocessing.resize, tuple):
        height, width = preprocessing.resize
        image = image.resize((width, height), resample)
    else:
        image = _resize_shortest(image, preprocessing.resize, preprocessing.crop, resample)
    if preprocessing.crop is not None:
        image = _centre_crop(image, preprocessing.crop)
    return np.asarray(image)


def normalise(
    pixels: Sequence[Pixels], preprocessing: Preprocessing, *, device: str, dtype: torch.dtype
) -> torch.Tensor:
    """Stack fitted images to one batch (n, 3, height, width) of (x / 255 - mean) / std in ``dtype`` on
    ``device``."""
    import torch

    batch = torch.from_numpy(np.stack(pixels)).to(device).permute(0, 3, 1, 2)
    mean = torch.tensor(preprocessing.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=device).view(1, 3, 1, 1)
    # one multiply and one add a value, in float32 whatever the model's format: rounding comes last
    scaled = (
        batch.to(torch.float32, memory_format=torch.contiguous_format)
        .mul_(1.0 / (255.0 * std))
        .sub_(mean / std)
    )
    return scaled.to(dtype)


def read_preprocessing(source: Path | ImageProcessor) -> Preprocessing:
    """Return the preprocessing that a model folder, or an image processor, asks for.

    Raises ModelUnavailable where the folder has none, or asks for steps that are not reproduced here, such as
    patches of varying size or padding.
    """
    processor: ImageProcessor = load_image_processor(source) if isinstance(source, Path) else source
    resize, crop = _sizes(processor)
    # (f x - m) / s on raw pixels x is (x / 255 - m / 255f) / (s / 255f); the usual f = 1 / 255 leaves m and s
    # as they are
    factor = 255.0 * (float(processor.rescale_factor or 1.0) if processor.do_rescale else 1.0)
    normalises = bool(processor.do_normalize)
    mean = _channels(processor.image_mean if normalises else 0.0, factor)
    std = _channels(processor.image_std if normalises else 1.0, factor)
    return Preprocessing(resize, crop, mean, std, Image.Resampling(int(processor.resample or 0)).name.lower())


def _resize_shortest(
    image: Image.Image, shortest: int, crop: tuple[int, int] | None, resample: Image.Resampling
) -> Image.Image:
    width, height = image.size
    upright = width <= height
    size = (
        (shortest, int(shortest * height / width)) if upright else (int(shortest * width / height), shortest)
    )
    if crop is None or max(size) <= _MAX_RESIZED_ASPECT * max(*crop, shortest):
        return image.resize(size, resample)
    # a strip of a million pixels by ten would be enlarged to gigabytes to keep its middle: resize the middle
    # alone. Not done for all, though it is a third faster: rounding of the box moves up to a fifth of the
    # pixels by a level or two.
    kept = min(size[0], crop[1]), min(size[1], crop[0])
    left, top = (size[0] - kept[0]) // 2, (size[1] - kept[1]) // 2
    x, y = width / size[0], height / size[1]
    return image.resize(kept, resample, box=(left * x, top * y, (left + kept[0]) * x, (top + kept[1]) * y))


def _centre_crop(image: Image.Image, crop: tuple[int, int]) -> Image.Image:
    height, width = crop
    left, top = (image.width - width) // 2, (image.height - height) // 2
    if image.size == (width, height):
        return image
    return image.crop(
        (left, top, left + width, top + height)
    )  # black outside the picture, as the processors fill it


def _sizes(processor: ImageProcessor) -> tuple[int | tuple[int, int], tuple[int, int] | None]:
    """Return ``resize`` and ``crop`` of the Preprocessing."""
    kind = type(processor).__name__.removesuffix("Pil").removesuffix("Fast")
    size, crop_size = _plain(processor.size), _plain(processor.crop_size)
    crop = (crop_size["height"], crop_size["width"]) if processor.do_center_crop and crop_size else None
    unknown = {"longest_edge", "max_height", "max_width", "min_pixels", "max_pixels"} & size.keys()
    if (
        _own_steps(processor, kind)
        or getattr(processor, "do_pad", None)
        or not processor.do_resize
        or unknown
        or not size
    ):
        raise ModelUnavailable(
            f"The preprocessing of {kind} is not supported: images must be resized to one fixed size."
        )
    if "shortest_edge" not in size:
        return (size["height"], size["width"]), crop
    shortest = size["shortest_edge"]
    if kind.startswith("ConvNext"):
        return _convnext_sizes(shortest, float(getattr(processor, "crop_pct", None) or 224 / 256))
    if crop is None:
        raise ModelUnavailable(
            f"The preprocessing of {kind} keeps the aspect without a crop: images would differ in size."
        )
    return shortest, crop


def _own_steps(processor: ImageProcessor, kind: str) -> bool:
    """Return whether the processor replaces steps of the common ones, in a way that is not known here."""
    if kind in _KNOWN_STEPS:
        return False
    from transformers.image_processing_backends import PilBackend

    return any(getattr(type(processor), step, None) is not getattr(PilBackend, step) for step in _STEPS)


_STEPS = ("_preprocess", "process_image", "resize", "center_crop", "rescale", "normalize")
_KNOWN_STEPS = ("ConvNextImageProcessor", "MobileNetV2ImageProcessor")


def _convnext_sizes(shortest: int, crop_pct: float) -> tuple[int | tuple[int, int], tuple[int, int] | None]:
    """Return the sizes to resize and to crop to: ConvNeXt resizes to more and crops below 384 pixels, and
    from there on warps to a square."""
    return (
        ((shortest, shortest), None) if shortest >= 384 else (int(shortest / crop_pct), (shortest, shortest))
    )


def _plain(size: Any) -> dict[str, int]:
    """Return a size as a dictionary without its empty fields; processors keep it as a dictionary or an
    object."""
    if size is None:
        return {}
    fields: Mapping[str, Any] = (
        dict(size) if isinstance(size, Mapping) or hasattr(size, "keys") else vars(size)
    )
    return {name: int(value) for name, value in fields.items() if value is not None}


def _channels(value: Any, factor: float) -> tuple[float, float, float]:
    red, green, blue = (
        [float(value)] * 3 if isinstance(value, int | float) else (float(part) for part in value)
    )
    # rounding to 9 digits: the factor 255 * (1 / 255) as stored in a config is 1 only to 16
    return round(red / factor, 9), round(green / factor, 9), round(blue / factor, 9)
