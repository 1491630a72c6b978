"""The losses of metric learning by name, each with the miner that fits it, from pytorch-metric-learning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.extras import from_extra
from vitrine.training.metric.options import loss_name

with from_extra("train"):
    import torch

_PROXY_RATE = 10.0
"""Proxies learn this many times faster than the embedder: each sees a class's share of every batch (Kim et
al., 2020)."""


@dataclass(frozen=True)
class MetricLoss:
    """A loss with its miner: ``loss(embeddings, labels)`` is a scalar; embeddings (n, dim) of unit length,
    labels (n,) in 0..classes - 1."""

    name: str
    criterion: Any
    miner: Any = None

    def __call__(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        embeddings = embeddings.float()
        mined = self.miner(embeddings, labels) if self.miner is not None else None
        value: torch.Tensor = self.criterion(embeddings, labels, mined)
        return value

    def parameters(self) -> list[torch.nn.Parameter]:
        """Return the loss's own weights (one proxy a class); none for losses of pairs and triplets."""
        return list(self.criterion.parameters())

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the optimizer's groups for the loss's own weights, where the embedder learns at rate
        ``lr``."""
        own = self.parameters()
        return [{"params": own, "lr": _PROXY_RATE * lr, "weight_decay": 0.0}] if own else []


_Maker = Callable[[int, int], tuple[Any, Any]]


def _makers() -> dict[str, _Maker]:
    """Return by name functions from the number of classes and dimensions to a loss and its miner (or None).

    Values come from the papers, or from a search on photos of clothes where the papers leave them open.
    """
    with from_extra("train"):
        from pytorch_metric_learning import losses, miners
        from pytorch_metric_learning.distances import CosineSimilarity

    return {
        "CircleLoss": lambda classes, dim: (losses.CircleLoss(m=0.4, gamma=80), None),
        "MultiSimilarity": lambda classes, dim: (
            losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5),
            miners.MultiSimilarityMiner(epsilon=0.1),
        ),
        "Triplet": lambda classes, dim: (
            losses.TripletMarginLoss(margin=0.1, distance=CosineSimilarity()),
            miners.TripletMarginMiner(margin=0.1, distance=CosineSimilarity(), type_of_triplets="semihard"),
        ),
        "Contrastive": lambda classes, dim: (
            losses.ContrastiveLoss(pos_margin=1.0, neg_margin=0.3, distance=CosineSimilarity()),
            miners.PairMarginMiner(pos_margin=0.9, neg_margin=0.3, distance=CosineSimilarity()),
        ),
        "ProxyAnchor": lambda classes, dim: (
            losses.ProxyAnchorLoss(classes, dim, margin=0.1, alpha=32),
            None,
        ),
        "ArcFace": lambda classes, dim: (losses.ArcFaceLoss(classes, dim, margin=28.6, scale=16), None),
        "NTXent": lambda classes, dim: (losses.NTXentLoss(temperature=0.1), None),
        "SupCon": lambda classes, dim: (losses.SupConLoss(temperature=0.1), None),
    }


def make_loss(name: str, classes: int, dim: int) -> MetricLoss:
    """Return a loss for embeddings of ``dim`` components in ``classes`` classes. Proxies are drawn from
    torch's generator.

    ``BadRequest`` for an unknown name, ``ImportError`` where pytorch-metric-learning is not installed.
    """
    known = loss_name(name)
    return MetricLoss(known, *_makers()[known](classes, dim))


def batches(
    labels: NDArray[np.int64], batch_size: int, samples_per_class: int, seed: tuple[int, ...]
) -> Iterator[NDArray[np.int64]]:
    """Yield one epoch of batches of positions by MPerClassSampler: ``samples_per_class`` images of each class
    in a batch.

    An epoch has as many images as there are labels, rounded up to whole batches; small classes come up more
    often than their share. ``batch_size`` is rounded to what the classes can fill. The same ``seed`` gives
    the same epoch.
    """
    with from_extra("train"):
        from pytorch_metric_learning.samplers import MPerClassSampler

    classes = len(np.unique(labels))
    size = batch_shape(classes, batch_size, samples_per_class)
    count = -(-len(labels) // size)
    with _library_random(seed):
        order = np.fromiter(
            MPerClassSampler(labels, samples_per_class, size, count * size), np.int64, count * size
        )
    yield from order.reshape(count, size)


def batch_shape(classes: int, batch_size: int, samples_per_class: int) -> int:
    """Return the batch size nearest to the wished one: a multiple of ``samples_per_class``, of two classes at
    least and all at most."""
    return samples_per_class * min(max(round(batch_size / samples_per_class), min(2, classes)), classes)


@contextmanager
def _library_random(seed: tuple[int, ...]) -> Iterator[None]:
    """Give the library a random stream of its own, since it draws from numpy's global one."""
    with from_extra("train"):
        from pytorch_metric_learning.utils import common_functions

    before = common_functions.NUMPY_RANDOM
    common_functions.NUMPY_RANDOM = np.random.RandomState(
        np.random.default_rng(seed).integers(0, 2**32, 8, dtype=np.uint32)
    )
    try:
        yield
    finally:
        common_functions.NUMPY_RANDOM = before
