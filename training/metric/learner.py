"""The three ways to train, behind one interface: on a trunk's embeddings, on its last blocks, on the whole
trunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import Embeddings
from vitrine.services.encoders.precision import choose_precision
from vitrine.services.encoders.preprocess import normalise
from vitrine.services.extras import from_extra
from vitrine.training.data.dataset import LabelledImage
from vitrine.training.metric.embedder import Embedder
from vitrine.training.metric.last_blocks import SplitTrunk
from vitrine.training.metric.options import MetricOptions
from vitrine.training.metric.trunk import Trunk
from vitrine.training.metric.views import PixelReader, Tell, TrunkEmbeddings

with from_extra("train"):
    import torch
    from torch.nn import functional

Positions = NDArray[np.int64]
_SLICE, _FIT = 32, 1_024


class Source(Protocol):
    """The training inputs of images, by their positions."""

    def random(self, positions: Positions, epoch: int, step: int) -> torch.Tensor:
        """Return a random view of each; the same epoch and step give the same views."""

    def plain(self, positions: Positions) -> torch.Tensor:
        """Return each image as it is served."""


class KeptViews:
    """Views that are kept in memory: ``views`` (views, n, ...), the first of them plain."""

    def __init__(self, views: torch.Tensor, seed: int, device: str) -> None:
        self._views, self._seed, self._device = views, seed, device

    def random(self, positions: Positions, epoch: int, step: int) -> torch.Tensor:
        random = np.random.default_rng((self._seed, epoch, step))
        chosen = random.integers(0, len(self._views), len(positions))
        return self._views[torch.from_numpy(chosen), torch.from_numpy(positions)].to(self._device).float()

    def plain(self, positions: Positions) -> torch.Tensor:
        return self._views[0, torch.from_numpy(positions)].to(self._device).float()


class FreshViews:
    """Views that are made when asked for; ``split`` runs the part of the trunk that is not trained."""

    def __init__(
        self, images: Sequence[LabelledImage], reader: PixelReader, split: SplitTrunk, seed: int, vary: bool
    ) -> None:
        self._images, self._reader, self._split = images, reader, split
        self._first, self._vary = 1 + 1_000_003 * (seed + 1), vary

    def random(self, positions: Positions, epoch: int, step: int) -> torch.Tensor:
        return self._make(positions, self._first + epoch if self._vary else 0)

    def plain(self, positions: Positions) -> torch.Tensor:
        return self._make(positions, 0)

    def _make(self, positions: Positions, view: int) -> torch.Tensor:
        pixels = self._reader.read([self._images[position] for position in positions], view)
        return torch.cat(list(_fronts(pixels, self._reader, self._split)))


class Learner:
    """The embedder and the trained part of the trunk before it: ``stage`` makes features from the source's
    inputs."""

    def __init__(
        self,
        embedder: Embedder,
        source: Source,
        *,
        stage: Callable[[torch.Tensor], torch.Tensor] | None = None,
        trained: dict[str, torch.nn.Parameter] | None = None,
        autocast: bool = False,
    ) -> None:
        self.embedder = embedder
        self.source = source
        self.trained = trained or {}
        self._stage = stage or (lambda inputs: inputs)
        self._autocast = autocast

    def embed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return embeddings (n, dim) of unit length, with gradients."""
        embedded: torch.Tensor = self.embedder(self._features(inputs))
        return embedded

    def embed_plain(self, positions: Positions) -> Embeddings:
        """Return embeddings (n, dim) float32 of the images as they are served."""
        self.embedder.eval()
        with torch.no_grad():
            parts = [self.embed(self.source.plain(part)).cpu() for part in _slices(positions)]
        rows: Embeddings = torch.cat(parts).float().numpy()
        return rows

    def fit_input(self, positions: Positions, seed: int) -> None:
        """Fit the embedder's input normalisation to the features of some of these images."""
        some = np.random.default_rng(seed).permutation(positions)[:_FIT]
        with torch.no_grad():
            self.embedder.fit_input(
                torch.cat([self._features(self.source.plain(part)) for part in _slices(some)]).float()
            )

    def weights(self) -> dict[str, torch.Tensor]:
        """Return everything that training changes, by name."""
        own = {f"embedder.{name}": value for name, value in self.embedder.state_dict().items()}
        return own | {f"trunk.{name}": value.detach() for name, value in self.trained.items()}

    def load_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Load what ``weights`` returned."""
        prefix = "embedder."
        self.embedder.load_state_dict(
            {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        )
        with torch.no_grad():
            for name, value in self.trained.items():
                value.copy_(weights[f"trunk.{name}"])

    def _features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return features (n, trunk's dim) of unit length, as a frozen trunk's embeddings are."""
        lower: AbstractContextManager[Any] = nullcontext()
        if self._autocast:
            lower = torch.autocast(inputs.device.type, torch.bfloat16)
        with lower:
            features = self._stage(inputs)
        return functional.normalize(features.float(), dim=-1)


def frozen_learner(
    images: Sequence[LabelledImage], trunk: Trunk, options: MetricOptions, embeddings: TrunkEmbeddings
) -> Learner:
    """Return a learner on the trunk's embeddings of the images and, where asked, of views of them."""
    kept = torch.from_numpy(
        np.stack([embeddings.rows(images, view) for view in range((options.views or 0) + 1)])
    )
    embedder = _embedder(int(kept.shape[-1]), trunk, options)
    return Learner(embedder, KeptViews(kept, options.seed, trunk.device))


def trunk_learner(
    images: Sequence[LabelledImage], trunk: Trunk, options: MetricOptions, reader: PixelReader, tell: Tell
) -> tuple[Learner, Any]:
    """Return a learner on pixels, or on the output of the frozen first blocks, and the TorchEncoder whose
    model is trained."""
    encoder = trunk.for_training()
    split = SplitTrunk(encoder, options.blocks if options.mode == "last-blocks" else 0)
    views = options.views or 0
    source: Source = FreshViews(images, reader, split, options.seed, views > 0)
    if options.mode == "last-blocks":
        one = split.front(_batch(list(reader.read(images[:1])), reader, encoder.device))
        if (views + 1) * len(images) * one[0].numel() * 2 <= options.memory_mb << 20:
            source = KeptViews(_keep(images, views, reader, split, one, tell), options.seed, trunk.device)
    learner = Learner(
        _embedder(encoder.spec.dim, trunk, options),
        source,
        stage=split.tail,
        trained=split.trained,
        autocast=_lower_precision(options, trunk.device),
    )
    return learner, encoder


def _keep(
    images: Sequence[LabelledImage],
    views: int,
    reader: PixelReader,
    split: SplitTrunk,
    one: torch.Tensor,
    tell: Tell,
) -> torch.Tensor:
    """Run every view through the first blocks, (views + 1, n, ...) as float16: it rounds to a thousandth and
    takes half the memory."""
    kept = torch.empty((views + 1, len(images), *one.shape[1:]), dtype=torch.float16)
    for view in range(views + 1):
        at = 0
        for part in _fronts(reader.read(images, view), reader, split):
            kept[view, at : at + len(part)] = part.cpu()
            at += len(part)
            if at % (4 * _SLICE) == 0 or at == len(images):
                tell(f"first blocks, view {view + 1} of {views + 1}", at, len(images))
    return kept


def _fronts(pixels: Any, reader: PixelReader, split: SplitTrunk) -> Any:
    pixels = iter(pixels)
    size = split.slice
    while some := list(islice(pixels, size)):
        yield split.front(_batch(some, reader, split.device))


def _batch(pixels: list[Any], reader: PixelReader, device: str) -> torch.Tensor:
    return normalise(pixels, reader.preprocessing, device=device, dtype=torch.float32)


def _embedder(input_dim: int, trunk: Trunk, options: MetricOptions) -> Embedder:
    torch.manual_seed(options.seed)  # here, since loading a trunk draws numbers too
    embedder = Embedder(
        input_dim, options.embedder_layers, options.activation, options.dropout, options.input_dropout
    )
    return embedder.to(trunk.device)


def _lower_precision(options: MetricOptions, device: str) -> bool:
    return options.autocast == "on" or (
        options.autocast == "auto" and choose_precision("auto", device) == "bfloat16"
    )


def _slices(positions: Positions) -> list[Positions]:
    return [positions[at : at + 8 * _SLICE] for at in range(0, len(positions), 8 * _SLICE)]
