"""``vitrine bench``: measure how long things take on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import note, print_json, print_table, show_progress
from vitrine.services.errors import BadRequest

if TYPE_CHECKING:
    from vitrine.indexer.timing import Sample, TimingReport

app = typer.Typer(no_args_is_help=True, help="Measure how long things take on this machine.")


@app.callback()
def _top() -> None:
    """Measure how long things take on this machine."""


@app.command()
def timing(
    ctx: typer.Context,
    category: CategoryOption,
    sizes: Annotated[
        str, typer.Option("--sizes", metavar="N,N,...", help="Images of each sample.")
    ] = "1000,3000,10000",
    tasks: Annotated[
        str,
        typer.Option("--tasks", metavar="WORD,...", help="Of embedding, clustering, map, tagger and search."),
    ] = "embedding,clustering,map,tagger,search",
    using: Annotated[
        str | None,
        typer.Option("--using", metavar="VECTOR", help="The named vector. [default: the category's]"),
    ] = None,
    map_method: Annotated[
        str, typer.Option("--map-method", metavar="METHOD", help="umap, or pca, the quick one.")
    ] = "umap",
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Draw seconds over sizes, log-log: .png or .svg."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the samples.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Time embedding, clustering, map, tagger and search on samples of a category, and fit how they grow with
    the size.

    An exponent of 1 means that the time grows with the size, 2 with its square. The category is only read.
    Search is the median time of a query for the ten nearest.
    """
    from vitrine.indexer.timing import TASKS, draw_timing, indexer_tasks, time_tasks
    from vitrine.services.extras import require_extra
    from vitrine.services.files import PLOTS, check_ending

    if to is not None:
        check_ending(to, "a plot", PLOTS)
        require_extra("matplotlib", "cluster")  # said before the work, not after
    wanted = [word.strip() for word in tasks.split(",") if word.strip()]
    unknown = [word for word in wanted if word not in TASKS]
    if unknown or not wanted:
        raise BadRequest(f"{', '.join(unknown) or 'Nothing'} cannot be timed: choose of {', '.join(TASKS)}.")
    known = {**indexer_tasks(map_method), "tagger": _train}
    with stores(ctx) as runtime:
        report = time_tasks(
            runtime,
            category,
            _numbers(sizes),
            {name: known[name] for name in TASKS if name in wanted},
            using=using,
            seed=seed,
            progress=None if as_json else show_progress(),
        )
    if to is not None:
        draw_timing(report, to)
    if as_json:
        print_json({**report.to_json(), "plot": str(to) if to else None})
    else:
        _show(report, to)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


@app.command()
def recall(
    ctx: typer.Context,
    category: CategoryOption,
    using: Annotated[
        str | None,
        typer.Option("--using", metavar="VECTOR", help="The named vector. [default: the category's]"),
    ] = None,
    queries: Annotated[int, typer.Option("--queries", min=1, max=10_000, help="Images to ask for.")] = 200,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="Nearest of each.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Measure how many of the nearest images the search index finds, and how fast, against comparing all."""
    from vitrine.services.search.index_recall import index_recall

    with stores(ctx) as runtime:
        vector = runtime.catalog.get(category).encoder(using).name
        found = index_recall(runtime.vectors, category, vector, queries=queries, limit=limit)
    if as_json:
        print_json({"category": category, "using": vector, **found.to_json()})
        return
    print_table(
        ("queries", f"recall@{limit}", "index ms", "exact ms"),
        [
            (
                found.queries,
                f"{found.recall:.3f}",
                f"{found.milliseconds:.2f}",
                f"{found.exact_milliseconds:.2f}",
            )
        ],
        right=("queries", f"recall@{limit}", "index ms", "exact ms"),
    )


def _show(report: TimingReport, to: Path | None) -> None:
    columns = ("task", *(f"{size} images" for size in report.sizes), "exponent")
    rows = [
        [task, *(report.timed(task, size) for size in report.sizes), slope]
        for task, slope in report.exponents.items()
    ]
    print_table(columns, rows, right=columns[1:])
    if summary := report.summary():
        note(summary)
    if to is not None:
        note(f"Plot: {to}")


def _train(sample: Sample) -> None:
    """Train taggers of all tags, or of the classes where nobody tagged."""
    from vitrine.services.category.filters import Conditions
    from vitrine.services.search.counts import count_values
    from vitrine.training.taggers.examples import read_examples
    from vitrine.training.taggers.train import train_taggers

    tagged = count_values(sample.scratch.searcher, sample.own.name, "tags", Conditions(), limit=1)
    train_taggers(read_examples(sample.scratch.vectors, sample.own, field="tags" if tagged else "class"))


def _numbers(text: str) -> list[int]:
    """Return ``1000,3000`` as numbers. ``BadRequest`` for anything else."""
    words = [word.strip().replace("_", "") for word in text.split(",") if word.strip()]
    if not words or not all(word.isascii() and word.isdigit() for word in words):
        raise BadRequest(
            f"{text!r} are no sizes: write numbers with commas between, such as 1000,3000,10000."
        )
    return [int(word) for word in words]
