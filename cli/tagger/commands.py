"""``vitrine tagger``: train taggers on the stored embeddings of a category, look at them, score with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption, UsingOption, YesOption
from vitrine.cli.output import confirm, note, print_json, print_pairs, print_table, show_progress, telling
from vitrine.cli.tagger.label import label
from vitrine.cli.tagger.more import convert, quality, zero_shot
from vitrine.cli.tagger.score import purge_stale, score
from vitrine.cli.with_options import with_options
from vitrine.training.taggers.options import TrainOptions

if TYPE_CHECKING:
    from vitrine.services.artifacts.taggers import TagHead
    from vitrine.services.category.catalog import Category

app = typer.Typer(
    name="tagger",
    no_args_is_help=True,
    help="Train taggers on stored embeddings, and score images with them.",
)
TagArgument = Annotated[str, typer.Argument(metavar="TAG", help="The tag.")]
FieldOption = Annotated[
    str, typer.Option("--field", metavar="FIELD", help="Where the tags are: tags, class or metadata.COLUMN.")
]


@app.command()
@with_options
def train(
    ctx: typer.Context,
    category: CategoryOption,
    options: TrainOptions,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only this tag; again: more. [default: all]"),
    ] = None,
    using: UsingOption = None,
    field: FieldOption = "tags",
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            metavar="FOLDER",
            help="Where the report goes. [default: DATA/reports/taggers/CATEGORY/TIME]",
        ),
    ] = None,
    plots: Annotated[
        bool | None,
        typer.Option("--plots/--no-plots", help="A picture of each tag. [default: up to 20 tags]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a tagger for each tag, measure it on images that it has not seen, and put it into service."""
    from vitrine.training.taggers.report import COLUMNS, summary_rows
    from vitrine.training.taggers.run import run_taggers

    with stores(ctx) as runtime, telling(as_json) as tell:
        done = run_taggers(
            runtime, category, tag, options, using=using, field=field, folder=to, plots=plots, tell=tell
        )
    if as_json:
        print_json(done.to_json())
        return
    print_table(COLUMNS, summary_rows(done.training.reports), right=COLUMNS[1:])
    skipped = [f"{name}: {reason}" for name, reason in done.training.skipped.items()]
    if skipped:
        some = "; ".join([*skipped[:3], *(["..."] if len(skipped) > 3 else [])])
        note(f"{len(skipped)} tags were skipped ({some}).")
    note(
        f"{len(done.heads)} taggers in service, mean average precision {done.mean_average_precision:.3f}. "
        f"Report: {done.folder}"
    )
    note(f"Write their scores: vitrine tagger score -c {category}")


@app.command("list")
def list_(ctx: typer.Context, category: CategoryOption, as_json: JsonOption = False) -> None:
    """List the taggers in service."""
    with stores(ctx) as runtime:
        found = runtime.catalog.get(category)
        unsettled = runtime.taggers.unsettled(category)
        rows = [_summary(head, found, unsettled) for head in runtime.taggers.in_service(category)]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(
            list(rows[0]), [list(row.values()) for row in rows], right=("examples", "AP", "threshold")
        )
    else:
        note(
            f"Category {category!r} has no taggers: vitrine tagger train -c {category} makes them from "
            "its tags."
        )


@app.command()
def show(ctx: typer.Context, category: CategoryOption, tag: TagArgument, as_json: JsonOption = False) -> None:
    """Show a tagger: its metrics, and how the scores of images with and without the tag are distributed."""
    with stores(ctx) as runtime:
        found = runtime.catalog.get(category)
        head = runtime.taggers.get(category, tag)
        summary = _summary(head, found, runtime.taggers.unsettled(category))
        versions = [old.trained_at for old in runtime.taggers.history(category, tag)]
    if as_json:
        extra = {
            "metrics": dict(head.metrics),
            "fingerprint": head.fingerprint,
            "encoder_revision": head.encoder_revision,
        }
        print_json({**summary, **extra, "examples": dict(head.examples), "versions": versions})
        return
    print_pairs({**summary, "encoder revision": head.encoder_revision, "versions": len(versions)})
    _print_metrics(head.metrics)


@app.command("eval")
def evaluate(
    ctx: typer.Context,
    category: CategoryOption,
    tag: TagArgument,
    field: FieldOption = "tags",
    as_json: JsonOption = False,
) -> None:
    """Measure a tagger on the tags that the category has now. This flatters a tagger that was trained on
    these images."""
    from dataclasses import asdict

    from vitrine.training.taggers.run import evaluate_tagger

    with stores(ctx) as runtime:
        measured, same = evaluate_tagger(runtime, category, tag, field)
    metrics = asdict(measured)
    if as_json:
        print_json({"category": category, "tag": tag, "same_examples": same, "metrics": metrics})
        return
    known = "It was trained on these images" if same else "It was trained on some of these images"
    note(f"{known}: vitrine tagger show has how good it is on others.")
    _print_metrics(metrics)


@app.command()
def delete(ctx: typer.Context, category: CategoryOption, tag: TagArgument, yes: YesOption = False) -> None:
    """Delete a tagger and the scores that it gave. The tags that people gave stay."""
    from vitrine.indexer.enrich.scores.purging import delete_tagger

    with stores(ctx) as runtime:
        tag = runtime.taggers.get(category, tag).tag
        confirm(f"Delete the tagger {tag!r} of {category!r} and its scores?", yes)
        changed = delete_tagger(runtime, category, tag, progress=show_progress())
    note(f"Deleted the tagger {tag!r} and its scores on {changed} images.")


app.command("score")(score)
app.command("purge-stale")(purge_stale)
app.command("label")(label)
app.command("quality")(quality)
app.command("zero-shot")(zero_shot)
app.command("convert")(convert)


def _summary(head: TagHead, category: Category, unsettled: dict[str, str]) -> dict[str, Any]:
    """Return one line of the list. ``stale``: there may be scores by an older tagger, or its encoder has
    changed."""
    current = category.encoder_at(head.using, head.encoder_revision) is not None
    return {
        "tag": head.tag,
        "kind": head.kind,
        "vector": head.using,
        "examples": sum(head.examples.values()),
        "AP": head.metrics.get("average_precision"),
        "threshold": head.threshold,
        "trained": head.trained_at,
        "scored": "yes" if head.payload_field in category.indexes and head.tag not in unsettled else "no",
        "stale": "encoder changed" if not current else "older scores" if head.tag in unsettled else "",
    }


def _print_metrics(metrics: Any) -> None:
    from vitrine.training.taggers.report import bars

    print_pairs(
        {
            name.replace("_", " "): value
            for name, value in metrics.items()
            if not isinstance(value, list | tuple)
        }
    )
    for name, title in (
        ("positive_histogram", "scores with the tag"),
        ("negative_histogram", "scores without"),
    ):
        if name in metrics:
            typer.echo("\n".join([f"\n{title}", *bars(metrics[name])]))
