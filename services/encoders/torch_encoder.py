"""What every encoder on a torch model shares: fitting, batching, normalising. A subclass says how its model makes features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from services.domain import Embeddings, EncoderSpec
from services.encoders.precision import Precision
from services.encoders.preprocess import Pixels, fit, normalise

if TYPE_CHECKING:
    import torch

SLICE = 32
"""Images a forward pass; a larger batch is no faster on CPUs and holds more memory."""


class TorchEncoder(ABC):
    """An Encoder (services/encoders/base.py) on a torch model in ``precision`` on ``device``. Only ``prepare`` is thread-safe."""

    def __init__(self, spec: EncoderSpec, *, precision: Precision, device: str) -> None:
        self._spec = spec
        self.precision = precision
        self.device = device

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def prepare(self, image: Image.Image) -> Pixels:
        """Resize and crop one RGB image to what the model reads: (height, width, 3) uint8. Any thread may call it."""
        return fit(image, self._spec.preprocessing)

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        """(n, dim) float32, L2-normalised, row i for image i."""
        parts = [self.encode_pixels([self.prepare(image) for image in images[at : at + SLICE]]) for at in starts(len(images))]
        return self._joined(parts)

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Embeddings:
        """As ``encode_images``, from images that ``prepare`` has fitted."""
        import torch

        parts = []
        with torch.inference_mode():
            for at in starts(len(pixels)):
                batch = normalise(
                    pixels[at : at + SLICE], self._spec.preprocessing, device=self.device, dtype=torch_dtype(self.precision)
                )
                parts.append(unit(self._features(batch)))
        return self._joined(parts)

    def _joined(self, parts: Sequence[Embeddings]) -> Embeddings:
        return np.concatenate(parts) if parts else np.empty((0, self._spec.dim), np.float32)

    @abstractmethod
    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        """(n, dim) of any norm, from a normalised batch (n, 3, height, width)."""


def starts(count: int) -> range:
    """Where the slices of ``count`` inputs begin."""
    return range(0, count, SLICE)


def torch_dtype(precision: Precision) -> torch.dtype:
    """torch's name of a precision."""
    import torch

    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def unit(features: torch.Tensor) -> Embeddings:
    """Rows of length 1, in float32 on the CPU."""
    import torch

    rows: Embeddings = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return rows
