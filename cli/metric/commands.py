"""``vitrine metric``: teach an encoder what a collection's classes are, and put it into service."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import read_settings
from vitrine.cli.metric.data import (
    Data,
    FromCategory,
    FromCsv,
    FromFolder,
    LabelOption,
    UsingOption,
    read_data,
    split_data,
)
from vitrine.cli.metric.promote import promote, rollback
from vitrine.cli.options import JsonOption
from vitrine.cli.output import note, print_json, print_table
from vitrine.services.errors import BadRequest, ModelUnavailable

if TYPE_CHECKING:
    from vitrine.cli.metric.progress import Progress
    from vitrine.services.settings import Settings
    from vitrine.training.data.splits import Split
    from vitrine.training.logs import RunLog
    from vitrine.training.metric.evaluate import Comparison
    from vitrine.training.metric.options import MetricOptions
    from vitrine.training.metric.promotion import Embed
    from vitrine.training.metric.run import SavedRun
    from vitrine.training.metric.train import TrainedMetric
    from vitrine.training.metric.trunk import InputSize, Trunk

app = typer.Typer(
    no_args_is_help=True,
    help="Train an encoder on the classes of a collection, judge it, put it into service.",
)
app.command()(promote)
app.command()(rollback)

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,55}")
_TRAINING = "Training"
_SPRITES = 1_000


class Mode(StrEnum):
    """How much of the trunk is trained."""

    frozen = "frozen"
    last_blocks = "last-blocks"
    whole = "whole"


class SplitBy(StrEnum):
    """What keeps training and test apart."""

    auto = "auto"
    image = "image"
    class_ = "class"
    given = "given"


@app.command()
def train(
    ctx: typer.Context,
    name: Annotated[str, typer.Option("--name", help="What the encoder is called.")],
    category: FromCategory = None,
    data: FromFolder = None,
    meta: FromCsv = None,
    label: LabelOption = "class",
    using: UsingOption = None,
    trunk: Annotated[
        str | None,
        typer.Option(
            "--trunk",
            metavar="REF",
            help="A preset, name=model[@revision], a folder or a hub name. [default: that of --using, or "
            "VITRINE_ENCODER]",
        ),
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="frozen: the embedder alone, in minutes on a CPU.", rich_help_panel=_TRAINING)
    ] = Mode.frozen,
    blocks: Annotated[int, typer.Option(help="last-blocks: how many.", rich_help_panel=_TRAINING)] = 3,
    loss: Annotated[
        str,
        typer.Option(
            help="CircleLoss, MultiSimilarity, Triplet, Contrastive, ProxyAnchor, ArcFace, NTXent or SupCon.",
            rich_help_panel=_TRAINING,
        ),
    ] = "SupCon",
    embedder_layers: Annotated[
        list[str] | None,
        typer.Option(
            help="Widths of the embedder, the last one the embedding's; again or with commas. [default: "
            "512,128]",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    dropout: Annotated[
        float, typer.Option(help="Between the embedder's layers.", rich_help_panel=_TRAINING)
    ] = 0.0,
    split: Annotated[
        SplitBy,
        typer.Option(
            help="class: the test asks for classes never seen. auto: as the data says, else by image."
        ),
    ] = SplitBy.auto,
    val_classes: Annotated[
        list[str] | None, typer.Option(help="Classes of the validation; again or with commas.")
    ] = None,
    test_classes: Annotated[
        list[str] | None, typer.Option(help="Classes of the test; again or with commas.")
    ] = None,
    samples_per_class: Annotated[
        int, typer.Option(help="m of MPerClassSampler.", rich_help_panel=_TRAINING)
    ] = 16,
    batch_size: Annotated[int, typer.Option(rich_help_panel=_TRAINING)] = 128,
    accumulate: Annotated[int, typer.Option(help="Batches a step.", rich_help_panel=_TRAINING)] = 1,
    epochs: Annotated[int, typer.Option(rich_help_panel=_TRAINING)] = 25,
    patience: Annotated[
        int,
        typer.Option(
            help="Epochs without a better validation recall@1; 0: all epochs.", rich_help_panel=_TRAINING
        ),
    ] = 10,
    lr: Annotated[float, typer.Option(help="Of the embedder.", rich_help_panel=_TRAINING)] = 1e-3,
    trunk_lr: Annotated[float, typer.Option(help="Of the trunk.", rich_help_panel=_TRAINING)] = 1e-4,
    weight_decay: Annotated[float, typer.Option(rich_help_panel=_TRAINING)] = 1e-4,
    views: Annotated[
        int | None,
        typer.Option(
            help="Random views of each image besides itself. [default: 0 frozen, else 2]",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    input_size: Annotated[
        str | None,
        typer.Option(
            metavar="N|HxW",
            help="Another input size: N cuts the picture as the trunk does, HxW takes the whole picture.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(rich_help_panel=_TRAINING)] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of this name.")
    ] = False,
    mlflow: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Also log to MLflow: a server, sqlite:///mlflow.db, or default."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FOLDER", help="[default: DATA/encoders/NAME/TIME]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train an embedder behind a trunk so that images of a class come to lie together.

    Writes one folder, with a report of what it finds on images it never saw. It works wherever an encoder is
    named; `vitrine metric promote` puts it into a category.
    """
    from vitrine.cli.metric.progress import Progress
    from vitrine.services.encoders.families.metric_folders import new_folder
    from vitrine.training.metric.options import MetricOptions

    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} is not an encoder name: use a-z, 0-9, - and _, at most 56, starting with a "
            "letter or digit."
        )
    settings = read_settings(ctx)
    options = MetricOptions(
        mode=mode.value,
        embedder_layers=_numbers(embedder_layers or ["512,128"], "--embedder-layers"),
        dropout=dropout,
        blocks=blocks,
        loss=loss,
        samples_per_class=samples_per_class,
        batch_size=batch_size,
        epochs=epochs,
        lr=lr,
        trunk_lr=trunk_lr,
        weight_decay=weight_decay,
        patience=patience,
        seed=seed,
        input_size=_size(input_size),
        accumulate=accumulate,
        views=views if views is not None else (0 if mode is Mode.frozen else 2),
        threads=settings.threads or 2,
    )
    progress = Progress(epochs)
    folder = output or new_folder(settings.data, name)
    try:
        found = read_data(ctx, progress, category, data, meta, label, using)
        found, start = _trunk(found, trunk, options, settings)
        parts = split_data(found, split.value, seed, _words(val_classes), _words(test_classes))
        saved, trained = _run(
            found, parts, start, options, name, folder, settings, progress, resume=resume, mlflow=mlflow
        )
    finally:
        progress.close()
    answer = {
        "folder": str(saved.folder),
        "name": name,
        "mode": options.mode,
        "trunk": vars(saved.config.trunk),
        "images": saved.config.training["images"],
        "protocol": parts.protocol,
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.history),
        "metrics": saved.metrics,
        "comparison": saved.judged.comparison.tree(),
        "report": str(saved.folder / "report.md"),
    }
    if as_json:
        print_json(answer | {"history": trained.history})
        return
    _show(saved.judged.comparison)
    note(
        f"{saved.folder}: the encoder, its report in report.md. Epoch {trained.best_epoch} of "
        f"{len(trained.history)} was kept."
    )
    note(f"Put it into service: vitrine metric promote {saved.folder} --name {name} -c CATEGORY")


@app.command("eval")
def evaluate(
    ctx: typer.Context,
    encoder: Annotated[str, typer.Argument(metavar="FOLDER|NAME", help="A trained encoder.")],
    category: FromCategory = None,
    data: FromFolder = None,
    meta: FromCsv = None,
    label: LabelOption = "class",
    clip: Annotated[
        str,
        typer.Option(
            "--clip", metavar="REF", help="What else to compare with, if its weights are on this machine."
        ),
    ] = "clip",
    as_json: JsonOption = False,
) -> None:
    """Judge an encoder on the images held out of its training, beside its untrained trunk and beside CLIP.

    On other data all images that were not trained on are sought among each other.
    """
    from vitrine.cli.metric.progress import Progress
    from vitrine.services.encoders.families.metric_config import read_split
    from vitrine.services.encoders.families.metric_folders import find_folder
    from vitrine.training.metric.promotion import held_out, judge, recalled

    settings = read_settings(ctx)
    folder = find_folder(settings.data, encoder)
    progress = Progress()
    try:
        found = read_data(ctx, progress, category, data, meta, label)
        held = held_out(found.images, recalled(found.images, read_split(folder)))
        named, notes = _compared(folder, clip, settings, progress)
        comparison = judge(named, held).comparison
    finally:
        progress.close()
    if as_json:
        print_json(
            {"folder": str(folder), "part": held.part, "comparison": comparison.tree(), "notes": notes}
        )
        return
    _show(comparison)
    for line in notes:
        note(line)


@app.command("list")
def list_encoders(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the encoders that were trained below the data folder."""
    from vitrine.services.encoders.families.metric_folders import trained

    rows = [
        {
            "name": config.name,
            "folder": str(folder),
            "mode": config.mode,
            "trunk": config.trunk.model,
            "dim": config.dim,
            "classes": len(config.classes),
            "metrics": config.metrics,
            "trained_at": config.trained_at,
        }
        for folder, config in trained(read_settings(ctx).data)
    ]
    if as_json:
        print_json({"encoders": rows})
        return
    columns = ("name", "mode", "trunk", "dim", "classes", "recall@1", "trunk's", "trained at", "folder")
    print_table(columns, [_line(row) for row in rows], right=("dim", "classes", "recall@1", "trunk's"))
    if not rows:
        note("None yet: vitrine metric train --data FOLDER --name NAME")


def _trunk(data: Data, trunk: str | None, options: MetricOptions, settings: Settings) -> tuple[Data, Trunk]:
    """The trunk; the images keep their stored embeddings only if they are its own."""
    from dataclasses import replace

    from vitrine.services.encoders.reference import EncoderReference, parse_reference
    from vitrine.training.metric.trunk import Trunk

    if data.spec is not None and trunk is None:
        reference = EncoderReference(data.spec.name, data.spec.model, data.spec.revision)
    else:
        reference = parse_reference(trunk or settings.encoder)
    start = Trunk(
        reference, input_size=options.input_size, precision=settings.precision, device=settings.device,
        models_folder=settings.models, offline=settings.offline,
    )  # fmt: skip
    own = data.spec is not None and (data.spec.revision, data.spec.preprocessing) == (
        start.revision,
        start.preprocessing,
    )
    if own:
        return data, start
    if data.spec is not None and trunk is None:
        note(
            f"The stored embeddings of {data.spec.name} are of another revision or input size: the "
            "pictures are read again."
        )
    return replace(data, images=[replace(image, embedding=None) for image in data.images]), start


def _run(
    data: Data,
    split: Split,
    trunk: Trunk,
    options: MetricOptions,
    name: str,
    folder: Path,
    settings: Settings,
    progress: Progress,
    *,
    resume: bool,
    mlflow: str | None,
) -> tuple[SavedRun, TrainedMetric]:
    from vitrine.training.logs import open_logs
    from vitrine.training.metric.checkpoints import clear
    from vitrine.training.metric.report import summarise
    from vitrine.training.metric.run import judge_and_save
    from vitrine.training.metric.train import Watch, train_metric

    cache, checkpoints = settings.data / "cache" / "embeddings", settings.data / "cache" / "metric" / name
    counts = f"{len(split.train)} to train, {len(split.validation)} to choose, {len(split.test)} to judge"
    note(
        f"{len(data.images)} images: "
        f"{counts}{f'; {len(split.left_out)} near-duplicates left out' if split.left_out else ''}."
    )
    parameters = {"trunk": trunk.reference.model, **{key: str(value) for key, value in vars(options).items()}}
    with open_logs(settings.data / "runs" / name / folder.name, mlflow, name, parameters) as logs:

        def on_epoch(row: Mapping[str, float]) -> None:
            progress.epoch(row)
            for log in logs:
                log.epoch(row)

        try:
            trained = train_metric(
                data.images,
                split,
                trunk,
                options,
                name=name,
                cache=cache,
                checkpoints=checkpoints,
                resume=resume,
                watch=Watch(progress.tell, on_epoch),
            )
        except KeyboardInterrupt:
            progress.close()
            if checkpoints.is_dir():
                note("Interrupted. The same command with --resume goes on after the last complete epoch.")
            raise
        summary = summarise(data.images, split, data.groups, data.unusable)
        saved = judge_and_save(
            trained, data.images, split, folder, summary=summary, cache=cache, tell=progress.tell
        )
        clear(checkpoints)
        _log(logs, saved)
    return saved, trained


def _log(logs: Iterable[RunLog], saved: SavedRun) -> None:
    """The final figures, and the test images in the projector."""
    from vitrine.training.metric.views import small_pictures

    some = saved.held.queries[:_SPRITES]
    pictures = small_pictures(some)
    for log in logs:
        log.result(
            saved.metrics,
            [path for path in saved.folder.glob("*") if path.suffix in (".json", ".md", ".png")],
        )
        log.projector(saved.judged.queries[: len(some)], [image.class_ for image in some], pictures)


def _compared(
    folder: Path, clip: str, settings: Settings, progress: Progress
) -> tuple[dict[str, Embed], list[str]]:
    """The encoder, its trunk as it was before training, and CLIP; and notes on what is not there."""
    from vitrine.services.encoders.families.metric_config import read_config
    from vitrine.services.encoders.load import load_encoder
    from vitrine.services.encoders.reference import EncoderReference, parse_reference
    from vitrine.training.metric.promotion import CANDIDATE, TRUNK, embedder_of
    from vitrine.training.metric.trunk import Trunk
    from vitrine.training.metric.views import PixelReader, TrunkEmbeddings

    config, cache = read_config(folder), settings.data / "cache" / "embeddings"
    served: Any = load_encoder(
        EncoderReference(config.name, str(folder)),
        models_folder=settings.models,
        precision=settings.precision,
        device=settings.device,
        offline=settings.offline,
    )
    named = {CANDIDATE: embedder_of(served, PixelReader(config.preprocessing), progress.tell, "embedding")}
    notes = []
    for name, reference in {
        TRUNK: EncoderReference("trunk", config.trunk.model, config.trunk.revision),
        "clip": parse_reference(clip),
    }.items():
        try:
            trunk = Trunk(
                reference,
                precision=settings.precision,
                device=settings.device,
                models_folder=settings.models,
                offline=True,
            )
        except ModelUnavailable:
            notes.append(f"{reference.model} is not on this machine: {name} is left out of the comparison.")
            continue
        if name == TRUNK and trunk.revision != config.trunk.revision:
            notes.append(
                f"{reference.model} is of another revision here: the trunk is left out of the comparison."
            )
            continue
        named[name] = TrunkEmbeddings(trunk, PixelReader(trunk.preprocessing), cache, progress.tell).rows
    return named, notes


def _show(comparison: Comparison) -> None:
    headings, cells = comparison.table()
    print_table(headings, cells, right=tuple(headings[1:]))
    for line in (comparison.asked(), *comparison.gains()):
        note(line)


def _line(row: Mapping[str, Any]) -> list[object]:
    metrics = row["metrics"]
    found = [metrics.get(name, {}).get("precision_at_1") for name in ("candidate", "trunk")]
    return [
        row["name"],
        row["mode"],
        row["trunk"],
        row["dim"],
        row["classes"],
        *found,
        row["trained_at"],
        row["folder"],
    ]


def _numbers(texts: Sequence[str], option: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for text in texts for part in re.split(r"[,\s]+", text.strip()) if part)
    except ValueError:
        raise BadRequest(f"{option} takes whole numbers, such as 512,128, not {' '.join(texts)!r}.") from None


def _words(texts: Sequence[str] | None) -> list[str]:
    return [part.strip() for text in texts or () for part in text.split(",") if part.strip()]


def _size(text: str | None) -> InputSize:
    if text is None:
        return ()
    if not re.fullmatch(r"\d+(x\d+)?", text):
        raise BadRequest(f"--input-size takes N or HEIGHTxWIDTH, not {text!r}.")
    return tuple(int(part) for part in text.split("x"))
