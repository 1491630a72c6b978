"""The embedder: the small network behind a trunk that metric learning trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from vitrine.services.domain import Embeddings
from vitrine.services.errors import BadRequest
from vitrine.services.extras import from_extra

with from_extra("train"):
    import torch
    from torch import nn

Activation = Literal["relu", "gelu"]
_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}
_MAX_WIDTH = 16_384
_ROWS = 4_096


class Embedder(nn.Module):
    """A multi-layer perceptron from unit rows (n, input_dim) to unit rows (n, layers[-1]), in float32.

    The input is standardised first by ``mean`` and ``scale``, buffers that ``fit_input`` sets once from the
    training rows: the components of a unit vector of a thousand dimensions are too small for the usual first
    weights. ``activation`` stands between the layers, not after the last. Dropout (``input_dropout`` on the
    standardised input, ``dropout`` between the layers) acts in training alone. Raises BadRequest.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(
        self,
        input_dim: int,
        layers: Sequence[int] = (512, 128),
        activation: Activation = "gelu",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not layers or min(layers) < 1 or max(layers) > _MAX_WIDTH:
            raise BadRequest(
                f"The embedder needs one layer or more, each of 1 to {_MAX_WIDTH}, such as 512 128."
            )
        if activation not in _ACTIVATIONS:
            raise BadRequest(
                f"{activation!r} is not an activation of the embedder: choose {' or '.join(_ACTIVATIONS)}."
            )
        if not (0 <= dropout < 1 and 0 <= input_dropout < 1):
            raise BadRequest("Dropout is a share: at least 0, below 1.")
        self.arguments: Mapping[str, Any] = {
            "input_dim": input_dim,
            "layers": list(layers),
            "activation": activation,
            "dropout": dropout,
            "input_dropout": input_dropout,
        }
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("scale", torch.ones(input_dim))
        parts: list[nn.Module] = [nn.Dropout(input_dropout)]
        for before, after in zip((input_dim, *layers), layers, strict=False):
            if len(parts) > 1:
                parts += [_ACTIVATIONS[activation](), nn.Dropout(dropout)]
            parts.append(nn.Linear(before, after))
        self.layers = nn.Sequential(*parts)

    @property
    def dim(self) -> int:
        """Components of an embedding."""
        return int(self.arguments["layers"][-1])

    def fit_input(self, rows: torch.Tensor) -> None:
        """Standardise the input as the training rows (n, input_dim) ask for; components that hardly vary are
        left small."""
        with torch.no_grad():
            deviation = rows.std(dim=0) if len(rows) > 1 else torch.ones_like(self.scale)
            floor = 0.1 * deviation.square().mean().sqrt().clamp_min(1e-6)
            self.mean.copy_(rows.mean(dim=0))
            self.scale.copy_(1.0 / deviation.clamp_min(floor))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (n, dim) float32, L2-normalised, whatever autocast says."""
        with torch.autocast(rows.device.type, enabled=False):
            embedded = self.layers((rows.float() - self.mean) * self.scale)
            return nn.functional.normalize(embedded, dim=-1)

    def embed(self, rows: Embeddings) -> Embeddings:
        """As ``forward``, from and to numpy, in service: without dropout and gradients."""
        self.eval()
        parts = [np.empty((0, self.dim), np.float32)]
        with torch.inference_mode():
            for at in range(0, len(rows), _ROWS):
                part = torch.from_numpy(np.ascontiguousarray(rows[at : at + _ROWS])).to(self.mean.device)
                parts.append(self(part).cpu().numpy())
        return np.concatenate(parts)
