"""What every encoder on a torch model shares: fitting, batching, normalising. A subclass says how its model
makes features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.encoders.precision import Precision, WantedPrecision, choose_precision
from vitrine.services.encoders.preprocess import Pixels, fit, normalise

if TYPE_CHECKING:
    import torch

SLICE = 32
"""Images a forward pass; a larger batch is no faster on CPUs and holds more memory."""
CONVOLUTIONAL_SLICE = 4
"""The same for convolutional networks on a CPU. Their first maps take megabytes an image; past 32 MB the
allocator gives them back after each layer. MobileNetV2 spent two thirds of its time on page faults: by 4
images it ran twice as fast as by 32."""


class TorchEncoder(ABC):
    """An Encoder (services/encoders/base.py) on a torch model in ``precision`` on ``device``. Only
    ``prepare`` is thread-safe."""

    def __init__(
        self, spec: EncoderSpec, *, precision: Precision, device: str, slice_size: int = SLICE
    ) -> None:
        self._spec = spec
        self.precision = precision
        self.device = device
        self._slice = slice_size

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def prepare(self, image: Image.Image) -> Pixels:
        """Resize and crop one RGB image to what the model reads: (height, width, 3) uint8. Any thread may
        call it."""
        return fit(image, self._spec.preprocessing)

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        """Return (n, dim) float32, L2-normalised, row i for image i."""
        parts = [
            self.encode_pixels([self.prepare(image) for image in images[at : at + SLICE]])
            for at in range(0, len(images), SLICE)
        ]
        return self._joined(parts)

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Embeddings:
        """As ``encode_images``, from images that ``prepare`` has fitted."""
        import torch

        parts = []
        with torch.inference_mode():
            for at in range(0, len(pixels), self._slice):
                batch = normalise(
                    pixels[at : at + self._slice],
                    self._spec.preprocessing,
                    device=self.device,
                    dtype=torch_dtype(self.precision),
                )
                parts.append(unit(self.features(batch)))
        return self._joined(parts)

    def _joined(self, parts: Sequence[Embeddings]) -> Embeddings:
        return np.concatenate(parts) if parts else np.empty((0, self._spec.dim), np.float32)

    @abstractmethod
    def features(self, batch: torch.Tensor) -> torch.Tensor:
        """Return (n, dim) of any norm, from a normalised batch (n, 3, height, width); differentiable in
        float32."""


class TransformersEncoder(TorchEncoder):
    """A TorchEncoder on a model of transformers, which comes in float32."""

    def __init__(self, spec: EncoderSpec, model: Any, *, device: str) -> None:
        super().__init__(spec, precision="float32", device=device, slice_size=slice_for(model, device))
        self.model = model

    def precision_for(self, wanted: WantedPrecision) -> Precision:
        """Return the number format that the model should run in: see ``choose_model_precision``."""
        return choose_model_precision(wanted, self.device, self.model)

    def round_to(self, precision: Precision) -> None:
        """Run in this number format from now on; weights that are rounded stay so."""
        self.model.to(torch_dtype(precision))
        self.precision = precision


def choose_model_precision(wanted: WantedPrecision, device: str, model: Any) -> Precision:
    """As ``choose_precision``, but GroupViT stays in float32, and ``auto`` leaves networks with batch
    normalisation there too.

    Rounding their folded statistics costs MobileNetV2 0.003 of cosine; a transformer's layer norms cost less
    than 0.0001. GroupViT puts each patch into one group, and rounding puts some into another: 0.006.
    """
    import torch

    if model.config.model_type == "groupvit":
        return "float32"
    if wanted in ("auto", "int8") and any(isinstance(part, torch.nn.BatchNorm2d) for part in model.modules()):
        return "float32"
    return choose_precision(wanted, device)


def slice_for(model: Any, device: str) -> int:
    """Images a forward pass."""
    return CONVOLUTIONAL_SLICE if is_convolutional(model) and device == "cpu" else SLICE


def is_convolutional(model: Any) -> bool:
    """Return whether the network convolves all the way. A transformer has one convolution, which cuts the
    patches."""
    import torch

    return sum(isinstance(part, torch.nn.Conv2d) for part in model.modules()) > 2


def torch_dtype(precision: Precision) -> torch.dtype:
    """Return torch's type of a precision."""
    import torch

    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def unit(features: torch.Tensor) -> Embeddings:
    """Return the rows scaled to length 1, in float32 on the CPU."""
    import torch

    rows: Embeddings = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return rows
