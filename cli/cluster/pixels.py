"""``vitrine cluster pixels``: groups of pictures that look alike, by their pixels rather than by what they
show."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vitrine.cli.cluster.name import has_word_names, names_gone
from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import finish, note, show_progress

_CHEAP = "Cost"
_PROPOSED = "Only pairs that are proposed (--propose embedding or hash)"


def _cost(*names: str, help: str, **bounds: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_CHEAP, **bounds)


def _reach(*names: str, help: str, **bounds: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=_PROPOSED, **bounds)


def pixels(
    ctx: typer.Context,
    category: CategoryOption,
    name: Annotated[
        str, typer.Option("--run", "-r", metavar="NAME", help="The run's name; one of that name is replaced.")
    ],
    measure: Annotated[
        str,
        typer.Option(
            "--measure",
            metavar="MEASURE",
            help="ssim, minhash, ahash, phash, dhash, whash, colorhash, orb, template.",
        ),
    ] = "ssim",
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            min=0,
            max=1,
            help="Least similarity to the representative. [default: the measure's]",
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            "--scale",
            metavar="PIXELS",
            help="Longest side at which pictures are compared. [default: the measure's]",
        ),
    ] = None,
    stage: Annotated[
        str,
        typer.Option(
            "--stage",
            metavar="STAGE",
            help="batch: within batches alone; merge: the groups of NAME; all: both.",
        ),
    ] = "all",
    using: Annotated[
        str | None,
        typer.Option(
            "--using",
            metavar="VECTOR",
            help="Whose centres give new images their group. [default: the category's]",
        ),
    ] = None,
    batch_size: Annotated[
        int, _cost("--batch-size", help="Images compared with each other at a time.", min=2)
    ] = 100,
    workers: Annotated[
        int | None, _cost("--workers", help="Threads. [default: one a core]", min=1, max=64)
    ] = None,
    time_budget: Annotated[
        float | None,
        _cost(
            "--time-budget",
            metavar="SECONDS",
            help="End after so long, with exit code 4; the same command goes on.",
        ),
    ] = None,
    restart: Annotated[bool, _cost("--restart", help="Forget how far such a run came.")] = False,
    propose: Annotated[
        str, _reach("--propose", metavar="BY", help="embedding or hash; none: batches and merging.")
    ] = "none",
    similarity: Annotated[
        float, _reach("--similarity", help="Least similarity of embeddings.", min=0, max=1)
    ] = 0.8,
    neighbours: Annotated[int, _reach("--neighbours", help="Nearest of each image.", min=1, max=1000)] = 16,
    band: Annotated[
        int, _reach("--band", help="Bits in which stored hashes may differ.", min=0, max=15)
    ] = 10,
    as_json: JsonOption = False,
) -> None:
    """Group images by their pixels: structure (ssim), patterns (minhash), perceptual hashes, features (orb)
    or templates.

    Every image of a group is at least --threshold similar to one representative of it, so nothing chains.
    Images are compared in batches, then the representatives in rounds of batches of what lies near each
    other: the cost does not grow with the square. --stage merge goes on from the groups of the run NAME, made
    with the same measure and scale. For copies among very many images, --propose verifies only pairs that
    embeddings or stored hashes find near.

    Images alone, and those that cannot be read, are in the node root-noise. New images get their group by the
    centres and radii of the embeddings, not by their pixels; run again to have them compared. Killed, ended
    by Ctrl-C or out of time, nothing is visible, and the same command goes on from the last checkpoint.
    """
    from vitrine.indexer.enrich.clusters.pixels.run import PixelOptions, cluster_pixels
    from vitrine.indexer.job.search_index import build_search_index

    options = PixelOptions(
        measure,
        stage,  # type: ignore[arg-type]
        batch_size,
        scale,
        threshold,
        workers,
        time_budget,
        propose,  # type: ignore[arg-type]
        similarity,
        neighbours,
        band,
    )
    options.check()
    with stores(ctx) as runtime:
        named = has_word_names(runtime, category, name)
        report = cluster_pixels(
            runtime, category, name, options, using=using, restart=restart, progress=show_progress()
        )
        if report.cluster.in_service and not report.cluster.interrupted:
            build_search_index(runtime, category, note)
            if named:
                report.cluster.notes.append(names_gone(name))
    finish(report, as_json=as_json)
