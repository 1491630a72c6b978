"""``vitrine cluster``: put the images of a category into clusters, or a tree of them, and look into these."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.cluster_compare import compare, dendrogram
from cli.cluster_show import NameArgument, export, list_runs, show
from cli.context import stores
from cli.options import CategoryOption, JsonOption, YesOption
from cli.output import confirmed, note, print_json, print_table
from services.errors import BadRequest

if TYPE_CHECKING:
    from indexer.clustering.flat_run import FlatFit
    from indexer.clustering.runs import Fit
    from indexer.progress import Progress

TREE = "tree"
FLAT = ("kmeans", "minibatch-kmeans", "gaussian-mixture", "agglomerative", "dbscan", "hdbscan")
app = typer.Typer(name="cluster", no_args_is_help=True, help="Put images into clusters or a tree of them, and look into these.")
app.command("list")(list_runs)
app.command()(show)
app.command()(export)
app.command()(compare)
app.command()(dendrogram)
_TREE, _FLAT = "Options of the tree", "Options of flat methods (several values make a grid)"


def _tree(*names: str, help: str, **bounds: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_TREE, **bounds)


def _flat(*names: str, help: str, metavar: str = "N,N,...") -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=_FLAT)


@app.command()
def run(
    ctx: typer.Context,
    category: CategoryOption,
    name: Annotated[str, typer.Option("--run", "-r", metavar="NAME", help="The run's name; one of that name is replaced.")],
    method: Annotated[str, typer.Option("--method", metavar="METHOD", help=f"{TREE}, {', '.join(FLAT)}.")] = TREE,
    using: Annotated[
        str | None, typer.Option("--using", metavar="VECTOR", help="The named vector. [default: the category's]")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn at random.")] = 0,
    branching: Annotated[int, _tree("--branching", help="Most children of a node.", min=2, max=256)] = 16,
    leaf_size: Annotated[int, _tree("--leaf-size", help="A node of so many images is not split.", min=1)] = 50,
    depth: Annotated[int, _tree("--depth", help="Levels below the root.", min=1, max=32)] = 8,
    clusters: Annotated[str, _flat("--clusters", help="How many clusters.")] = "",
    max_iter: Annotated[str, _flat("--max-iter", help="Most iterations.")] = "",
    eps: Annotated[str, _flat("--eps", help="DBSCAN: the distance within which images are neighbours.")] = "",
    min_samples: Annotated[str, _flat("--min-samples", help="DBSCAN, HDBSCAN: neighbours of a core image.")] = "",
    min_cluster_size: Annotated[str, _flat("--min-cluster-size", help="HDBSCAN: fewest images of a cluster.")] = "",
    linkage: Annotated[str, _flat("--linkage", help="Agglomerative: ward, average ...", metavar="WORD,...")] = "",
    covariance: Annotated[str, _flat("--covariance", help="Gaussian mixture: diag, full ...", metavar="WORD,...")] = "",
    reduction: Annotated[str, _flat("--reduce", help="Before: pca or umap.", metavar="WORD")] = "none",
    dim: Annotated[int | None, _flat("--dim", help="Dimensions to reduce to.", metavar="N")] = None,
    choose: Annotated[int | None, _flat("--choose", help="Take this fit of the table instead of the best.", metavar="N")] = None,
    plot: Annotated[Path | None, _flat("--plot", help="Draw the grid's scores to this file.", metavar="FILE")] = None,
    as_json: JsonOption = False,
) -> None:
    """Cluster all images, and write to each which node it is in.

    Queries see the new run only once all of it is stored. Ctrl-C ends it and leaves what was; run again to begin anew. New images
    get their node as they are indexed. Filter with --where cluster.NAME=root-14.
    """
    from cli.index import build_search_index
    from indexer.clustering.runs import cluster

    stop = threading.Event()
    lists = {"clusters": clusters, "max_iter": max_iter, "eps": eps, "min_samples": min_samples, "linkage": linkage,
             "min_cluster_size": min_cluster_size, "covariance": covariance}  # fmt: skip
    given = {key: _values(text) for key, text in lists.items() if text}
    flat: FlatFit | None = None
    fit: Fit
    if method == TREE:
        fit = _tree_fit(branching, leaf_size, depth, seed, [*given, *(["reduce"] if reduction != "none" else [])])
    else:
        fit = flat = _flat_fit(method, given, reduction, dim, seed, choose, stop)
    with stores(ctx) as runtime:
        report = cluster(runtime, category, name, fit, using=using, watch=_watch, stop=stop)
        if report.in_service and not report.interrupted:
            build_search_index(runtime, category)
    if flat is not None and flat.result is not None:
        _tell_grid(flat, plot, as_json)
    if as_json:
        print_json(report.to_json())
    else:
        typer.echo(report.summary())
    if report.exit_code:
        raise typer.Exit(report.exit_code)


@app.command()
def assign(
    ctx: typer.Context,
    category: CategoryOption,
    name: Annotated[list[str] | None, typer.Option("--run", "-r", metavar="NAME", help="Only this run; again: more.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Give the images that have none their nodes, such as those whose vector was filled after the run."""
    from indexer.clustering.runs import assign_missing

    with stores(ctx) as runtime:
        reports = assign_missing(runtime, category, name, watch=_watch)
    if as_json:
        print_json([report.to_json() for report in reports])
    else:
        for report in reports:
            typer.echo("\n".join([f"{report.run}: {report.written} images got their node.", *report.notes]))
    if any(report.exit_code for report in reports):
        raise typer.Exit(130)


@app.command()
def delete(
    ctx: typer.Context, name: NameArgument, category: CategoryOption, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Delete a run: first for queries, then on the images. The images themselves stay."""
    from indexer.clustering.runs import delete_run

    with stores(ctx) as runtime:
        runtime.catalog.get(category)
        if not confirmed(f"Delete the cluster run {name!r} of category {category!r}?", yes):
            raise typer.Exit(1)
        delete_run(runtime, category, name)
    if as_json:
        print_json({"category": category, "run": name, "deleted": True})
    else:
        note(f"Deleted the cluster run {name}.")


def _tree_fit(branching: int, leaf_size: int, depth: int, seed: int, others: list[str]) -> Fit:
    from indexer.clustering.runs import fit_tree
    from indexer.clustering.tree import TreeOptions

    if others:
        names = ", ".join("--" + name.replace("_", "-") for name in others)
        raise BadRequest(f"The tree takes no {names}: give --method, or --branching, --leaf-size and --depth.")
    return fit_tree(TreeOptions(branching, leaf_size, depth, seed))


def _flat_fit(
    method: str,
    given: dict[str, list[int | float | str]],
    reduction: str,
    dim: int | None,
    seed: int,
    choose: int | None,
    stop: threading.Event,
) -> FlatFit:
    from indexer.clustering.flat_run import FlatFit

    if method not in FLAT:
        raise BadRequest(f"{method!r} is no method: choose {TREE}, {', '.join(FLAT)}.", method=method)
    return FlatFit(method, given, reduction, dim, seed, choose, stop)  # type: ignore[arg-type]  # reduce() refuses what is none


def _values(text: str) -> list[int | float | str]:
    """``10,20`` as numbers; words as they are."""
    return [_value(part.strip()) for part in text.split(",") if part.strip()]


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _tell_grid(flat: FlatFit, plot: Path | None, as_json: bool) -> None:
    from indexer.clustering.grid import COLUMNS

    assert flat.result is not None
    if plot is not None:
        from indexer.clustering.cluster_plots import draw_grid

        note(f"Plot: {draw_grid(flat.result, plot)}")
    if not as_json:
        print_table(COLUMNS, flat.result.table(), right=COLUMNS[4:])


def _watch(stage: str) -> Progress | None:
    from indexer.progress import make_progress

    return make_progress(title=stage)
