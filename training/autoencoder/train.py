"""Train autoencoders: networks that reproduce pictures through a short code, which is the embedding."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.encoders.families.autoencoder import Autoencoder, preprocessing_of
from vitrine.services.encoders.families.clip import DualImageEncoder
from vitrine.services.encoders.families.vit import VisionEncoder
from vitrine.services.encoders.precision import choose_device
from vitrine.services.encoders.preprocess import fit
from vitrine.services.encoders.torch_encoder import TorchEncoder
from vitrine.services.errors import BadRequest, ImageRefused, NotFound, TooFewExamples
from vitrine.services.extras import from_extra
from vitrine.services.images.open import ImageLimits, open_image
from vitrine.training.autoencoder.network import ConvolutionalAutoencoder
from vitrine.training.autoencoder.options import AutoencoderOptions, Loss

with from_extra("train"):
    import torch
    from torch.nn import functional

Pixels = NDArray[np.uint8]
LEAST = 10
_PERCEPTUAL_PIXELS = 0.2
"""Share of the mean absolute error next to the perceptual loss: features alone leave colours and places
open."""


@dataclass
class TrainedAutoencoder:
    """The model at its best epoch. ``history`` has epoch, loss, validation_loss and seconds; ``held_out``
    some of the pictures that it has not seen."""

    model: Autoencoder
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    images: int = 0
    refused: int = 0
    held_out: Pixels = field(default_factory=lambda: np.empty((0, 0, 0, 3), np.uint8))

    @property
    def best_loss(self) -> float:
        """Return the validation loss of the best epoch."""
        return min((row["validation_loss"] for row in self.history), default=math.nan)


def train_autoencoder(
    reads: Sequence[Callable[[], bytes]],
    options: AutoencoderOptions,
    *,
    model: Autoencoder | None = None,
    perceptual: TorchEncoder | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> TrainedAutoencoder:
    """Train on pictures, given by functions that read their bytes. Pictures that do not decode are left out
    and counted.

    ``model``: your own (see services/encoders/families/autoencoder.py), for pictures of ``options.size``.
    ``perceptual``: the encoder in float32 whose features the loss of that name compares. ``on_epoch`` gets
    each row of the history; Ctrl-C ends the training with the best epoch so far. Raises ``TooFewExamples``
    under ten images, ``BadRequest``.
    """
    if (options.loss == "perceptual") != (perceptual is not None):
        raise BadRequest("The perceptual loss compares features of an encoder: give both or neither.")
    torch.manual_seed(options.seed)
    device = choose_device(options.device)
    network: Any = model or ConvolutionalAutoencoder(options.size, options.dim, options.channels)
    with tempfile.TemporaryFile() as scratch:  # the pixels of a large collection do not fit in memory
        pixels = _load(reads, options.size, scratch)
        if len(pixels) < LEAST:
            raise TooFewExamples(
                f"{len(pixels)} images decode, an autoencoder needs {LEAST} at least: give more."
            )
        trained = TrainedAutoencoder(network, images=len(pixels), refused=len(reads) - len(pixels))
        order = np.random.default_rng(options.seed).permutation(len(pixels))
        cut = max(1, round(options.validation * len(pixels)))
        trained.held_out = np.array(pixels[np.sort(order[:cut])][:64])
        _fit(
            network.to(device),
            pixels,
            order[cut:],
            order[:cut],
            options,
            _loss(options.loss, perceptual),
            trained,
            on_epoch,
            device,
        )
    return trained


def reconstruct(model: Autoencoder, pixels: Pixels) -> Pixels:
    """Return the model's reconstructions of pictures (n, size, size, 3) uint8, in the same shape."""
    network: Any = model
    device = next(network.parameters()).device
    with torch.inference_mode():
        rows = [
            model.decode(model.encode(_batch(part, device)))
            for part in np.array_split(pixels, max(1, len(pixels) // 16))
        ]
    pictures: Pixels = (torch.cat(rows).permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().cpu().numpy()
    return pictures


def _fit(
    network: Any,
    pixels: Pixels,
    train: NDArray[np.intp],
    held_out: NDArray[np.intp],
    options: AutoencoderOptions,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    trained: TrainedAutoencoder,
    on_epoch: Callable[[dict[str, float]], None] | None,
    device: str,
) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    steps = options.epochs * math.ceil(len(train) / options.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.lr, total_steps=steps + 1, pct_start=0.1
    )
    generator, started = np.random.default_rng(options.seed + 1), time.monotonic()
    best, weights = math.inf, _weights(network)
    try:
        for epoch in range(1, options.epochs + 1):
            network.train()
            total = 0.0
            for rows in _batches(generator.permutation(train), options.batch_size):
                batch = _batch(_flipped(pixels[np.sort(rows)], generator, options.flip), device)
                value = loss(network.decode(network.encode(batch)), batch)
                optimizer.zero_grad(set_to_none=True)
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                total += float(value.detach()) * len(rows)
            row = {
                "epoch": float(epoch),
                "loss": total / len(train),
                "validation_loss": _validate(network, pixels, held_out, options.batch_size, loss, device),
                "seconds": time.monotonic() - started,
            }
            trained.history.append(row)
            if row["validation_loss"] < best:
                best, weights, trained.best_epoch = row["validation_loss"], _weights(network), epoch
            if on_epoch:
                on_epoch(row)
            late = options.seconds and row["seconds"] > options.seconds
            if late or epoch - trained.best_epoch >= options.patience:
                break
    except KeyboardInterrupt:
        if not trained.best_epoch:
            raise
    network.load_state_dict(weights)
    network.eval()


def _validate(
    network: Any,
    pixels: Pixels,
    rows: NDArray[np.intp],
    size: int,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    device: str,
) -> float:
    network.eval()
    total = 0.0
    with torch.no_grad():
        for part in _batches(rows, size):
            batch = _batch(pixels[np.sort(part)], device)
            total += float(loss(network.decode(network.encode(batch)), batch)) * len(part)
    return total / len(rows)


def _loss(
    name: Loss, perceptual: TorchEncoder | None
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return a function of reconstructions and originals, both (n, 3, size, size) in 0..1."""
    if name == "mse":
        return functional.mse_loss
    if name == "mae":
        return functional.l1_loss
    assert perceptual is not None
    features = _features(perceptual)

    def compare(made: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            wanted = features(given)
        unlike = (1.0 - functional.cosine_similarity(features(made), wanted)).mean()
        return unlike + _PERCEPTUAL_PIXELS * functional.l1_loss(made, given)

    return compare


def _features(encoder: TorchEncoder) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a differentiable function from pictures in 0..1 to the encoder's features."""
    if isinstance(encoder, VisionEncoder | DualImageEncoder):
        encoder.model.requires_grad_(False)  # gradients go through the encoder, not into it
    preprocessing = encoder.spec.preprocessing
    resize = (
        preprocessing.resize
        if isinstance(preprocessing.resize, tuple)
        else (preprocessing.resize, preprocessing.resize)
    )
    size = preprocessing.crop or resize
    mean, std = (
        torch.tensor(part, device=encoder.device).view(1, 3, 1, 1)
        for part in (preprocessing.mean, preprocessing.std)
    )

    def features(pictures: torch.Tensor) -> torch.Tensor:
        fitted = functional.interpolate(pictures, size, mode="bilinear", align_corners=False, antialias=True)
        return encoder.features((fitted - mean) / std)

    return features


def _load(reads: Sequence[Callable[[], bytes]], size: int, scratch: Any) -> Pixels:
    """Read all pictures that decode into one array on the disk."""
    preprocessing, limits = preprocessing_of(size), ImageLimits()

    def read(function: Callable[[], bytes]) -> Pixels | None:
        try:
            return fit(open_image(function(), target=size, limits=limits).image, preprocessing)
        except (ImageRefused, NotFound, OSError):
            return None

    count = 0
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(reads), 256):  # in parts, so that finished pictures do not pile up
            for pixels in pool.map(read, reads[start : start + 256]):
                if pixels is not None:
                    scratch.write(pixels.tobytes())
                    count += 1
    scratch.flush()
    if not count:
        return np.empty((0, size, size, 3), np.uint8)
    return np.memmap(scratch, np.uint8, "r", shape=(count, size, size, 3))


def _batches(rows: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _batch(pixels: Pixels, device: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(0, 3, 1, 2).float().div_(255.0)


def _flipped(pixels: Pixels, generator: np.random.Generator, wanted: bool) -> Pixels:
    """Mirror about half of the pictures, at random."""
    if wanted:
        mirrored = generator.random(len(pixels)) < 0.5
        pixels = np.where(mirrored[:, None, None, None], pixels[:, :, ::-1], pixels)
    return pixels


def _weights(network: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
