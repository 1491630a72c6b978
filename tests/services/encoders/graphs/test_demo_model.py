"""The demo's model against numbers that torch gave, so that they hold where there is no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.services.encoders.graphs.conftest import build, run
from vitrine.services.encoders.graphs.graph import EncoderGraph

FOLDER = Path(__file__).parents[4] / "data/demo-clip"
IMAGES = [
    [0.038058, -0.040598, 0.033061, 0.018604, -0.040819, 0.046982, 0.038401, -0.068607],
    [0.043103, 0.081124, -0.086509, -0.063195, 0.039168, 0.041834, 0.068377, -0.017416],
]
TEXTS = [
    [-0.076301, 0.11558, -0.00146, -0.011431, -0.012266, -0.089525, 0.020237, 0.020549],
    [0.017024, 0.025293, 0.024978, 0.010085, 0.041463, 0.024275, 0.236686, 0.191416],
]
"""Every sixteenth number of two rows each."""


@pytest.fixture(scope="module")
def graph() -> EncoderGraph:
    return build(FOLDER, (64, 64))


def test_images_have_the_vectors_that_torch_gave(graph: EncoderGraph) -> None:
    place = np.arange(2 * 3 * 64 * 64, dtype=np.float64)
    pixels = (2 * np.sin(place * 0.37 + place * place * 1e-5)).astype(np.float32).reshape(2, 3, 64, 64)
    assert (graph.dim, graph.pooling) == (128, "projected")
    assert np.allclose(run(graph.image, pixels)[:, ::16], IMAGES, atol=3e-6)


def test_texts_have_the_vectors_that_torch_gave(graph: EncoderGraph) -> None:
    ids = np.array([[2, 17, 40, 99, 3, 0, 0], [2, 150, 8, 61, 77, 30, 3]])
    assert graph.text is not None
    assert (graph.text.length, graph.text.full, graph.text.lower_case) == (32, False, False)
    assert np.allclose(run(graph.text.model, ids)[:, ::16], TEXTS, atol=3e-6)
