"""``vitrine cluster``: put the images of a category into clusters, or a tree of them, and look into these."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.cli.cluster.agree import agree
from vitrine.cli.cluster.compare import compare, dendrogram
from vitrine.cli.cluster.export import export
from vitrine.cli.cluster.name import name as name_nodes
from vitrine.cli.cluster.pixels import pixels
from vitrine.cli.cluster.run import run
from vitrine.cli.cluster.show import NameArgument, list_runs, show
from vitrine.cli.cluster.threshold import threshold
from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption, YesOption
from vitrine.cli.output import confirmed, note, print_json, show_progress

app = typer.Typer(
    name="cluster",
    no_args_is_help=True,
    help="Put images into clusters or a tree of them, and look into these.",
)
app.command()(run)
app.command("list")(list_runs)
app.command()(show)
app.command()(export)
app.command("name")(name_nodes)
app.command()(agree)
app.command()(compare)
app.command()(dendrogram)
app.command()(pixels)
app.command()(threshold)


@app.command()
def assign(
    ctx: typer.Context,
    category: CategoryOption,
    name: Annotated[
        list[str] | None, typer.Option("--run", "-r", metavar="NAME", help="Only this run; again: more.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give the images that have none their nodes, such as those whose vector was filled after the run."""
    from vitrine.indexer.enrich.clusters.runs import assign_missing

    with stores(ctx) as runtime:
        reports = assign_missing(runtime, category, name, progress=show_progress())
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
    name: NameArgument,
    category: CategoryOption,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a run: first for queries, then on the images. The images themselves stay."""
    from vitrine.indexer.enrich.clusters.runs import delete_run

    with stores(ctx) as runtime:
        runtime.catalog.get(category)
        if not confirmed(f"Delete the cluster run {name!r} of category {category!r}?", yes):
            raise typer.Exit(1)
        delete_run(runtime, category, name)
    if as_json:
        print_json({"category": category, "run": name, "deleted": True})
    else:
        note(f"Deleted the cluster run {name}.")
