"""Options of the commands that cluster, and what the lists among them are parsed to."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.indexer.enrich.clusters.flat.methods import get_method
from vitrine.services.errors import BadRequest

_GRID = "Grid (lists: 10,20,50)"
UsingOption = Annotated[
    str | None,
    typer.Option("--using", metavar="VECTOR", help="The named vector. [default: the category's own]"),
]
ClustersOption = Annotated[
    str | None, typer.Option("--clusters", metavar="LIST", help="Numbers of clusters.", rich_help_panel=_GRID)
]
EpsOption = Annotated[
    str | None,
    typer.Option(
        "--eps",
        metavar="LIST",
        help="DBSCAN: distances, 1 - cosine similarity. [default: from the data]",
        rich_help_panel=_GRID,
    ),
]
MinSamplesOption = Annotated[
    str | None,
    typer.Option(
        "--min-samples", metavar="LIST", help="DBSCAN, HDBSCAN: neighbours of a core.", rich_help_panel=_GRID
    ),
]
MinClusterSizeOption = Annotated[
    str | None,
    typer.Option("--min-cluster-size", metavar="LIST", help="HDBSCAN: least images.", rich_help_panel=_GRID),
]
MaxIterOption = Annotated[
    str | None,
    typer.Option(
        "--max-iter",
        metavar="LIST",
        help="k-means, Gaussian mixture: most iterations.",
        rich_help_panel=_GRID,
    ),
]
LinkageOption = Annotated[
    str | None,
    typer.Option("--linkage", metavar="LIST", help="average, complete, ward.", rich_help_panel=_GRID),
]
CovarianceOption = Annotated[
    str | None,
    typer.Option("--covariance", metavar="LIST", help="diag, spherical, tied, full.", rich_help_panel=_GRID),
]
ReduceOption = Annotated[
    str, typer.Option("--reduce", metavar="HOW", help="none, pca or umap, before anything else.")
]
DimOption = Annotated[
    int | None, typer.Option("--dim", min=1, help="Dimensions to reduce to. [default: pca 64, umap 8]")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")]
SampleOption = Annotated[
    int | None, typer.Option("--sample", min=2, metavar="N", help="Only so many images, drawn at random.")
]


def parse_grid(method: str, given: dict[str, str | None]) -> dict[str, list[int | float | str]]:
    """The lists that are given and that ``method`` takes, by parameter. ``BadRequest`` for what is no list of
    its kind.

    Options that another method takes are left out: the commands run several methods with one set of options.
    """
    found: dict[str, list[int | float | str]] = {}
    for name, parameter in get_method(method).parameters.items():
        text = given.get(name)
        if text is None:
            continue
        try:
            found[name] = [parameter.kind(part.strip()) for part in text.split(",")]
        except ValueError as error:
            option = name.replace("_", "-")
            raise BadRequest(
                f"--{option} takes numbers with commas between, such as 10,20,50, not {text!r}."
            ) from error
    return found
