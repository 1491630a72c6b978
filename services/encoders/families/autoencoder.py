"""A convolutional autoencoder as an encoder: its code is the embedding. For collections that no pretrained
network knows.

A folder holds ``config.json`` ("vitrine": "autoencoder", the constructor's arguments) and
``autoencoder.safetensors``; training/autoencoder/ makes both. It is served by OpenVINO, on any machine.

Models of your own take the place of ours by the protocol ``Autoencoder`` below, and need torch: train them
from Python (training/autoencoder/train.py), and register a family that loads them by
``load_autoencoder(..., model=...)``. A folder never names code that is imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from vitrine.services.domain import Embeddings, EncoderSpec, Preprocessing
from vitrine.services.encoders.batching import StagedEncoder
from vitrine.services.encoders.compiled.library import import_openvino
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights
from vitrine.services.encoders.precision import choose_device
from vitrine.services.encoders.preprocess import Pixels, fit
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import ResolvedModel
from vitrine.services.encoders.torch_encoder import CONVOLUTIONAL_SLICE, SLICE, TorchEncoder
from vitrine.services.errors import ModelUnavailable

if TYPE_CHECKING:
    import openvino as ov
    import torch

KIND = "autoencoder"
CONFIG, WEIGHTS = "config.json", "autoencoder.safetensors"
GROUPS = 8
"""Channels are normalised in so many groups."""


class Autoencoder(Protocol):
    """What a model of your own must be: a ``torch.nn.Module`` with these three.

    ``arguments`` are JSON values which make the same model again. Pictures are float32 (n, 3, size, size) in
    0..1; codes are (n, dim) of any length. ``decode(encode(pictures))`` has the shape of ``pictures``.
    """

    @property
    def arguments(self) -> Mapping[str, Any]: ...

    def encode(self, pictures: torch.Tensor) -> torch.Tensor: ...

    def decode(self, codes: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class AutoencoderConfig:
    """What ``config.json`` says. ``model`` is convolutional, or a name that the maker of a custom model
    gave."""

    model: str
    size: int
    dim: int
    arguments: Mapping[str, Any]
    training: Mapping[str, Any]


class AutoencoderEncoder:
    """A StagedEncoder (services/encoders/batching.py) on the coding half of ours. Only ``prepare`` is
    thread-safe."""

    precision = "float32"
    device = "cpu"
    runtime = "openvino"

    def __init__(self, spec: EncoderSpec, model: ov.Model) -> None:
        self._spec = spec
        self._model = model

    @property
    def spec(self) -> EncoderSpec:
        return self._spec

    def prepare(self, image: Image.Image) -> Pixels:
        """Resize one RGB image: (size, size, 3) uint8. Any thread may call it."""
        return fit(image, self._spec.preprocessing)

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        """Return (n, dim) float32, L2-normalised, row i for image i."""
        parts = [
            self.encode_pixels([self.prepare(image) for image in images[at : at + SLICE]])
            for at in range(0, len(images), SLICE)
        ]
        return np.concatenate(parts) if parts else self.encode_pixels([])

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Embeddings:
        """As ``encode_images``, from images that ``prepare`` has fitted."""
        parts = [np.empty((0, self._spec.dim), np.float32)]
        for at in range(0, len(pixels), SLICE):
            batch = np.stack(pixels[at : at + SLICE]).transpose(0, 3, 1, 2).astype(np.float32)
            parts.append(np.array(self._compiled({0: batch / np.float32(255)})[0]))
        return np.concatenate(parts)

    @cached_property
    def _compiled(self) -> Any:
        import openvino as ov

        return ov.Core().compile_model(self._model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


class CustomAutoencoderEncoder(TorchEncoder):
    """A StagedEncoder on the coding half of a model of torch."""

    def __init__(self, spec: EncoderSpec, model: Autoencoder, *, device: str) -> None:
        slice_size = CONVOLUTIONAL_SLICE if device == "cpu" else SLICE
        super().__init__(spec, precision="float32", device=device, slice_size=slice_size)
        self._model = model

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        return self._model.encode(batch)


def preprocessing_of(size: int) -> Preprocessing:
    """Return the whole picture, squeezed to a square, in 0..1."""
    return Preprocessing((size, size), None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear")


def read_config(folder: Path) -> AutoencoderConfig:
    """Return what config.json says. Raises ModelUnavailable where the folder holds no autoencoder."""
    try:
        tree = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if tree.pop("vitrine") != KIND or tree.pop("format") != 1:
            raise KeyError
        return AutoencoderConfig(**tree)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"{folder} holds no autoencoder that this version reads.") from error


def load_autoencoder(
    reference: EncoderReference,
    found: ResolvedModel,
    *,
    device: str = "cpu",
    model: Callable[[Mapping[str, Any]], Autoencoder] | None = None,
) -> StagedEncoder:
    """Load the encoder of a folder. ``model`` makes a custom model of torch from its arguments, which runs on
    ``device``; ours runs on the CPU. Raises ModelUnavailable."""
    config = read_config(found.folder)
    if model is None and config.model != "convolutional":
        raise ModelUnavailable(
            f"{found.path} was trained with the custom model {config.model!r}: register a "
            "family that loads it by load_autoencoder(..., model=...), as docs/encoders.md shows."
        )
    spec = EncoderSpec(
        reference.name, reference.model, found.revision, config.dim, ("image",), preprocessing_of(config.size)
    )
    if model is not None:
        device = choose_device(device)
        return CustomAutoencoderEncoder(spec, _custom(found.folder, config, model, device), device=device)
    try:
        return AutoencoderEncoder(spec, coding_half(found.folder, config))
    except (ModelUnavailable, KeyError, TypeError, ValueError) as error:
        raise ModelUnavailable(f"The weights in {found.path} do not fit its config.json: {error}") from error


def coding_half(folder: Path, config: AutoencoderConfig) -> ov.Model:
    """Return the graph from pictures (n, 3, size, size) float32 in 0..1 to codes (n, dim) of length 1.

    ModelUnavailable where weights are missing or of other shapes; KeyError, TypeError or ValueError where the
    arguments are not those of ours.
    """
    import_openvino()
    from openvino import opset13 as ops

    from vitrine.services.encoders.graphs import layers

    size, dim = int(config.arguments["size"]), int(config.arguments["dim"])
    channels = [int(count) for count in config.arguments["channels"]]
    if (size, dim) != (config.size, config.dim):
        raise ValueError(f"it says {config.size} pixels and {config.dim} components, then {size} and {dim}")
    weights = Tensors(Weights([folder / WEIGHTS]))
    source = layers.pixels((size, size))
    x = source
    for place, (before, after) in enumerate(zip((3, *channels), channels, strict=False)):
        part = weights.under(f"encoder.{place}.")
        x = ops.convolution(
            x, layers.constant(part("0.weight", after, before, 4, 4)), [2, 2], [1, 1], [1, 1], [1, 1]
        )
        x = ops.add(x, layers.constant(part("0.bias", after).reshape(1, after, 1, 1)))
        scale, shift = (layers.constant(part(f"1.{name}", after)) for name in ("weight", "bias"))
        x = ops.swish(ops.group_normalization(x, scale, shift, GROUPS, 1e-5))
    flat = channels[-1] * (size >> len(channels)) ** 2
    x = layers.linear(
        ops.reshape(x, layers.wholes(0, flat), True), weights, f"encoder.{len(channels) + 1}", flat, dim
    )
    weights.complete()
    return layers.model(x, source, "autoencoder")


def _custom(
    folder: Path,
    config: AutoencoderConfig,
    model: Callable[[Mapping[str, Any]], Autoencoder],
    device: str,
) -> Any:
    """Return a custom model with the folder's weights."""
    from safetensors.torch import load_file

    made: Any = model(config.arguments)
    try:
        made.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, RuntimeError) as error:
        raise ModelUnavailable(f"The weights in {folder} do not fit its config.json: {error}") from error
    return made.to(device).eval()
