"""What a metric learning run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from vitrine.services.encoders.families.metric_config import Mode
from vitrine.services.errors import BadRequest
from vitrine.training.metric.augment import Augmentation
from vitrine.training.metric.losses import loss_name
from vitrine.training.metric.trunk import InputSize


@dataclass(frozen=True)
class MetricOptions:
    """Every number that decides a run, besides the images, their split and the trunk. Raises BadRequest.

    ``mode``: frozen trains the embedder alone, last-blocks also the trunk's last ``blocks`` blocks and what
    follows them, whole the whole trunk. ``samples_per_class`` is m of MPerClassSampler, ``accumulate`` how
    many batches make one step. ``lr`` is the embedder's rate, ``trunk_lr`` the trunk's; both rise over the
    share ``warm_up`` of all steps and fall as half a cosine. ``patience``: epochs without a better recall@1
    on validation after which training ends (0: never before ``epochs``). ``views``: how many random views of
    an image are kept besides the image itself (frozen, last-blocks); whole, and last-blocks where the views'
    activations do not fit into ``memory_mb``, make new ones in every epoch instead, or none with 0.
    ``autocast``: bfloat16 while training the trunk; auto: where the hardware multiplies it.
    """

    mode: Mode = "frozen"
    embedder_layers: tuple[int, ...] = (512, 128)
    activation: Literal["relu", "gelu"] = "gelu"
    dropout: float = 0.0
    input_dropout: float = 0.0
    blocks: int = 3
    loss: str = "SupCon"
    samples_per_class: int = 16
    batch_size: int = 128
    epochs: int = 25
    lr: float = 1e-3
    trunk_lr: float = 1e-4
    weight_decay: float = 1e-4
    warm_up: float = 0.05
    patience: int = 10
    seed: int = 0
    input_size: InputSize = ()
    accumulate: int = 1
    views: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    memory_mb: int = 4_096
    autocast: Literal["auto", "on", "off"] = "auto"
    threads: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "loss", loss_name(self.loss))
        if self.mode not in get_args(Mode):
            raise BadRequest(f"There is no mode {self.mode!r}: choose one of {', '.join(get_args(Mode))}.")
        least = {
            "blocks": 1,
            "samples_per_class": 2,
            "batch_size": 4,
            "epochs": 1,
            "patience": 0,
            "accumulate": 1,
            "views": 0,
        }
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise BadRequest(f"--{name.replace('_', '-')} is at least {bound}.")
        if self.lr <= 0 or self.trunk_lr <= 0 or self.weight_decay < 0 or not 0 <= self.warm_up < 1:
            raise BadRequest(
                "Learning rates are above 0, the weight decay is not below 0, the warm-up is a share "
                "of 0 to 1."
            )
