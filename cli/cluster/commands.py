"""``vitrine cluster``: put the images of a category into clusters, or a tree of them, and look into these."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vitrine.cli.cluster.compare import compare, dendrogram
from vitrine.cli.cluster.export import export
from vitrine.cli.cluster.show import RunArgument, list_runs, show
from vitrine.cli.cluster.threshold import threshold
from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption, UsingOption, YesOption
from vitrine.cli.output import (
    confirm,
    finish,
    note,
    print_json,
    print_pairs,
    print_table,
    show_progress,
    tell_undo,
    telling,
)
from vitrine.cli.with_options import with_options
from vitrine.indexer.enrich.clusters.options import ClusterOptions, PixelOptions
from vitrine.services.errors import BadRequest

app = typer.Typer(
    name="cluster",
    no_args_is_help=True,
    help="Put images into clusters or a tree of them, and look into these.",
)
NewRunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's name; a run of that name is replaced.")
]
PromptOption = Annotated[
    str,
    typer.Option("--prompt", metavar="TEXT", help="What is read for a word, with {} in its place."),
]
_WORDS = (
    "A file of words, one a line: nodes that no tags name get the word that fits. Needs an encoder of the "
    "CLIP family."
)
_SHOWN = 40


@app.command()
@with_options
def run(
    ctx: typer.Context,
    name: NewRunArgument,
    category: CategoryOption,
    options: ClusterOptions,
    using: UsingOption = None,
    words: Annotated[Path | None, typer.Option("--words", metavar="FILE", help=_WORDS)] = None,
    prompt: PromptOption = "a photo of {}",
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Draw the scores of the grid (.png, .svg).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Cluster all images, and write to each which node it is in.

    The best of a grid has the best mean rank by silhouette, Calinski-Harabasz, Davies-Bouldin and, where any
    fit has noise, its share.

    Queries see the new run once all of it is stored. Ctrl-C ends the work and leaves the former run. New
    images get their node as they are indexed. Filter with --where cluster.RUN=root-14.
    """
    from vitrine.indexer.enrich.clusters.flat.grid import COLUMNS, grid_table
    from vitrine.indexer.enrich.clusters.make import make_run
    from vitrine.indexer.export.clusters.plots import draw_grid
    from vitrine.indexer.job.search_index import build_search_index

    with stores(ctx) as runtime:
        report = make_run(
            runtime,
            category,
            name,
            options,
            using=using,
            words=_read_words(words) if words else (),
            prompt=prompt,
            progress=show_progress(),
        )
        if report.in_service and not report.interrupted:
            build_search_index(runtime, category, note)
    grid = report.metrics.get("grid")
    if grid and to:
        note(f"Written: {draw_grid(grid, to)}")
    if grid and not as_json:
        print_table(COLUMNS, grid_table(grid), right=COLUMNS[4:])
        note(f"Scores were computed in: {report.metrics['space']}.")
    finish(report, as_json=as_json)


@app.command()
@with_options
def pixels(
    ctx: typer.Context,
    name: NewRunArgument,
    category: CategoryOption,
    options: PixelOptions,
    using: Annotated[
        str | None,
        typer.Option(
            "--using",
            metavar="VECTOR",
            help="Whose centres give new images their group. [default: the category's]",
        ),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget how far an earlier try came.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Group images by their pixels: structure (ssim), patterns (minhash), perceptual hashes, features (orb)
    or templates.

    Every image of a group is at least --threshold similar to one representative of it, so nothing chains.
    Images are compared in batches, then the representatives in rounds of batches of what lies near each
    other: the cost does not grow with the square. --stage merge goes on from the groups of RUN, made with the
    same measure and scale. For copies among very many images, --propose compares only pairs that embeddings
    or stored hashes find near.

    Images alone, and those that cannot be read, are in the node root-noise. New images get their group by the
    centres and radii of the embeddings, not by their pixels; run again to have them compared. Killed, ended
    by Ctrl-C or out of time, nothing is visible, and the same command goes on from the last checkpoint.
    """
    from vitrine.indexer.enrich.clusters.make import has_word_names, names_gone
    from vitrine.indexer.enrich.clusters.pixels.run import cluster_pixels
    from vitrine.indexer.job.search_index import build_search_index

    with stores(ctx) as runtime:
        named = has_word_names(runtime, category, name)
        report = cluster_pixels(
            runtime, category, name, options, using=using, restart=restart, progress=show_progress()
        )
        if report.cluster.in_service and not report.cluster.interrupted:
            build_search_index(runtime, category, note)
            report.cluster.notes += [names_gone(name)] if named else []
    finish(report, as_json=as_json)


app.command("list")(list_runs)
app.command()(show)
app.command()(export)


@app.command("name")
def name_nodes(
    ctx: typer.Context,
    run: RunArgument,
    category: CategoryOption,
    words: Annotated[Path, typer.Option("--words", metavar="FILE", help=_WORDS)],
    prompt: PromptOption = "a photo of {}",
    using: Annotated[
        str | None,
        typer.Option(
            "--using",
            metavar="VECTOR",
            help="The vector whose encoder reads the words. [default: the run's, or another]",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Name the nodes of a run by a list of words. Names that come from tags stay; names from a former
    list are replaced.

    A word names the node that it lifts most above the category's mean similarity to it, in terms of how far
    it takes the category apart; so generic words do not win everywhere.
    """
    from vitrine.indexer.enrich.clusters.words import name_by_words

    progress = None if as_json else show_progress()
    with stores(ctx) as runtime:
        report = name_by_words(
            runtime, category, run, _read_words(words), prompt, using=using, progress=progress
        )
        found = runtime.clusters.get(category, run)
    if as_json:
        finish(report, as_json=True)
        return
    rows = [
        [
            node.id,
            node.count,
            node.name,
            node.named_by or ("tags" if node.name else ""),
            *report.words.get(node.id, ("", None)),
        ]
        for node in found.nodes.values()
        if node.depth == 1
    ]
    print_table(("id", "images", "name", "by", "word", "lift"), rows[:_SHOWN], right=("images", "lift"))
    note(report.summary())
    if report.exit_code:
        raise typer.Exit(report.exit_code)


@app.command()
def rename(
    ctx: typer.Context,
    run: RunArgument,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Such as root-14.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help='Its name; "" for none.')],
    category: CategoryOption,
    as_json: JsonOption = False,
) -> None:
    """Give one node of a run another name, which `cluster name` leaves as it is."""
    from vitrine.services.artifacts.cluster_changes import rename_node
    from vitrine.services.category.changes.entries import undo_json

    with stores(ctx) as runtime:
        record = runtime.editor.record(category)
        renamed = rename_node(runtime.clusters, category, run, node, name, record=record).node(node)
    if as_json:
        undo = undo_json(record.undo)
        print_json({"category": category, "run": run, "node": node, "name": renamed.name, "undo": undo})
        return
    note(f"{node}: {renamed.name or 'no name'}.")
    tell_undo(record.undo)


@app.command()
def agree(
    ctx: typer.Context,
    run: RunArgument,
    category: CategoryOption,
    other: Annotated[str | None, typer.Argument(metavar="[OTHER]", help="Another run.")] = None,
    level: Annotated[
        int | None,
        typer.Option(
            "--level", min=1, metavar="N", help="Compare at this level of the trees. [default: leaves]"
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="FIELD", help="Compare with the values of a field, such as class."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs on the images that both have, and say which node goes to which; or a run with a field.

    Images in noise are left out and counted. ARI (adjusted Rand index) is 1 for equal groupings and 0 by
    chance; NMI and purity are in 0..1. `cluster compare` tries methods without storing anything.
    """
    from vitrine.indexer.enrich.clusters.agree import agree as agree_with_run
    from vitrine.indexer.enrich.clusters.agree import agree_with_field

    if (other is None) == (against is None):
        raise BadRequest("Compare with another run or with --against FIELD, one of the two.")
    with stores(ctx) as runtime, telling(as_json) as tell:
        compare_with = agree_with_run if other else agree_with_field
        found = compare_with(
            runtime,
            category,
            run,
            str(other or against),
            level=level,
            advance=partial(tell, "reading"),
        )
    figures = found.to_json()
    matches = figures.pop("matches", None)
    if as_json:
        print_json({"category": category, **found.to_json()})
        return
    if matches is None:
        print_pairs({name: value for name, value in figures.items() if value is not None})
        return
    columns = {
        "node": "node",
        "images": "images",
        "name": "name",
        "best match": "other",
        "its name": "other_name",
        "shared": "shared",
        "share": "share",
        "jaccard": "jaccard",
        "parts": "parts",
    }
    rows = [[match[name] for name in columns.values()] for match in matches]
    print_table(list(columns), rows[:30], right=("images", "shared", "share", "jaccard", "parts"))
    if len(rows) > 30:
        note(f"{len(rows) - 30} smaller nodes are left out; --json has all, --level shows fewer.")
    if figures["noise"]:
        note(f"{figures['noise']} images are left out: they are noise in one of the two.")
    at = "at the leaves" if level is None else f"at level {level}"
    note(
        f"{figures['images']} images in clusters of both, {figures['nodes']} and {figures['other_nodes']} "
        f"nodes {at}: ARI {figures['ari']:.3f}, NMI {figures['nmi']:.3f}."
    )


app.command()(compare)
app.command()(dendrogram)
app.command()(threshold)


@app.command()
def assign(
    ctx: typer.Context,
    category: CategoryOption,
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN...]", help="Only these runs. [default: all]")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give images without a node their node, such as those whose vector was filled after the run."""
    from vitrine.indexer.enrich.clusters.runs import assign_missing

    with stores(ctx) as runtime:
        reports = assign_missing(runtime, category, runs or None, progress=show_progress())
    if as_json:
        print_json([report.to_json() for report in reports])
    else:
        for report in reports:
            typer.echo("\n".join([f"{report.run}: {report.written} images got their node.", *report.notes]))
    if any(report.exit_code for report in reports):
        raise typer.Exit(130)


@app.command()
def delete(
    ctx: typer.Context,
    run: RunArgument,
    category: CategoryOption,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a run: first for queries, then on the images. The images themselves stay."""
    from vitrine.indexer.enrich.clusters.runs import delete_run

    with stores(ctx) as runtime:
        runtime.catalog.get(category)
        confirm(f"Delete the cluster run {run!r} of category {category!r}?", yes)
        delete_run(runtime, category, run)
    if as_json:
        print_json({"category": category, "run": run, "deleted": True})
    else:
        note(f"Deleted the cluster run {run}.")


def _read_words(path: Path) -> list[str]:
    from vitrine.training.taggers.zero_shot import read_words

    return read_words(path)
