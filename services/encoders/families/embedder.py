"""The embedder of a metric-learned encoder as it serves: the small network behind a trunk, in NumPy.

training/metric/embedder.py trains and writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import Embeddings
from vitrine.services.encoders.graphs.tensors import Tensors
from vitrine.services.encoders.graphs.weights import Weights

Rows = NDArray[np.float32]
_PART = 4_096
"""Rows that are computed at once: bounds the memory."""


@dataclass(frozen=True)
class Layer:
    """A linear layer: ``weight`` (outputs, inputs) and ``bias`` (outputs,)."""

    weight: Rows
    bias: Rows

    def __call__(self, rows: Rows) -> Rows:
        return rows @ self.weight.T + self.bias


@dataclass(frozen=True, eq=False)
class Embedder:
    """A multi-layer perceptron from unit rows (n, input_dim) to unit rows (n, dim), in float32.

    The input is standardised by ``mean`` and ``scale``; ``activation`` stands between the layers.
    """

    mean: Rows
    scale: Rows
    layers: tuple[Layer, ...]
    activation: Callable[[Rows], Rows]

    @property
    def dim(self) -> int:
        """Components of an embedding."""
        return len(self.layers[-1].bias)

    def embed(self, rows: Embeddings) -> Embeddings:
        """Return (n, dim) float32, L2-normalised."""
        parts = [self._part(rows[at : at + _PART]) for at in range(0, len(rows), _PART)]
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)

    def _part(self, rows: Rows) -> Rows:
        first, *others = self.layers
        embedded = first((rows.astype(np.float32, copy=False) - self.mean) * self.scale)
        for layer in others:
            embedded = layer(self.activation(embedded))
        lengths = np.maximum(np.linalg.norm(embedded, axis=1, keepdims=True), 1e-12)
        unit: Rows = (embedded / lengths).astype(np.float32, copy=False)
        return unit


def read_embedder(file: Path, arguments: Mapping[str, Any]) -> Embedder:
    """Return the embedder whose weights lie in a file; ``arguments`` are those that it was trained with.

    ModelUnavailable where weights are missing or of other shapes; KeyError, TypeError or ValueError where the
    arguments are not those of an embedder.
    """
    weights = Tensors(Weights([file]))
    widths = [int(arguments["input_dim"]), *map(int, arguments["layers"])]
    activation = _ACTIVATIONS[arguments.get("activation", "gelu")]
    if len(widths) < 2:
        raise ValueError("an embedder has one layer or more")
    # in training a layer is followed by its activation and dropout, and all by dropout before them
    layers = [
        Layer(
            weights(f"layers.{1 + 3 * place}.weight", after, before),
            weights(f"layers.{1 + 3 * place}.bias", after),
        )
        for place, (before, after) in enumerate(pairwise(widths))
    ]
    mean, scale = weights("mean", widths[0]), weights("scale", widths[0])
    weights.complete()
    return Embedder(mean, scale, tuple(layers), activation)


def relu(rows: Rows) -> Rows:
    """Return the positive part."""
    return np.maximum(rows, 0)


def gelu(rows: Rows) -> Rows:
    """Return x times the normal distribution's probability of less than x.

    The error function is Abramowitz and Stegun's formula 7.1.26, right to 1.5e-7: NumPy has none.
    """
    size = np.abs(rows) * np.float32(0.5**0.5)
    share = 1 / (1 + np.float32(0.3275911) * size)
    series = np.zeros_like(share)
    for factor in _SERIES:
        series = (series + factor) * share
    below = np.float32(0.5) * series * np.exp(-size * size)  # the probability of less than -|x|
    found: Rows = rows * np.where(rows < 0, below, 1 - below)
    return found


_SERIES = tuple(
    np.float32(value) for value in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
)
_ACTIVATIONS: Mapping[str, Callable[[Rows], Rows]] = {"relu": relu, "gelu": gelu}
