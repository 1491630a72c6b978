"""The network of an autoencoder, which halves a picture to a code and makes it again, and its folder.

services/encoders/families/autoencoder.py serves the coding half of what is written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitrine.services.encoders.families.autoencoder import (
    CONFIG,
    GROUPS,
    KIND,
    WEIGHTS,
    Autoencoder,
    AutoencoderConfig,
)
from vitrine.services.errors import BadRequest
from vitrine.services.extras import from_extra
from vitrine.services.files import make_folder

with from_extra("train"):
    import torch
    from torch import nn

_MIN_SIZE, _MAX_SIZE = 16, 512


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


def save_autoencoder(folder: Path, model: Autoencoder, config: AutoencoderConfig) -> None:
    """Write the folder; the config last, so that half a folder does not load."""
    from safetensors.torch import save_file

    assert isinstance(model, nn.Module)
    make_folder(folder)
    (folder / CONFIG).unlink(missing_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    tree = {"vitrine": KIND, "format": 1, **vars(config)}
    (folder / CONFIG).write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")


def _halve(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 4, stride=2, padding=1), nn.GroupNorm(GROUPS, after), nn.SiLU()
    )


def _double(before: int, after: int) -> nn.Sequential:
    scale = nn.Upsample(scale_factor=2, mode="nearest")
    return nn.Sequential(
        scale, nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(GROUPS, after), nn.SiLU()
    )
