"""``vitrine tagger``: train taggers on the stored embeddings of a category, look at them, score with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.metric.progress import Progress
from vitrine.cli.options import CategoryOption, JsonOption, YesOption
from vitrine.cli.output import confirmed, note, print_json, print_pairs, print_table
from vitrine.cli.tagger.label import label
from vitrine.cli.tagger.more import UsingOption, convert, quality, zero_shot
from vitrine.cli.tagger.score import purge_stale, score

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
def train(
    ctx: typer.Context,
    category: CategoryOption,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only this tag; again: more. [default: all]"),
    ] = None,
    using: UsingOption = None,
    field: FieldOption = "tags",
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="logistic-regression (fastest), or scikit-learn's: sklearn-logistic-regression, linear-svm.",
        ),
    ] = "logistic-regression",
    test_fraction: Annotated[
        float, typer.Option("--test-fraction", help="Share of the images that is held out to measure.")
    ] = 0.1,
    min_examples: Annotated[
        int, typer.Option("--min-examples", min=2, help="Tags with fewer images are skipped.")
    ] = 5,
    negatives: Annotated[
        str,
        typer.Option(
            "--negatives",
            metavar="WHAT",
            help="Counterexamples: rejected (by people), tag:OTHER,..., or a CSV of id,tag. [default: all "
            "others]",
        ),
    ] = "",
    background: Annotated[
        int | None,
        typer.Option(
            "--background", min=1, metavar="N", help="Add N random images without the tag as counterexamples."
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option("--precision", help="Choose the threshold for this precision. [default: the best F1]"),
    ] = None,
    cv: Annotated[
        int,
        typer.Option(
            "--cv", min=0, help="Cross-validate in so many parts. [default: only tags with few images]"
        ),
    ] = 0,
    c: Annotated[
        list[float] | None,
        typer.Option(
            "--C", metavar="C", help="Inverse regularisation to try; again: more. [default: 0.1 to 100]"
        ),
    ] = None,
    balanced: Annotated[
        bool, typer.Option("--balanced/--unbalanced", help="Give both sides of a tag the same weight.")
    ] = True,
    holdout_only: Annotated[
        bool, typer.Option("--holdout-only", help="Keep what is held out out of the final taggers too.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the split.")] = 0,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FOLDER", help="Where it goes. [default: DATA/reports/taggers/CATEGORY/TIME]"
        ),
    ] = None,
    plots: Annotated[
        bool | None,
        typer.Option("--plots/--no-plots", help="A picture of each tag. [default: up to 20 tags]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train a tagger for each tag, say how good they are on images that they have not seen, and put them into
    service."""
    from vitrine.services.taggers.saving import save_heads
    from vitrine.training.taggers.examples import read_examples, read_negatives
    from vitrine.training.taggers.report import COLUMNS, summary_rows, to_json, write_report
    from vitrine.training.taggers.train import GRID, TrainOptions, train_taggers

    options = TrainOptions(
        kind=kind,
        test_fraction=1 / cv if cv > 1 else test_fraction,
        folds=max(cv - 1, 2) if cv else 0,  # the part that would be held out is a fold as well
        protocol="cross-validation" if cv else "auto",
        precision=precision,
        grid=tuple(c) if c else GRID,
        balanced=balanced,
        holdout_only=holdout_only,
        seed=seed,
    )
    progress = Progress()
    with stores(ctx) as runtime:
        found = runtime.catalog.get(category)
        examples = read_examples(
            runtime.vectors,
            found,
            using,
            tags=tag,
            field=field,
            negatives=read_negatives(negatives, background),
            least=min_examples,
            seed=seed,
        )
        try:
            training = train_taggers(
                examples, options, named=tag is not None, tell=None if as_json else progress.tell
            )
        finally:
            progress.close()
        saved = save_heads(runtime, found, training.heads)
        moment = saved[0].trained_at.replace(":", "").replace("+0000", "Z")
        folder = (
            report or runtime.settings.data / "reports" / "taggers" / category / f"{moment}-{saved[0].number}"
        )
    title = f"Taggers of {category} on {examples.encoder.name}"
    write_report(folder, training, title=title, plots=plots)
    if as_json:
        print_json({**to_json(training, title), "report": str(folder), "trained_at": saved[0].trained_at})
        return
    print_table(COLUMNS, summary_rows(training.reports), right=COLUMNS[1:])
    if training.skipped:
        some = "; ".join(f"{name}: {reason}" for name, reason in list(training.skipped.items())[:3])
        note(
            f"{len(training.skipped)} tags were skipped "
            f"({some}{'; ...' if len(training.skipped) > 3 else ''})."
        )
    note(
        f"{len(saved)} taggers in service, mean average precision "
        f"{training.mean_average_precision:.3f}. Report: {folder}"
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
    """Show what is known of a tagger: its metrics, and how the scores of both sides lie."""
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
    """Measure a tagger on the tags that the category has now. Where it has learnt from these very images,
    this flatters it."""
    from dataclasses import asdict

    from vitrine.training.taggers.examples import read_examples
    from vitrine.training.taggers.metrics import tag_metrics

    with stores(ctx) as runtime:
        found = runtime.catalog.get(category)
        head = runtime.taggers.get(category, tag)
        examples = read_examples(runtime.vectors, found, head.using, tags=[tag], field=field, least=1)
    same = head.fingerprint == examples.fingerprint(0)
    metrics = asdict(tag_metrics(examples.targets[:, 0], head.scores(examples.x), head.threshold))
    if as_json:
        print_json({"category": category, "tag": tag, "same_examples": same, "metrics": metrics})
        return
    changed = (
        "These are the images it was trained on"
        if same
        else "Tags or images have changed since it was trained, but it knows some"
    )
    note(f"{changed}: vitrine tagger show has what it is worth on others.")
    _print_metrics(metrics)


@app.command()
def delete(ctx: typer.Context, category: CategoryOption, tag: TagArgument, yes: YesOption = False) -> None:
    """Delete a tagger and the scores that it gave. What people said stays."""
    from vitrine.indexer.enrich.scores.purging import drop_scores

    with stores(ctx) as runtime:
        tag = runtime.taggers.get(category, tag).tag
        if not confirmed(f"Delete the tagger {tag!r} of {category!r} and its scores?", yes):
            raise typer.Exit(1)
        changed = drop_scores(runtime, category, tag)
        runtime.taggers.delete(category, tag)
    note(f"Deleted the tagger {tag!r} and its scores on {changed} images.")


app.command("score")(score)
app.command("purge-stale")(purge_stale)
app.command("label")(label)
app.command("quality")(quality)
app.command("zero-shot")(zero_shot)
app.command("convert")(convert)


def _summary(head: TagHead, category: Category, unsettled: dict[str, str]) -> dict[str, Any]:
    """One line of the list. ``stale``: there may be scores by an older tagger, or the encoder is another by
    now."""
    from vitrine.services.errors import UnknownVector

    try:
        current = category.encoder(head.using).revision == head.encoder_revision
    except UnknownVector:
        current = False
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
