"""Train an embedder, and where asked the trunk before it, so that images of a class come to lie together."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import EncoderSpec
from vitrine.services.encoders.families.metric import MetricEncoder
from vitrine.services.encoders.families.metric_config import MetricConfig, TrunkReference
from vitrine.services.encoders.retrieval_metrics import retrieval_metrics
from vitrine.services.encoders.torch_encoder import choose_model_precision
from vitrine.services.errors import BadRequest, TooFewExamples
from vitrine.services.extras import from_extra
from vitrine.training.data.dataset import LabelledImage, fingerprint
from vitrine.training.data.splits import Split
from vitrine.training.metric.checkpoints import load_best, load_state, read_tree, save_state
from vitrine.training.metric.embedder import Embedder
from vitrine.training.metric.learner import Learner, frozen_learner, trunk_learner
from vitrine.training.metric.losses import MetricLoss, batch_shape, batches, make_loss
from vitrine.training.metric.options import MetricOptions
from vitrine.training.metric.saving import save_metric_encoder
from vitrine.training.metric.trunk import Trunk
from vitrine.training.metric.views import PixelReader, Tell, TrunkEmbeddings

with from_extra("train"):
    import torch

History = list[dict[str, float]]
_FALLEN = 0.01


@dataclass(frozen=True)
class Watch:
    """Functions that follow a run: ``tell`` gets the progress of slow steps, ``on_epoch`` the figures of each
    epoch."""

    tell: Tell = lambda what, done, total: None
    on_epoch: Callable[[Mapping[str, float]], None] = lambda row: None


@dataclass
class TrainedMetric:
    """The best epoch of a run. ``model``: the trunk's trained model in float32, None where the trunk was
    frozen."""

    config: MetricConfig
    embedder: Embedder
    trunk: Trunk
    split: Mapping[str, Any]
    history: History
    best_epoch: int
    model: Any = None
    training_encoder: Any = field(default=None, repr=False)

    @property
    def encoder(self) -> MetricEncoder:
        """Return the trained encoder as it stands in memory; loads a frozen trunk."""
        staged = self.trunk.encoder() if self.model is None else self.training_encoder
        config = self.config if self.model is None else replace(self.config, precision="float32")
        name, dim = self.config.name, self.config.dim
        spec = EncoderSpec(name, name, "unsaved", dim, ("image",), self.config.preprocessing)
        return MetricEncoder(spec, staged, self.embedder, config)

    def save(self, folder: Path, metrics: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Write the encoder's folder. ``AlreadyExists`` where there is one."""
        save_metric_encoder(
            folder,
            replace(self.config, metrics=dict(metrics or {})),
            self.embedder,
            trunk=self.model,
            processor=self.trunk.processor() if self.model is not None else None,
            split=self.split,
        )


def train_metric(
    images: Sequence[LabelledImage],
    split: Split,
    trunk: Trunk,
    options: MetricOptions,
    *,
    name: str = "metric",
    cache: Path | None = None,
    checkpoints: Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
) -> TrainedMetric:
    """Train on ``split.train`` and choose the epoch by recall@1 of ``split.validation``; the test images are
    not looked at.

    Validation images search among the training images where their classes are there, else among each other.
    Images need their content hash (``vitrine.training.data.dataset.identify``). ``cache``: folder of
    embeddings by a frozen trunk. ``checkpoints``: folder that gets the state after each epoch
    (``vitrine.training.metric.checkpoints.clear`` it once the result is saved); with ``resume`` a run goes on
    from there and ends as if it had not been interrupted. On a CPU with the same number of threads, the same
    arguments give the same weights. Raises BadRequest, TooFewExamples, ModelUnavailable.
    """
    watch = watch or Watch()
    run = _Run.prepare(images, split, trunk, options, cache, watch)
    before = read_tree(checkpoints) if resume and checkpoints else None
    if resume and before is None:
        raise BadRequest("There is no checkpoint to resume from: train without --resume.")
    devices = [torch.device(trunk.device)] if trunk.device.startswith("cuda") else []
    with torch.random.fork_rng(devices):
        history, best_epoch = run.train(checkpoints, before)
    return run.trained(name, images, split, history, best_epoch)


@dataclass
class _Run:
    """One training run. Positions count the images of train, then of validation."""

    options: MetricOptions
    trunk: Trunk
    learner: Learner
    loss: MetricLoss
    optimizer: torch.optim.Optimizer
    labels: NDArray[np.int64]
    train_count: int
    fingerprint: str
    watch: Watch
    precision: Callable[[], str]
    training_encoder: Any = None

    @classmethod
    def prepare(
        cls,
        images: Sequence[LabelledImage],
        split: Split,
        trunk: Trunk,
        options: MetricOptions,
        cache: Path | None,
        watch: Watch,
    ) -> _Run:
        used = [images[position] for position in (*split.train, *split.validation)]
        classes = sorted({images[position].class_ for position in split.train})
        if len(classes) < 2:
            raise TooFewExamples(
                "The training part has one class, at least two are needed: add classes, or split by image."
            )
        every = classes + sorted({image.class_ for image in used} - set(classes))
        labels = np.array([every.index(image.class_) for image in used], np.int64)
        reader = PixelReader(trunk.preprocessing, options.augmentation, options.threads)
        embeddings = TrunkEmbeddings(trunk, reader, cache, watch.tell)
        devices = [torch.device(trunk.device)] if trunk.device.startswith("cuda") else []
        with torch.random.fork_rng(devices):
            encoder = None
            if options.mode == "frozen":
                learner = frozen_learner(used, trunk, options, embeddings)
            else:
                learner, encoder = trunk_learner(used, trunk, options, reader, watch.tell)
            loss = make_loss(options.loss, len(classes), learner.embedder.dim)
            loss.criterion.to(trunk.device)
        count = len(split.train)
        learner.fit_input(np.arange(count), options.seed)
        optimizer = torch.optim.AdamW(_groups(learner, loss, options))

        def precision() -> str:
            if encoder is None:
                return embeddings.precision
            return choose_model_precision(trunk.wanted, trunk.device, encoder.model)

        return cls(
            options,
            trunk,
            learner,
            loss,
            optimizer,
            labels,
            count,
            fingerprint(used),
            watch,
            precision,
            encoder,
        )

    def train(self, checkpoints: Path | None, before: dict[str, Any] | None) -> tuple[History, int]:
        """Train all epochs; in the end the learner has the best one's weights."""
        history: History = []
        best_epoch, first = 0, 1
        best = self._copy()
        if before is not None and checkpoints is not None:
            history, best_epoch, first = self._restore(checkpoints, before)
            best = load_best(checkpoints)
        rates = [group["lr"] for group in self.optimizer.param_groups]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group.setdefault("initial_lr", rate)
        for epoch in range(first, self.options.epochs + 1):
            if best_epoch and self.options.patience and epoch - 1 - best_epoch >= self.options.patience:
                break
            row = self._epoch(epoch)
            history.append(row)
            improved = not best_epoch or _quality(row) > _quality(history[best_epoch - 1])
            if improved:
                best_epoch, best = epoch, self._copy()
            if checkpoints is not None:
                self._checkpoint(checkpoints, history, best_epoch, best if improved else None)
            self.watch.on_epoch(row)
        self.learner.load_weights(best)
        return history, best_epoch

    def trained(
        self, name: str, images: Sequence[LabelledImage], split: Split, history: History, best_epoch: int
    ) -> TrainedMetric:
        """Return the result, with everything that the folder will say."""
        options = self.options
        config = MetricConfig(
            name=name,
            mode=options.mode,
            trunk=TrunkReference(
                self.trunk.reference.model, self.trunk.revision, stored=options.mode != "frozen"
            ),
            precision=self.precision(),  # type: ignore[arg-type]
            preprocessing=self.trunk.preprocessing,
            embedder=self.learner.embedder.arguments,
            classes=tuple(sorted({images[position].class_ for position in split.train})),
            fingerprint=fingerprint(images),
            trained_at=datetime.now(UTC).isoformat(timespec="seconds"),
            training={
                "options": asdict(options),
                "protocol": split.protocol,
                "images": {
                    "train": len(split.train),
                    "validation": len(split.validation),
                    "test": len(split.test),
                },
                "epochs": len(history),
                "best_epoch": best_epoch,
                "validation": history[best_epoch - 1],
            },
        )
        encoder = self.training_encoder
        return TrainedMetric(
            config,
            self.learner.embedder.eval(),
            self.trunk,
            split_tree(images, split),
            history,
            best_epoch,
            encoder.model if encoder is not None else None,
            encoder,
        )

    def _epoch(self, epoch: int) -> dict[str, float]:
        options, started = self.options, time.monotonic()
        labels = self.labels[: self.train_count]
        size = batch_shape(len(np.unique(labels)), options.batch_size, options.samples_per_class)
        count = -(-len(labels) // size)
        # every epoch begins with a seed of its own: an interrupted run goes on with the same numbers
        torch.manual_seed(int(np.random.default_rng((options.seed, epoch)).integers(2**62)))
        self.learner.embedder.train()
        total = 0.0
        self.optimizer.zero_grad(set_to_none=True)
        for step, chosen in enumerate(
            batches(labels, size, options.samples_per_class, (options.seed, epoch))
        ):
            targets = torch.from_numpy(labels[chosen]).to(self.trunk.device)
            embedded = self.learner.embed(self.learner.source.random(chosen, epoch, step))
            value = self.loss(embedded, targets)
            (value / options.accumulate).backward()  # type: ignore[no-untyped-call]
            total += float(value.detach())
            if (step + 1) % options.accumulate == 0 or step + 1 == count:
                self._step((epoch - 1) * count + step, options.epochs * count)
            if options.mode != "frozen":
                self.watch.tell(f"epoch {epoch}", min((step + 1) * size, len(labels)), len(labels))
        row = {
            "epoch": float(epoch),
            "loss": total / count,
            "lr": float(self.optimizer.param_groups[0]["lr"]),
        }
        return row | self._validate() | {"seconds": time.monotonic() - started}

    def _step(self, done: int, total: int) -> None:
        share = learning_rate_share((done + 1) / total, self.options.warm_up)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share
        parameters = [value for group in self.optimizer.param_groups for value in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _validate(self) -> dict[str, float]:
        count, labels = self.train_count, self.labels
        if len(labels) == count:
            return {}
        queries = self.learner.embed_plain(np.arange(count, len(labels)))
        if set(labels[count:]) <= set(labels[:count]):
            gallery = self.learner.embed_plain(np.arange(count))
            found = retrieval_metrics(queries, labels[count:], gallery, labels[:count], nmi=False)
        else:
            found = retrieval_metrics(queries, labels[count:], nmi=False)
        return {
            "recall_at_1": found.precision_at_1,
            "recall_at_5": found.recall_at_5,
            "recall_at_10": found.recall_at_10,
            "precision_at_10": found.precision_at_10,
            "map_at_r": found.map_at_r,
        }

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.learner.weights().items()}

    def _all_weights(self) -> dict[str, torch.Tensor]:
        own = {f"loss.{place}": value.detach() for place, value in enumerate(self.loss.parameters())}
        return self.learner.weights() | own

    def _identity(self) -> dict[str, Any]:
        options = {
            name: value
            for name, value in asdict(self.options).items()
            if name not in ("threads", "memory_mb")
        }
        options = json.loads(json.dumps(options))  # tuples are lists in the checkpoint
        return {"options": options, "trunk": self.trunk.revision, "fingerprint": self.fingerprint}

    def _checkpoint(
        self, folder: Path, history: History, best_epoch: int, best: dict[str, torch.Tensor] | None
    ) -> None:
        tree = {"run": self._identity(), "history": history, "best_epoch": best_epoch}
        save_state(folder, self._all_weights(), self.optimizer, tree, best=best)

    def _restore(self, folder: Path, tree: dict[str, Any]) -> tuple[History, int, int]:
        if tree["run"] != self._identity():
            raise BadRequest(
                f"The checkpoint in {folder} is of a run with other options, images or trunk: give the "
                "same, or train without --resume."
            )
        weights, _ = load_state(folder, self.optimizer)
        self.learner.load_weights(weights)
        with torch.no_grad():
            for place, value in enumerate(self.loss.parameters()):
                value.copy_(weights[f"loss.{place}"])
        history: History = tree["history"]
        return history, int(tree["best_epoch"]), len(history) + 1


def learning_rate_share(done: float, warm_up: float) -> float:
    """Return the share of the full rate after the share ``done`` of a run: up in a line, then down half a
    cosine (Loshchilov, 2017).

    >>> learning_rate_share(0.05, 0.1), learning_rate_share(0.1, 0.1), round(learning_rate_share(1.0, 0.1), 2)
    (0.5, 1.0, 0.01)
    """
    if done < warm_up:
        return done / warm_up
    fallen = (done - warm_up) / (1 - warm_up)
    return _FALLEN + (1 - _FALLEN) * 0.5 * (1 + math.cos(math.pi * fallen))


def split_tree(images: Sequence[LabelledImage], split: Split) -> dict[str, Any]:
    """Return the content of ``split.json``; see ``read_split``."""
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    tree: dict[str, Any] = {"protocol": split.protocol}
    tree |= {part: [images[position].sha256 for position in positions] for part, positions in parts.items()}
    used = [images[position] for positions in parts.values() for position in positions]
    return tree | {"classes": {image.sha256: image.class_ for image in used}}


def _groups(learner: Learner, loss: MetricLoss, options: MetricOptions) -> list[dict[str, Any]]:
    """Return the optimizer's groups: weights decay, biases and norms do not."""
    groups: list[dict[str, Any]] = []
    for parameters, rate in (
        (list(learner.embedder.parameters()), options.lr),
        (list(learner.trained.values()), options.trunk_lr),
    ):
        for decay, chosen in (
            (options.weight_decay, [value for value in parameters if value.ndim > 1]),
            (0.0, [value for value in parameters if value.ndim < 2]),
        ):
            if chosen:
                groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
    return [*groups, *loss.parameter_groups(options.lr)]


def _quality(row: Mapping[str, float]) -> tuple[float, float, float]:
    """Return what epochs are ranked by, larger is better; without validation images the later epoch is."""
    return (
        row.get("recall_at_1", 0.0),
        row.get("map_at_r", 0.0),
        row["epoch"] if "recall_at_1" not in row else 0.0,
    )
