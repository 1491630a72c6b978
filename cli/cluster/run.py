"""``vitrine cluster run``: cluster by the tree, or by the best of a grid of flat methods."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.cluster.name import (
    PROMPT,
    PROMPT_HELP,
    WORDS_HELP,
    check_list,
    has_word_names,
    name_nodes,
    names_gone,
)
from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import finish, note, print_table, show_progress
from vitrine.indexer.enrich.clusters.flat.methods import METHODS
from vitrine.services.errors import BadRequest, VitrineError

if TYPE_CHECKING:
    from vitrine.indexer.enrich.clusters.flat.flat_run import FlatFit
    from vitrine.indexer.enrich.clusters.runs import Fit
    from vitrine.services.runtime import Runtime

TREE = "tree"
_TREE, _FLAT = "Options of the tree", "Options of flat methods (several values make a grid)"


def _tree(*names: str, help: str, **bounds: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_TREE, **bounds)


def _flat(*names: str, help: str, metavar: str = "N,N,...") -> Any:
    return typer.Option(*names, help=help, metavar=metavar, rich_help_panel=_FLAT)


def run(
    ctx: typer.Context,
    category: CategoryOption,
    name: Annotated[
        str, typer.Option("--run", "-r", metavar="NAME", help="The run's name; one of that name is replaced.")
    ],
    method: Annotated[
        str, typer.Option("--method", metavar="METHOD", help=f"{TREE}, {', '.join(METHODS)}.")
    ] = TREE,
    using: Annotated[
        str | None,
        typer.Option("--using", metavar="VECTOR", help="The named vector. [default: the category's]"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn at random.")] = 0,
    branching: Annotated[int, _tree("--branching", help="Most children of a node.", min=2, max=256)] = 16,
    leaf_size: Annotated[
        int, _tree("--leaf-size", help="A node of so many images is not split.", min=1)
    ] = 50,
    depth: Annotated[int, _tree("--depth", help="Levels below the root.", min=1, max=32)] = 8,
    clusters: Annotated[str, _flat("--clusters", help="How many clusters.")] = "",
    max_iter: Annotated[str, _flat("--max-iter", help="Most iterations.")] = "",
    eps: Annotated[str, _flat("--eps", help="DBSCAN: the distance within which images are neighbours.")] = "",
    min_samples: Annotated[
        str, _flat("--min-samples", help="DBSCAN, HDBSCAN: neighbours of a core image.")
    ] = "",
    min_cluster_size: Annotated[
        str, _flat("--min-cluster-size", help="HDBSCAN: fewest images of a cluster.")
    ] = "",
    linkage: Annotated[
        str, _flat("--linkage", help="Agglomerative: ward, average ...", metavar="WORD,...")
    ] = "",
    covariance: Annotated[
        str, _flat("--covariance", help="Gaussian mixture: diag, full ...", metavar="WORD,...")
    ] = "",
    reduction: Annotated[str, _flat("--reduce", help="Before: pca or umap.", metavar="WORD")] = "none",
    dim: Annotated[int | None, _flat("--dim", help="Dimensions to reduce to.", metavar="N")] = None,
    choose: Annotated[
        int | None, _flat("--choose", help="Take this fit of the table instead of the best.", metavar="N")
    ] = None,
    plot: Annotated[
        Path | None, _flat("--plot", help="Draw the grid's scores to this file.", metavar="FILE")
    ] = None,
    stability: Annotated[
        int,
        typer.Option(
            "--stability",
            min=0,
            metavar="N",
            help="Fit again with N other seeds and tell how far they agree.",
        ),
    ] = 0,
    words: Annotated[Path | None, typer.Option("--words", metavar="FILE", help=WORDS_HELP)] = None,
    prompt: Annotated[
        str, typer.Option("--prompt", metavar="TEXT", help=f"With --words: {PROMPT_HELP.lower()}")
    ] = PROMPT,
    as_json: JsonOption = False,
) -> None:
    """Cluster all images, and write to each which node it is in.

    The best of a grid has the best mean rank by silhouette, Calinski-Harabasz, Davies-Bouldin and, where any
    fit has noise, its share.

    Queries see the new run only once all of it is stored. Ctrl-C ends it and leaves what was; run again to
    begin anew. New images get their node as they are indexed. Filter with --where cluster.NAME=root-14.
    """
    from vitrine.indexer.enrich.clusters.runs import Again, cluster
    from vitrine.indexer.job.search_index import build_search_index

    stop = threading.Event()
    lists = {
        "clusters": clusters,
        "max_iter": max_iter,
        "eps": eps,
        "min_samples": min_samples,
        "linkage": linkage,
        "min_cluster_size": min_cluster_size,
        "covariance": covariance,
    }
    given = {key: _values(text) for key, text in lists.items() if text}
    flat: FlatFit | None = None
    fit: Fit
    others: list[str] = []

    def reseeded(other: int) -> Fit:
        return _tree_fit(branching, leaf_size, depth, other, others)

    if method == TREE:
        others = [*given, *(["reduce"] if reduction != "none" else [])]
        fit = reseeded(seed)
    else:
        fit = flat = _flat_fit(method, given, reduction, dim, seed, choose, stop)
    again = Again(
        flat.reseeded if flat else reseeded, _seeds(seed, stability) if flat is None or flat.draws else ()
    )
    with stores(ctx) as runtime:
        if words is not None:
            check_list(runtime, category, words, prompt, using)
        named = has_word_names(runtime, category, name)
        report = cluster(
            runtime,
            category,
            name,
            fit,
            using=using,
            again=again if stability else None,
            progress=show_progress(),
            stop=stop,
        )
        if report.in_service and not report.interrupted:
            build_search_index(runtime, category, note)
            if words is not None:
                report.notes.append(_named(runtime, category, name, words, prompt, as_json))
            elif named:
                report.notes.append(names_gone(name))
    if flat is not None and flat.result is not None:
        report.notes += flat.result.notes
        _tell_grid(flat, plot, as_json)
    finish(report, as_json=as_json)


def _tree_fit(branching: int, leaf_size: int, depth: int, seed: int, others: list[str]) -> Fit:
    from vitrine.indexer.enrich.clusters.runs import fit_tree
    from vitrine.indexer.enrich.clusters.tree.tree import TreeOptions

    if others:
        names = ", ".join("--" + name.replace("_", "-") for name in others)
        raise BadRequest(
            f"The tree takes no {names}: give --method, or --branching, --leaf-size and --depth."
        )
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
    from vitrine.indexer.enrich.clusters.flat.flat_run import FlatFit

    if method not in METHODS:
        raise BadRequest(f"{method!r} is no method: choose {TREE}, {', '.join(METHODS)}.", method=method)
    return FlatFit(method, given, reduction, dim, seed, choose, stop)  # type: ignore[arg-type]  # reduce() refuses what is none


def _named(runtime: Runtime, category: str, name: str, words: Path, prompt: str, as_json: bool) -> str:
    """What became of the names; the run is stored already, and stays so."""
    try:
        return name_nodes(runtime, category, name, words, prompt, None, quiet=as_json).summary()
    except VitrineError as error:
        return (
            f"The run is stored, but not named by words: {error.message} Then: vitrine cluster name {name} "
            f"--words {words}"
        )


def _seeds(seed: int, more: int) -> list[int]:
    return [seed + 1 + number for number in range(more)]


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
    from vitrine.indexer.enrich.clusters.flat.grid import COLUMNS

    assert flat.result is not None
    if plot is not None:
        from vitrine.indexer.export.clusters.plots import draw_grid

        note(f"Plot: {draw_grid(flat.result, plot)}")
    if not as_json:
        print_table(COLUMNS, flat.result.table(), right=COLUMNS[4:])
        note(f"Scores were computed in: {flat.space}.")
