"""``vitrine metric``: teach an encoder what a collection's classes are, and put it into service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import read_settings, stores
from vitrine.cli.metric.promote import promote, rollback
from vitrine.cli.options import JsonOption
from vitrine.cli.output import note, print_json, print_table, telling
from vitrine.cli.with_options import with_options
from vitrine.services.errors import BadRequest
from vitrine.training.data.options import SplitOptions
from vitrine.training.metric.options import MetricOptions

if TYPE_CHECKING:
    from vitrine.indexer.job.progress import StageByStage
    from vitrine.training.data.collect import TrainingData
    from vitrine.training.metric.evaluate import Comparison

app = typer.Typer(
    no_args_is_help=True,
    help="Train an encoder on the classes of a collection, judge it, put it into service.",
)
app.command()(promote)
app.command()(rollback)

_DATA = "Data"
FromCategory = Annotated[
    str | None,
    typer.Option(
        "--category",
        "-c",
        metavar="NAME",
        help="The images of this category that have a class.",
        rich_help_panel=_DATA,
    ),
]
FromFolder = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FOLDER",
        help="A folder with one for each class, or with train, validation and test of such; with --meta, "
        "where its files lie.",
        rich_help_panel=_DATA,
    ),
]
FromCsv = Annotated[
    Path | None,
    typer.Option(
        "--meta", metavar="CSV", help="Columns file, class and, where given, split.", rich_help_panel=_DATA
    ),
]
LabelOption = Annotated[
    str,
    typer.Option(
        "--label",
        metavar="FIELD",
        help="The payload field or the column of the class.",
        rich_help_panel=_DATA,
    ),
]


@app.command()
@with_options
def train(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the encoder is called.")],
    options: Annotated[MetricOptions, "Training"],
    split: Annotated[SplitOptions, "Split"],
    category: FromCategory = None,
    folder: FromFolder = None,
    meta: FromCsv = None,
    label: LabelOption = "class",
    using: Annotated[
        str | None,
        typer.Option(
            "--using",
            metavar="VECTOR",
            help="The category's vector whose encoder is the trunk. [default: its first]",
            rich_help_panel=_DATA,
        ),
    ] = None,
    trunk: Annotated[
        str | None,
        typer.Option(
            "--trunk",
            metavar="REF",
            help="A preset, name=model[@revision], a folder or a hub name. [default: the encoder of --using, "
            "or VITRINE_ENCODER]",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of this name.")
    ] = False,
    mlflow: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Also log to MLflow: a server, sqlite:///mlflow.db, or default."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="[default: DATA/encoders/NAME/VERSION]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train an embedder behind a trunk so that images of a class come to lie together.

    Writes one folder, with a report of what it finds on images it never saw. It works wherever an encoder is
    named; `vitrine metric promote` puts it into a category.
    """
    from vitrine.training.metric.run import run_metric
    from vitrine.training.metric.train import Watch

    split = replace(split, val_classes=_words(split.val_classes), test_classes=_words(split.test_classes))
    with telling() as tell:
        saved = run_metric(
            name,
            _read(ctx, tell, category, folder, meta, label, using),
            options,
            read_settings(ctx),
            split=split,
            trunk=trunk,
            folder=to,
            resume=resume,
            mlflow=mlflow,
            watch=Watch(tell, lambda row: _note_epoch(row, options.epochs)),
            note=note,
        )
    if as_json:
        print_json(saved.to_json())
        return
    _show(saved.judged.comparison)
    note(
        f"{saved.folder}: the encoder, its report in report.md. Epoch {saved.best_epoch} of "
        f"{len(saved.history)} was kept."
    )
    note(f"Put it into service: vitrine metric promote {saved.folder} -c {category or 'CATEGORY'}")


@app.command("eval")
def evaluate(
    ctx: typer.Context,
    encoder: Annotated[str, typer.Argument(metavar="FOLDER|NAME", help="A trained encoder.")],
    category: FromCategory = None,
    folder: FromFolder = None,
    meta: FromCsv = None,
    label: LabelOption = "class",
    against: Annotated[
        str,
        typer.Option(
            "--against", metavar="REF", help="Another encoder to compare with, if it is on this machine."
        ),
    ] = "clip",
    as_json: JsonOption = False,
) -> None:
    """Judge an encoder on the images held out of its training, next to its untrained trunk and to CLIP.

    On other data all images that it was not trained on are searched among each other.
    """
    from vitrine.services.encoders.families.metric_folders import find_folder
    from vitrine.training.metric.run import evaluate as judge

    settings = read_settings(ctx)
    trained = find_folder(settings.data, encoder)
    with telling() as tell:
        data = _read(ctx, tell, category, folder, meta, label)
        found = judge(trained, data, settings, other=against, tell=tell)
    if as_json:
        print_json(found.to_json())
        return
    _show(found.comparison)
    for line in found.notes:
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
        note("None yet: vitrine metric train NAME --from FOLDER")


def _read(
    ctx: typer.Context,
    tell: StageByStage,
    category: str | None,
    folder: Path | None,
    meta: Path | None,
    label: str,
    using: str | None = None,
) -> TrainingData:
    """Read the one source that is named. The data's lock is held only while a category is listed."""
    import os

    from vitrine.training.data.collect import collect, list_category, list_files

    spec = None
    if category is None:
        images = list_files(folder, meta, label)
    elif folder or meta:
        raise BadRequest("Say what to learn from: --category NAME, --from FOLDER, or --meta CSV.")
    else:
        with stores(ctx) as runtime:
            images, spec = list_category(runtime, category, label, using)
    threads = read_settings(ctx).threads or os.cpu_count() or 1
    return collect(images, spec, threads=threads, tell=tell, note=note)


def _note_epoch(row: Mapping[str, float], epochs: int) -> None:
    """Print the losses and figures of an epoch."""
    parts = [f"epoch {int(row['epoch'])} of {epochs}: loss {row['loss']:.4f}"]
    if "recall_at_1" in row:
        parts.append(f"validation recall@1 {row['recall_at_1']:.3f}, MAP@R {row['map_at_r']:.3f}")
    note(", ".join([*parts, f"{row['seconds']:.1f} s"]))


def _show(comparison: Comparison) -> None:
    headings, cells = comparison.table()
    print_table(headings, cells, right=tuple(headings[1:]))
    for line in (comparison.asked(), *comparison.gains()):
        note(line)


def _line(row: Mapping[str, Any]) -> list[object]:
    figures = [row["metrics"].get(name, {}).get("precision_at_1") for name in ("candidate", "trunk")]
    about = [row[key] for key in ("name", "mode", "trunk", "dim", "classes")]
    return [*about, *figures, row["trained_at"], row["folder"]]


def _words(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names in options that were given again or with commas."""
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
