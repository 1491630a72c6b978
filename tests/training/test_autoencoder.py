"""Autoencoders learn to reproduce pictures, and what was trained is what is served."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from PIL import Image

from vitrine.services.encoders.families.autoencoder import AutoencoderConfig, load_autoencoder
from vitrine.services.encoders.families.clip import DualImageEncoder
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import EncoderReference, parse_reference
from vitrine.services.encoders.resolve import ResolvedModel, folder_revision
from vitrine.services.errors import BadRequest, ModelUnavailable, TooFewExamples
from vitrine.training.autoencoder.network import ConvolutionalAutoencoder, save_autoencoder
from vitrine.training.autoencoder.options import AutoencoderOptions
from vitrine.training.autoencoder.train import reconstruct, train_autoencoder

TINY = AutoencoderOptions(
    size=16, dim=8, channels=(8, 16), epochs=12, batch_size=8, lr=5e-3, patience=12, validation=0.2
)


def pictures(count: int = 40) -> list[Callable[[], bytes]]:
    """Two kinds: a bright left half, a bright upper half; in shades."""
    found: list[Callable[[], bytes]] = []
    for number in range(count):
        pixels = np.full((16, 16, 3), 20, np.uint8)
        bright = 120 + 3 * number
        if number % 2:
            pixels[:, :8] = bright
        else:
            pixels[:8] = bright
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        found.append(partial(bytes, buffer.getvalue()))
    return found


def test_training_lowers_the_held_out_loss_and_keeps_the_best_epoch() -> None:
    rows: list[dict[str, float]] = []
    trained = train_autoencoder(pictures(), TINY, on_epoch=rows.append)
    assert rows == trained.history
    assert trained.images == 40
    assert trained.best_loss < 0.5 * rows[0]["validation_loss"]
    made = reconstruct(trained.model, trained.held_out).astype(float)
    error = np.mean((made - trained.held_out) ** 2) / 255**2
    assert error == pytest.approx(trained.best_loss, rel=0.1)


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_the_same_seed_gives_the_same_model(loss: Any) -> None:
    options = AutoencoderOptions(size=16, dim=4, channels=(8,), epochs=2, batch_size=8, loss=loss)
    first, second = (train_autoencoder(pictures(20), options).history for _ in range(2))
    assert [row["validation_loss"] for row in first] == [row["validation_loss"] for row in second]


def test_files_that_do_not_decode_are_counted_and_left_out() -> None:
    reads = [*pictures(20), lambda: b"no picture", lambda: b""]
    options = AutoencoderOptions(size=16, dim=4, channels=(8,), epochs=1)
    trained = train_autoencoder(reads, options)
    assert (trained.images, trained.refused) == (20, 2)
    with pytest.raises(TooFewExamples, match="9 images"):
        train_autoencoder(pictures(9), options)


def test_sizes_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(BadRequest, match="multiple of 16"):
        ConvolutionalAutoencoder(size=40, channels=(8, 8, 8, 8))
    with pytest.raises(BadRequest, match="perceptual"):
        train_autoencoder(pictures(10), AutoencoderOptions(loss="perceptual"))


def save(folder: Path, model: Any, name: str = "convolutional") -> ResolvedModel:
    save_autoencoder(folder, model, AutoencoderConfig(name, 16, 8, model.arguments, {}))
    return ResolvedModel(folder, folder_revision(folder))


def test_what_was_trained_is_what_is_served(tmp_path: Path) -> None:
    trained = train_autoencoder(pictures(), TINY)
    save(tmp_path / "tiny", trained.model)
    served = EncoderLoader(device="cpu", offline=True).load(EncoderReference("tiny", str(tmp_path / "tiny")))
    assert served.spec.dim == 8 and served.spec.modalities == ("image",)
    images = [Image.open(io.BytesIO(read())).convert("RGB") for read in itertools.islice(pictures(), 10)]
    batch = (
        torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float() / 255
    )
    with torch.no_grad():
        codes = torch.nn.functional.normalize(trained.model.encode(batch), dim=1).numpy()
    assert np.abs(served.encode_images(images) - codes).max() < 1e-5


class Average(torch.nn.Module):
    """A custom model: the mean colour is the code."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))

    @property
    def arguments(self) -> Mapping[str, Any]:
        return {"kind": "mean"}

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures.mean(dim=(2, 3)) * self.scale

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return codes[:, :, None, None].expand(-1, -1, 16, 16)


def test_a_custom_model_trains_and_is_loaded_only_by_who_has_its_code(tmp_path: Path) -> None:
    options = AutoencoderOptions(size=16, dim=3, epochs=2)
    trained = train_autoencoder(pictures(20), options, model=Average())
    found = save(tmp_path / "average", trained.model, name="average")
    reference = EncoderReference("average", str(tmp_path / "average"))
    with pytest.raises(ModelUnavailable, match="custom model 'average'"):
        load_autoencoder(reference, found)
    asked: list[Mapping[str, Any]] = []

    def make(arguments: Mapping[str, Any]) -> Average:
        asked.append(arguments)
        return Average()

    encoder = load_autoencoder(reference, found, model=make)
    assert asked == [{"kind": "mean"}]
    assert encoder.encode_images([Image.new("RGB", (20, 20), (255, 0, 0))]) == pytest.approx(
        np.array([[1, 0, 0]]), abs=1e-6
    )


def test_half_a_folder_and_foreign_weights_do_not_load(tmp_path: Path) -> None:
    found = save(tmp_path / "tiny", ConvolutionalAutoencoder(16, 8, (8, 16)))
    config = (tmp_path / "tiny" / "config.json").read_text()
    (tmp_path / "tiny" / "config.json").write_text(config.replace('"dim": 8', '"dim": 9'))
    with pytest.raises(ModelUnavailable, match="do not fit"):
        load_autoencoder(EncoderReference("tiny", "tiny"), found)
    (tmp_path / "tiny" / "config.json").unlink()
    with pytest.raises(ModelUnavailable, match="no autoencoder"):
        load_autoencoder(EncoderReference("tiny", "tiny"), found)


def test_the_perceptual_loss_teaches_the_autoencoder_and_leaves_the_encoder_as_it_is() -> None:
    loader = EncoderLoader(precision="float32", device="cpu", offline=True, runtime="torch")
    encoder = loader.load(parse_reference("demo"))
    assert isinstance(encoder, DualImageEncoder)
    before = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
    options = AutoencoderOptions(
        size=16, dim=8, channels=(8, 16), epochs=6, batch_size=8, lr=5e-3, loss="perceptual"
    )
    trained = train_autoencoder(pictures(), options, perceptual=encoder)
    assert trained.best_loss < 0.9 * trained.history[0]["validation_loss"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.model.state_dict().items())
    assert all(parameter.grad is None for parameter in encoder.model.parameters())
