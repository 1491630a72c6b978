"""Models with random weights, saved as transformers saves them, and their graphs."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vitrine.services.encoders.graphs.graph import EncoderGraph
from vitrine.services.encoders.graphs.makers import makers
from vitrine.services.encoders.graphs.weights import Weights

Floats = NDArray[np.float32]


def build(folder: Path, size: tuple[int, int], *, images_only: bool = False) -> EncoderGraph:
    """The graph of a folder, by the maker that takes its config."""
    name = "config.json" if (folder / "config.json").is_file() else "open_clip_config.json"
    config = json.loads((folder / name).read_text())
    maker = next(maker for maker in makers() if maker.takes(config))
    return maker.build(config, Weights(sorted(folder.glob("*.safetensors"))), size, images_only=images_only)


def run(model: Any, inputs: NDArray[Any]) -> Floats:
    """What a graph makes of its one input, in float32, where one row or many give the same."""
    compiled = _core().compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )
    rows: Floats = compiled([inputs])[0].copy()
    assert rows.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert np.allclose(compiled([inputs[:1]])[0], rows[:1], atol=2e-6)
    return rows


@lru_cache(maxsize=1)
def _core() -> Any:
    import openvino as ov

    return ov.Core()


def assert_same(rows: Floats, wanted: Any) -> None:
    """Each row points where the torch row of any length points, and nearer to it than to other rows."""
    expected = wanted.detach().numpy().astype(np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert rows.shape == expected.shape
    assert (rows.astype(np.float64) * expected).sum(axis=1).min() >= 0.999999
    assert np.abs(rows - expected).max() < 2e-5
    distance = np.linalg.norm(rows[:, None] - expected[None], axis=2)
    assert (distance.argmin(axis=1) == np.arange(len(rows))).all()
    assert np.diag(distance).max() < 0.01 * (distance + np.eye(len(rows))).min()


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    """Give a model of transformers random weights, biases too, and save it; return its folder."""

    def saved(model: Any) -> Path:
        import torch

        torch.manual_seed(5)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.ndim > 1 and "norm" not in name:
                    weight.normal_(0, 1.0 / np.sqrt(max(weight[0].numel(), 1)))
                else:
                    weight.add_(torch.randn_like(weight) * 0.1)
            for name, buffer in model.named_buffers():
                if name.endswith("running_mean"):
                    buffer.normal_(0, 0.1)
                elif name.endswith("running_var"):
                    buffer.uniform_(0.5, 2)
        model.eval().save_pretrained(tmp_path / "model")
        return tmp_path / "model"

    return saved


def noise(size: tuple[int, int], count: int = 5) -> Any:
    """Random normalised images (count, 3, height, width) as a torch tensor."""
    import torch

    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(3))
