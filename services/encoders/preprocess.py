"""From PIL images to the normalised batch that a model reads.

Pixels stay uint8 until the batch: an image costs one resize (which releases the GIL), and the arithmetic on
floats happens once for the whole batch. Equal to the image processors of transformers (their PIL backends)
within rounding, which a test holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitrine.services.domain import Preprocessing
from vitrine.services.encoders.folders.foreign import refuse_own_code
from vitrine.services.encoders.folders.json_file import read_json
from vitrine.services.encoders.folders.layout import OPEN_CLIP_CONFIG, is_open_clip, is_timm
from vitrine.services.encoders.folders.other_libraries import parse_open_clip, parse_timm
from vitrine.services.encoders.folders.processor import names_known_kind, parse_processor
from vitrine.services.errors import ModelUnavailable

if TYPE_CHECKING:
    import torch

Pixels = NDArray[np.uint8]
"""(height, width, 3), one image fitted to its model."""

_MAX_RESIZED_ASPECT = 32


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
    return in_model_order(np.asarray(image), preprocessing)


def in_model_order(pixels: Pixels, preprocessing: Preprocessing) -> Pixels:
    """Return RGB pixels (height, width, 3) with their channels in the order that the model reads."""
    return pixels if preprocessing.channels == "rgb" else np.ascontiguousarray(pixels[..., ::-1])


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


def read_preprocessing(folder: Path) -> Preprocessing:
    """Return the preprocessing that a model folder asks for: by the files of transformers, of open_clip or of
    timm, whichever it has.

    Raises ModelUnavailable where the folder has none, or asks for steps that are not reproduced here, such as
    patches of varying size or padding.
    """
    if is_open_clip(folder):
        return parse_open_clip(read_json(folder / OPEN_CLIP_CONFIG))
    config = read_json(folder / "config.json")
    if (processor := _processor_file(folder)) is not None:
        if not names_known_kind(processor):
            refuse_own_code(folder)
        return parse_processor(processor, config)
    if is_timm(config):
        return parse_timm(config)
    refuse_own_code(folder)
    raise ModelUnavailable(
        f"{folder} says nothing usable on preprocessing: put the preprocessor_config.json of its original "
        "model there."
    )


def _processor_file(folder: Path) -> Mapping[str, Any] | None:
    """Return what transformers' file says on images, None where there is none; the newer
    processor_config.json comes first, where it says anything on them."""
    inner = read_json(folder / "processor_config.json").get("image_processor")
    if isinstance(inner, Mapping):
        return inner
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        return None
    tree = read_json(file)
    if not tree and file.read_bytes().strip() != b"{}":
        raise ModelUnavailable(f"{file} is not a JSON object: take the file of the original model.")
    return tree


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
