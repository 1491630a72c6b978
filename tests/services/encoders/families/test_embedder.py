"""The embedder as it serves is the one that was trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitrine.services.encoders.families.embedder import gelu, read_embedder
from vitrine.services.encoders.families.metric_config import EMBEDDER
from vitrine.services.errors import ModelUnavailable


def trained(folder: Path, layers: tuple[int, ...], activation: str) -> Any:
    """An embedder of torch with random weights, saved as training saves it."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from vitrine.training.metric.embedder import Embedder

    torch.manual_seed(len(layers))
    made = Embedder(24, layers, activation, dropout=0.5, input_dropout=0.25)
    made.fit_input(torch.nn.functional.normalize(torch.randn(50, 24) + 0.3, dim=1))
    save_file(made.state_dict(), folder / EMBEDDER)
    return made.eval()


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("layers", [(5,), (32, 8), (64, 40, 12)])
def test_rows_equal_those_of_torch(tmp_path: Path, layers: tuple[int, ...], activation: str) -> None:
    torch_embedder = trained(tmp_path, layers, activation)
    rows = np.random.default_rng(3).normal(size=(5_000, 24)).astype(np.float32)  # more than one part
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    served = read_embedder(tmp_path / EMBEDDER, torch_embedder.arguments)

    found = served.embed(rows)

    assert found.dtype == np.float32
    assert np.abs(found - torch_embedder.embed(rows)).max() < 1e-5
    assert served.embed(rows[:0]).shape == (0, layers[-1]) == (0, served.dim)


def test_gelu_is_x_times_the_probability_of_less_than_x() -> None:
    values = np.linspace(-12, 12, 4_001).astype(np.float32)
    exact = [0.5 * x * math.erfc(-x / math.sqrt(2)) for x in values.astype(float)]

    assert np.abs(gelu(values) - exact).max() < 2e-6


@pytest.mark.parametrize(
    "other",
    [
        {"layers": [32, 9]},
        {"layers": [32, 8, 8]},
        {"input_dim": 25},
    ],
)
def test_weights_of_other_shapes_are_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    arguments = {**trained(tmp_path, (32, 8), "gelu").arguments, **other}

    with pytest.raises(ModelUnavailable):
        read_embedder(tmp_path / EMBEDDER, arguments)
