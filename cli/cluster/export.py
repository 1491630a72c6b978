"""``vitrine cluster export``: a run as a file, as a picture, as contact sheets, or its images in a folder for
each cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.cli.cluster.show import RunArgument
from vitrine.cli.context import stores
from vitrine.cli.options import (
    CategoryOption,
    Filters,
    FiltersOption,
    JsonOption,
    YesOption,
)
from vitrine.cli.output import confirm, print_json, show_progress
from vitrine.cli.with_options import with_options
from vitrine.indexer.export.clusters.options import RunExportOptions


@with_options
def export(
    ctx: typer.Context,
    run: RunArgument,
    category: CategoryOption,
    filters: FiltersOption,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="PATH",
            help="A file of nodes (.json nests them, .csv has one a line), a treemap (.svg, .png), or a "
            "folder.",
        ),
    ],
    options: RunExportOptions,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a run to a file or a folder; the ending of --to says which.

    A treemap shows every node as large as it has images, with some of these in it. A folder gets the images,
    each in the folder of its node, such as "root-14 red mugs/root-14-3 ..."; run again, only what is new is
    added, and no file there is written over. A folder takes one version of one run.
    """
    from vitrine.indexer.export.clusters.export import export_run

    kind = options.kind(to, filtered=filters != Filters())

    def ask(images: int) -> None:
        question = (
            f"Move up to {images} images of {category!r} to {to}? They leave Vitrine, with their tags, "
            "scores and vectors."
        )
        confirm(question, yes)

    with stores(ctx) as runtime:
        report = export_run(
            runtime,
            category,
            run,
            to,
            options,
            conditions=filters.conditions,
            before_move=ask,
            progress=show_progress(),
        )
    if as_json:
        print_json({"kind": kind, "run": run, **report.to_json()})
    else:
        typer.echo(report.summary(), err=kind != "folders")
    if report.exit_code:
        raise typer.Exit(report.exit_code)
