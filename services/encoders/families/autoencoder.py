"""A convolutional autoencoder as an encoder: its code is the embedding. For collections that no pretrained
network knows.

A folder holds ``config.json`` ("vitrine": "autoencoder", the constructor's arguments) and
``autoencoder.safetensors``. Models of your own take the place of ConvolutionalAutoencoder by the protocol
below: train them from Python (training/autoencoder/train.py), and register ``AutoencoderEncoder`` on them in
the pool. A folder never names code that is imported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.encoders.precision import choose_device
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import ResolvedModel
from vitrine.services.encoders.torch_encoder import CONVOLUTIONAL_SLICE, SLICE, TorchEncoder
from vitrine.services.errors import BadRequest, ModelUnavailable
from vitrine.services.files import make_folder

KIND = "autoencoder"
CONFIG, WEIGHTS = "config.json", "autoencoder.safetensors"
_MIN_SIZE, _MAX_SIZE = 16, 512


class Autoencoder(Protocol):
    """What a model of your own must be: a ``torch.nn.Module`` with these three.

    ``arguments`` are JSON values which make the same model again. Pictures are float32 (n, 3, size, size) in
    0..1; codes are (n, dim) of any length. ``decode(encode(pictures))`` has the shape of ``pictures``.
    """

    @property
    def arguments(self) -> Mapping[str, Any]: ...

    def encode(self, pictures: torch.Tensor) -> torch.Tensor: ...

    def decode(self, codes: torch.Tensor) -> torch.Tensor: ...


class ConvolutionalAutoencoder(nn.Module):
    """Halves the picture once a channel count, then a linear code; the decoder mirrors it with nearest
    upsampling.

    Group normalisation, because it does the same in training and in service. ``size``: side of the square in
    pixels, a multiple of 2 ** len(channels). Raises BadRequest.
    """

    def __init__(
        self, size: int = 64, dim: int = 128, channels: tuple[int, ...] = (32, 64, 128, 256)
    ) -> None:
        super().__init__()
        smallest = size >> len(channels)
        if (
            not _MIN_SIZE <= size <= _MAX_SIZE
            or not channels
            or smallest < 1
            or smallest << len(channels) != size
        ):
            raise BadRequest(
                f"A picture of {size} pixels cannot be halved {len(channels)} times: choose a size in "
                f"{_MIN_SIZE}..{_MAX_SIZE} that is a multiple of {2 ** len(channels)}."
            )
        if dim < 1 or any(count < 8 or count % 8 for count in channels):
            raise BadRequest("An autoencoder needs a code of 1 or more and channels that are multiples of 8.")
        self._size, self._dim, self._channels = size, dim, tuple(channels)
        self._top = (channels[-1], smallest, smallest)
        flat = channels[-1] * smallest * smallest
        down = [_halve(before, after) for before, after in zip((3, *channels), channels, strict=False)]
        back = tuple(reversed(channels))
        up = [_double(before, after) for before, after in zip(back, (*back[1:], back[-1]), strict=True)]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, dim))
        self.widen = nn.Linear(dim, flat)
        self.decoder = nn.Sequential(*up, nn.Conv2d(back[-1], 3, 3, padding=1), nn.Sigmoid())

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {"size": self._size, "dim": self._dim, "channels": list(self._channels)}

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        codes: torch.Tensor = self.encoder(pictures)
        return codes

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        pictures: torch.Tensor = self.decoder(self.widen(codes).unflatten(1, self._top))
        return pictures


class AutoencoderEncoder(TorchEncoder):
    """The coding half of an autoencoder in service."""

    def __init__(self, spec: EncoderSpec, model: Autoencoder, *, device: str) -> None:
        slice_size = CONVOLUTIONAL_SLICE if device == "cpu" else SLICE
        super().__init__(spec, precision="float32", device=device, slice_size=slice_size)
        self._model = model

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        return self._model.encode(batch)


@dataclass(frozen=True)
class AutoencoderConfig:
    """What ``config.json`` says. ``model`` is convolutional, or a name that the maker of a custom model
    gave."""

    model: str
    size: int
    dim: int
    arguments: Mapping[str, Any]
    training: Mapping[str, Any]


def preprocessing_of(size: int) -> Preprocessing:
    """Return the whole picture, squeezed to a square, in 0..1."""
    return Preprocessing((size, size), None, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear")


def save_autoencoder(folder: Path, model: Autoencoder, config: AutoencoderConfig) -> None:
    """Write the folder; the config last, so that half a folder does not load."""
    from safetensors.torch import save_file

    assert isinstance(model, nn.Module)
    make_folder(folder)
    (folder / CONFIG).unlink(missing_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    tree = {"vitrine": KIND, "format": 1, **vars(config)}
    (folder / CONFIG).write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")


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
) -> AutoencoderEncoder:
    """Load the encoder of a folder. ``model`` makes a custom model from its arguments. Raises
    ModelUnavailable."""
    from safetensors.torch import load_file

    config = read_config(found.folder)
    if model is None and config.model != "convolutional":
        raise ModelUnavailable(
            f"{found.path} was trained with the custom model {config.model!r}: load it in Python, by "
            "load_autoencoder(..., model=...), and put it into the encoder pool."
        )
    device = choose_device(device)
    made: Any = model(config.arguments) if model else ConvolutionalAutoencoder(**_tuples(config.arguments))
    try:
        made.load_state_dict(load_file(found.folder / WEIGHTS))
    except (OSError, RuntimeError) as error:
        raise ModelUnavailable(f"The weights in {found.path} do not fit its config.json: {error}") from error
    preprocessing = preprocessing_of(config.size)
    spec = EncoderSpec(reference.name, reference.model, found.revision, config.dim, ("image",), preprocessing)
    return AutoencoderEncoder(spec, made.to(device).eval(), device=device)


def _tuples(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}


def _halve(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 4, stride=2, padding=1), nn.GroupNorm(8, after), nn.SiLU())


def _double(before: int, after: int) -> nn.Sequential:
    scale = nn.Upsample(scale_factor=2, mode="nearest")
    return nn.Sequential(scale, nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(8, after), nn.SiLU())
