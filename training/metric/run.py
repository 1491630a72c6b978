"""A metric learning run: train an encoder, judge it on held-out images, and save it with its report."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitrine.services.encoders.families.metric import load_metric_encoder
from vitrine.services.encoders.families.metric_config import (
    MetricConfig,
    read_config,
    read_split,
    write_config,
)
from vitrine.services.encoders.families.metric_folders import new_folder
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.reference import EncoderReference, parse_reference
from vitrine.services.encoders.resolve import ResolvedModel
from vitrine.services.errors import AlreadyExists, BadRequest, ModelUnavailable
from vitrine.services.files import make_folder
from vitrine.services.read_only import check_writable, is_read_only
from vitrine.services.settings import Settings
from vitrine.training.data.collect import TrainingData
from vitrine.training.data.dataset import LabelledImage
from vitrine.training.data.options import SplitOptions
from vitrine.training.data.splits import Split
from vitrine.training.logs import RunLog, open_logs
from vitrine.training.metric.checkpoints import clear
from vitrine.training.metric.evaluate import Comparison
from vitrine.training.metric.options import MetricOptions
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
    recalled,
)
from vitrine.training.metric.report import DataSummary, TrainingReport, summarise, write_report
from vitrine.training.metric.train import History, TrainedMetric, Watch, train_metric
from vitrine.training.metric.trunk import InputSize, Trunk
from vitrine.training.metric.views import PixelReader, Tell, TrunkEmbeddings, small_pictures
from vitrine.training.metric.worst_queries import worst_retrievals

Note = Callable[[str], None]
"""Is given a sentence for the person who waits."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,55}")
_SPRITES = 1_000
"""Test images in TensorBoard's projector at most."""


@dataclass(frozen=True)
class SavedRun:
    """What a run left in ``folder``. ``metrics`` by encoder, as in ``config``."""

    folder: Path
    config: MetricConfig
    held: HeldOut
    judged: Judged
    metrics: Mapping[str, Mapping[str, float]]
    history: History

    @property
    def best_epoch(self) -> int:
        """Return the epoch that was kept."""
        return int(self.config.training["best_epoch"])

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of all of it."""
        config = self.config
        return {
            "folder": str(self.folder),
            "name": config.name,
            "mode": config.mode,
            "trunk": vars(config.trunk),
            "images": config.training["images"],
            "protocol": config.training["protocol"],
            "best_epoch": self.best_epoch,
            "epochs": len(self.history),
            "metrics": self.metrics,
            "comparison": self.judged.comparison.tree(),
            "report": str(self.folder / "report.md"),
            "history": self.history,
        }


@dataclass(frozen=True)
class Evaluation:
    """An encoder on the images of one ``part`` that it was not trained on, next to others."""

    folder: Path
    part: str
    comparison: Comparison
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object of all of it."""
        return {
            "folder": str(self.folder),
            "part": self.part,
            "comparison": self.comparison.tree(),
            "notes": list(self.notes),
        }


def run_metric(
    name: str,
    data: TrainingData,
    options: MetricOptions,
    settings: Settings,
    *,
    split: SplitOptions | None = None,
    trunk: str | None = None,
    folder: Path | None = None,
    resume: bool = False,
    mlflow: str | None = None,
    watch: Watch | None = None,
    note: Note = lambda text: None,
) -> SavedRun:
    """Train the encoder ``name``, judge it on images that it never saw, and save it in a folder of its own.

    ``trunk``: a reference to its trunk (None: the encoder whose embeddings the images carry, else
    ``VITRINE_ENCODER``). ``folder``: where it goes (None: the next version below the data folder, see
    ``new_folder``). ``resume`` goes on with an interrupted run of this name; ``mlflow``: see ``open_logs``.
    ``BadRequest``, ``TooFewExamples``, ``ModelUnavailable``, ``AlreadyExists``.
    """
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} is not an encoder name: use a-z, 0-9, - and _, at most 56, starting with a "
            "letter or digit."
        )
    check_writable(settings)
    watch = watch or Watch()
    output = folder or new_folder(settings.data, name)
    options = replace(options, threads=settings.threads or 2)
    images, start = _start(data, trunk, options, settings, note)
    parts = data.split(split or SplitOptions(), options.seed)
    cache, checkpoints = settings.data / "cache" / "embeddings", settings.data / "cache" / "metric" / name
    left_out = f"; {len(parts.left_out)} near-duplicates left out" if parts.left_out else ""
    counts = f"{len(parts.train)} to train, {len(parts.validation)} to choose, {len(parts.test)} to judge"
    note(f"{len(images)} images: {counts}{left_out}.")
    parameters = {"trunk": start.reference.model, **{key: str(value) for key, value in vars(options).items()}}
    with open_logs(settings.data / "runs" / name / output.name, mlflow, name, parameters) as logs:

        def on_epoch(row: Mapping[str, float]) -> None:
            watch.on_epoch(row)
            for log in logs:
                log.epoch(row)

        try:
            trained = train_metric(
                images,
                parts,
                start,
                options,
                name=name,
                cache=cache,
                checkpoints=checkpoints,
                resume=resume,
                watch=Watch(watch.tell, on_epoch),
            )
        except KeyboardInterrupt:
            if checkpoints.is_dir():
                note("Interrupted. The same command with --resume goes on after the last complete epoch.")
            raise
        summary = summarise(images, parts, data.groups, data.unusable)
        saved = judge_and_save(trained, images, parts, output, summary=summary, cache=cache, tell=watch.tell)
        clear(checkpoints)
        _log(logs, saved)
    return saved


def evaluate(
    folder: Path, data: TrainingData, settings: Settings, *, other: str = "clip", tell: Tell | None = None
) -> Evaluation:
    """Judge a trained encoder on the images held out of its training, next to its untrained trunk and
    ``other``.

    On other data all images that it was not trained on are searched among each other. What is not on this
    machine is left out, with a note. ``ModelUnavailable``, ``TooFewExamples``.
    """
    tell = tell or Watch().tell
    held = held_out(data.images, recalled(data.images, read_split(folder)))
    config = read_config(folder)
    cache = None if is_read_only(settings) else settings.data / "cache" / "embeddings"
    served: Any = EncoderLoader.of(settings).load(EncoderReference(config.name, str(folder)))
    named = {CANDIDATE: embedder_of(served, PixelReader(config.preprocessing), tell, "embedding")}
    notes = []
    own = EncoderReference("trunk", config.trunk.model, config.trunk.revision)
    for name, reference in ((TRUNK, own), ("clip", parse_reference(other))):
        try:
            trunk = _trunk(reference, settings, offline=True)
        except ModelUnavailable:
            notes.append(f"{reference.model} is not on this machine: {name} is left out of the comparison.")
            continue
        if name == TRUNK and trunk.revision != config.trunk.revision:
            notes.append(
                f"{reference.model} is of another revision here: the trunk is left out of the comparison."
            )
            continue
        named[name] = TrunkEmbeddings(trunk, PixelReader(trunk.preprocessing), cache, tell).rows
    return Evaluation(folder, held.part, judge(named, held).comparison, tuple(notes))


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
    """Judge what was trained, as it will be served, next to its untrained trunk; write the folder ``output``
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
        parameters = {
            "trunk": config.trunk.model,
            "trunk revision": config.trunk.revision,
            "mode": config.mode,
            **config.training["options"],
        }
        report = TrainingReport(
            config.name,
            parameters,
            summary,
            judged.comparison,
            trained.history,
            float(trained.best_epoch),
            held.part,
            tuple(notes),
        )
        worst = worst_retrievals(judged.queries, held.queries, judged.gallery, held.gallery)
        write_report(fresh, report, worst)
        write_config(fresh, config)
        fresh.rename(output)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return SavedRun(output, config, held, judged, metrics, trained.history)


def _start(
    data: TrainingData, trunk: str | None, options: MetricOptions, settings: Settings, note: Note
) -> tuple[list[LabelledImage], Trunk]:
    """Return the trunk, and the images; they keep their stored embeddings only if those are the trunk's."""
    spec = data.spec
    if spec is not None and trunk is None:
        reference = EncoderReference(spec.name, spec.model, spec.revision)
    else:
        reference = parse_reference(trunk or settings.encoder)
    start = _trunk(reference, settings, options.input_size)
    if spec is None or (spec.revision, spec.preprocessing) == (start.revision, start.preprocessing):
        return data.images, start
    if trunk is None:
        note(
            f"The stored embeddings of {spec.name} are of another revision or input size: the pictures are "
            "read again."
        )
    return [replace(image, embedding=None) for image in data.images], start


def _trunk(
    reference: EncoderReference, settings: Settings, input_size: InputSize = (), offline: bool = False
) -> Trunk:
    return Trunk(
        reference,
        input_size=input_size,
        precision=settings.precision,
        device=settings.device,
        models_folder=settings.models,
        offline=offline or settings.offline,
    )


def _log(logs: Sequence[RunLog], saved: SavedRun) -> None:
    """Log the final figures, and the test images for the projector."""
    some = saved.held.queries[:_SPRITES]
    pictures = small_pictures(some)
    files = [path for path in saved.folder.glob("*") if path.suffix in (".json", ".md", ".png")]
    for log in logs:
        log.result(saved.metrics, files)
        log.projector(saved.judged.queries[: len(some)], [image.class_ for image in some], pictures)


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
