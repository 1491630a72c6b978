"""A metric learning run from labelled images to a folder: train, judge on held-out images, save with the
report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitrine.services.encoders.families.metric import load_metric_encoder
from vitrine.services.encoders.families.metric_config import MetricConfig, write_config
from vitrine.services.encoders.reference import EncoderReference
from vitrine.services.encoders.resolve import ResolvedModel
from vitrine.services.errors import AlreadyExists
from vitrine.services.files import make_folder
from vitrine.training.data.dataset import LabelledImage
from vitrine.training.data.splits import Split
from vitrine.training.metric.promotion import (
    CANDIDATE,
    TRUNK,
    Embed,
    HeldOut,
    Judged,
    embedder_of,
    held_out,
    judge,
    metrics_tree,
)
from vitrine.training.metric.report import DataSummary, TrainingReport, write_report
from vitrine.training.metric.train import TrainedMetric
from vitrine.training.metric.views import PixelReader, Tell, TrunkEmbeddings
from vitrine.training.metric.worst_queries import worst_retrievals


@dataclass(frozen=True)
class SavedRun:
    """What a run left in ``folder``. ``metrics`` by encoder, as in ``config``."""

    folder: Path
    config: MetricConfig
    held: HeldOut
    judged: Judged
    metrics: Mapping[str, Mapping[str, float]]


def judge_and_save(
    trained: TrainedMetric,
    images: Sequence[LabelledImage],
    split: Split,
    output: Path,
    *,
    summary: DataSummary,
    cache: Path | None = None,
    tell: Tell = lambda what, done, total: None,
    notes: Sequence[str] = (),
) -> SavedRun:
    """Judge what was trained, as it will be served, beside its untrained trunk; write the folder ``output``
    with the report.

    The folder appears complete or not at all. ``AlreadyExists`` where it is there.
    """
    if output.exists():
        raise AlreadyExists(f"{output} exists: name another folder, or remove it first.")
    make_folder(output.parent)
    fresh = output.with_name(f".{output.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        trained.save(fresh)
        held = held_out(images, split)
        judged = judge(_named(trained, fresh, cache, tell), held)
        metrics = metrics_tree(judged.comparison)
        config = replace(trained.config, metrics=metrics)
        write_report(fresh, _report(trained, judged, held, summary, notes), _worst(judged, held))
        write_config(fresh, config)
        fresh.rename(output)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return SavedRun(output, config, held, judged, metrics)


def _named(trained: TrainedMetric, folder: Path, cache: Path | None, tell: Tell) -> dict[str, Embed]:
    trunk = trained.trunk
    reader = PixelReader(trunk.preprocessing)
    embeddings = TrunkEmbeddings(trunk, reader, cache, tell)
    if trained.model is None:
        return {
            CANDIDATE: lambda images: trained.embedder.embed(embeddings.rows(images)),
            TRUNK: embeddings.rows,
        }
    reference = EncoderReference(trained.config.name, str(folder))
    served = load_metric_encoder(
        reference, ResolvedModel(folder, "unsaved"), replace(trunk.loader, precision="auto")
    )
    return {CANDIDATE: embedder_of(served, reader, tell, "judging"), TRUNK: embeddings.rows}


def _report(
    trained: TrainedMetric, judged: Judged, held: HeldOut, summary: DataSummary, notes: Sequence[str]
) -> TrainingReport:
    config = trained.config
    parameters: dict[str, Any] = {
        "trunk": config.trunk.model,
        "trunk revision": config.trunk.revision,
        "mode": config.mode,
    }
    parameters |= {name: value for name, value in config.training["options"].items() if name != "mode"}
    return TrainingReport(
        config.name,
        parameters,
        summary,
        judged.comparison,
        trained.history,
        float(trained.best_epoch),
        held.part,
        tuple(notes),
    )


def _worst(judged: Judged, held: HeldOut) -> Any:
    return worst_retrievals(judged.queries, held.queries, judged.gallery, held.gallery)
