"""What was trained here is served where torch is not installed, and gives the same vectors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.services.encoders.folders.tiny import write_model
from vitrine.services.encoders.families.autoencoder import AutoencoderConfig
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.families.metric_config import MetricConfig, TrunkReference
from vitrine.services.encoders.reference import COLOUR_MODEL

_SERVE = """
import sys
from importlib.machinery import PathFinder
from pathlib import Path

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in ("torch", "transformers", "scipy", "sklearn")
        return None if absent else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
import numpy as np
from PIL import Image
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import EncoderReference

folder, pixels, out, *cache = sys.argv[1:]
images = [Image.fromarray(image) for image in np.load(pixels)]
loader = EncoderLoader(offline=True, precision="float32", cache=Path(cache[0]) if cache else None)
encoder = loader.load(EncoderReference("look", folder))
np.save(out, encoder.encode_images(images))
"""


def served(folder: Path, images: list[Image.Image], scratch: Path, *cache: Path) -> Any:
    """The embeddings by a process that cannot import torch; its last words where it fails."""
    np.save(scratch / "pixels.npy", np.stack([np.asarray(image) for image in images]))
    paths = (folder, scratch / "pixels.npy", scratch / "rows.npy", *cache)
    done = subprocess.run(
        [sys.executable, "-c", _SERVE, *map(str, paths)], capture_output=True, text=True, timeout=120
    )
    return np.load(scratch / "rows.npy") if done.returncode == 0 else done.stderr


@pytest.fixture
def images() -> list[Image.Image]:
    draw = np.random.default_rng(9)
    return [
        Image.fromarray(draw.integers(0, 256, (6, 8, 3), np.uint8)).resize((80, 60), Image.Resampling.BICUBIC)
        for _ in range(5)
    ]


def test_an_autoencoder_is_served(tmp_path: Path, images: list[Image.Image]) -> None:
    torch = pytest.importorskip("torch")
    from vitrine.training.autoencoder.network import ConvolutionalAutoencoder, save_autoencoder

    torch.manual_seed(4)
    model = ConvolutionalAutoencoder(32, 12, (8, 16, 24)).eval()
    for name, value in model.named_parameters():  # group norms are 1 and 0 before training
        torch.nn.init.normal_(value, 1.0 if name.endswith("1.weight") else 0.0, 0.2)
    config = AutoencoderConfig("convolutional", 32, 12, model.arguments, {})
    save_autoencoder(tmp_path / "look", model, config)

    found = served(tmp_path / "look", images, tmp_path)

    small = np.stack([np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)) for image in images])
    batch = torch.from_numpy(small).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        codes = torch.nn.functional.normalize(model.encode(batch), dim=1).numpy()
    assert np.abs(found - codes).max() < 1e-5
    assert np.abs(found[0] - found[1]).max() > 1e-3


@pytest.mark.parametrize("model", [COLOUR_MODEL])
def test_a_metric_learned_encoder_is_served(tmp_path: Path, images: list[Image.Image], model: str) -> None:
    torch = pytest.importorskip("torch")
    from vitrine.services.encoders.load import EncoderLoader
    from vitrine.services.encoders.reference import EncoderReference
    from vitrine.training.metric.embedder import Embedder
    from vitrine.training.metric.saving import save_metric_encoder

    trunk: Any = (
        ColourEncoder()
        if model == COLOUR_MODEL
        else EncoderLoader(offline=True, precision="float32").load(EncoderReference("trunk", model))
    )
    rows = trunk.encode_images(images)
    torch.manual_seed(4)
    embedder = Embedder(trunk.spec.dim, (16, 8))
    embedder.fit_input(torch.from_numpy(rows))
    config = MetricConfig(
        "look",
        "frozen",
        TrunkReference(model, trunk.spec.revision),
        "float32",
        trunk.spec.preprocessing,
        embedder.arguments,
        ("x", "y"),
        "sha256:0",
        "2026-01-01T00:00:00+00:00",
    )
    save_metric_encoder(tmp_path / "look", config, embedder)

    found = served(tmp_path / "look", images, tmp_path)

    assert np.abs(found - embedder.embed(rows)).max() < 1e-5


def test_a_model_that_only_torch_knows_is_served_by_what_was_converted_where_torch_was(
    tmp_path: Path, images: list[Image.Image]
) -> None:
    pytest.importorskip("torch")
    from vitrine.services.encoders.load import EncoderLoader
    from vitrine.services.encoders.reference import EncoderReference

    folder, cache = write_model("poolformer", tmp_path / "model"), tmp_path / "cache"
    words = served(folder, images, tmp_path, cache)
    assert "ModelUnavailable" in words and "'vitrine[train]'" in words and "cache/runtime" in words

    loader = EncoderLoader(offline=True, precision="float32", device="cpu", cache=cache)
    rows = loader.load(EncoderReference("look", str(folder))).encode_images(images)
    assert np.abs(served(folder, images, tmp_path, cache) - rows).max() < 1e-5

    (note,) = cache.glob("converted/*/converted.json")
    known = json.loads(note.read_text())
    note.write_text(json.dumps(known | {"made_by": ["0.1", "2025.1", "2.0", "4.0"]}))
    assert np.abs(served(folder, images, tmp_path, cache) - rows).max() < 1e-5

    (weights,) = cache.glob("converted/*/model.bin")
    weights.write_bytes(weights.read_bytes()[:-4])
    assert "ModelUnavailable" in served(folder, images, tmp_path, cache)
