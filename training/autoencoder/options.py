"""The options of an autoencoder. Read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vitrine.services.options import Options, option

Loss = Literal["mse", "mae", "perceptual"]


@dataclass(frozen=True)
class AutoencoderOptions(Options):
    """How an autoencoder is built and trained.

    ``validation``: share of the images held out for early stopping. ``seconds``: no new epoch begins after
    this long (0: no limit).
    """

    size: int = option(64, "Side in pixels of the squares that pictures are fitted to.", ge=8)
    dim: int = option(128, "Length of the code, which is the embedding.", ge=1)
    channels: tuple[int, ...] = option((32, 64, 128, 256), "Channels after each halving.", min_length=1)
    loss: Loss = option("mse", "perceptual compares the features of --features.")
    epochs: int = option(50, "Epochs at most.", ge=1)
    batch_size: int = option(64, "Images in a batch.", ge=2)
    lr: float = option(1e-3, "Highest learning rate of the one-cycle schedule.", gt=0)
    weight_decay: float = option(1e-4, "Weight decay.", ge=0)
    patience: int = option(8, "Epochs without a better validation loss before it stops.", ge=1)
    seed: int = option(0, "Seed of everything that is drawn at random.", ge=0)
    validation: float = 0.1
    flip: bool = True
    seconds: float = 0.0
    device: str = "auto"
