"""The options of a metric learning run. Read without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vitrine.services.errors import BadRequest
from vitrine.services.options import Options, option

LOSSES = (
    "CircleLoss",
    "MultiSimilarity",
    "Triplet",
    "Contrastive",
    "ProxyAnchor",
    "ArcFace",
    "NTXent",
    "SupCon",
)
"""The names that ``make_loss`` takes."""


@dataclass(frozen=True)
class Augmentation:
    """How much random views of a picture differ from it.

    ``smallest_area``: least share of the picture that a crop keeps. ``aspect``: a crop is wider or higher
    than the encoder's input by up to this factor. ``flip``: how often left and right are swapped.
    ``colour``: brightness, contrast and saturation change by up to this share.
    """

    smallest_area: float = 0.35
    aspect: float = 4 / 3
    flip: float = 0.5
    colour: float = 0.2


@dataclass(frozen=True)
class MetricOptions(Options):
    """Every number that decides a run, besides the images, their split and the trunk.

    Both rates rise over the share ``warm_up`` of all steps and fall as half a cosine. With mode whole, and
    with last-blocks where the views' activations do not fit into ``memory_mb``, every epoch makes new views
    (none with ``views=0``); else the same ones are kept. ``autocast``: bfloat16 while the trunk is trained;
    auto: where the hardware multiplies it.
    """

    mode: Literal["frozen", "last-blocks", "whole"] = option(
        "frozen", "frozen trains the embedder alone, in minutes on a CPU; the others train the trunk as well."
    )
    blocks: int = option(3, "last-blocks: how many of the trunk's last blocks are trained.", ge=1)
    loss: str = option("SupCon", f"{', '.join(LOSSES[:-1])} or {LOSSES[-1]}.")
    embedder_layers: tuple[int, ...] = option(
        (512, 128), "Widths of the embedder's layers; the last is the embedding's.", min_length=1
    )
    dropout: float = option(0.0, "Dropout between the embedder's layers.", ge=0, lt=1)
    samples_per_class: int = option(16, "Images of each class in a batch.", ge=2)
    batch_size: int = option(128, "Images in a batch.", ge=4)
    accumulate: int = option(1, "Batches in a step of the optimizer.", ge=1)
    epochs: int = option(25, "Epochs at most.", ge=1)
    patience: int = option(10, "Epochs without a better validation recall@1 before it stops; 0: never.", ge=0)
    lr: float = option(1e-3, "Learning rate of the embedder.", gt=0)
    trunk_lr: float = option(1e-4, "Learning rate of the trunk.", gt=0)
    weight_decay: float = option(1e-4, "Weight decay of both.", ge=0)
    views: int | None = option(None, "Random views kept of each image. [default: 0 frozen, else 2]", ge=0)
    input_size: tuple[int, ...] = option(
        (),
        "Another input size: N crops as the trunk does, HEIGHT,WIDTH takes the whole picture.",
        max_length=2,
    )
    seed: int = option(0, "Seed of everything that is drawn at random.", ge=0)
    activation: Literal["relu", "gelu"] = "gelu"
    input_dropout: float = 0.0
    warm_up: float = 0.05
    augmentation: Augmentation = field(default_factory=Augmentation)
    memory_mb: int = 4_096
    autocast: Literal["auto", "on", "off"] = "auto"
    threads: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "loss", loss_name(self.loss))
        if self.views is None:
            object.__setattr__(self, "views", 0 if self.mode == "frozen" else 2)
        if not 0 <= self.warm_up < 1:
            raise BadRequest("The warm-up is a share of 0 to 1.")


def loss_name(name: str) -> str:
    """Return the name as in LOSSES; case, ``-``, ``_`` and a ``Loss`` at the end do not matter.

    ``BadRequest`` for another.
    """
    for known in LOSSES:
        if _plain(known) == _plain(name):
            return known
    raise BadRequest(f"There is no loss {name!r}: choose one of {', '.join(LOSSES)}.", loss=name)


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "").replace("_", "").replace(" ", "").removesuffix("loss")
