"""``vitrine export``: pictures into folders, and what is known of them into a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import (
    CategoryOption,
    FiltersOption,
    JsonOption,
)
from vitrine.cli.output import finish, show_progress
from vitrine.cli.with_options import with_options

if TYPE_CHECKING:
    from vitrine.indexer.export.common import ExportReport

app = typer.Typer(
    no_args_is_help=True, help="Export pictures into folders, and what is known of them as JSON, CSV or SQL."
)


@app.command()
@with_options
def folders(
    ctx: typer.Context,
    category: CategoryOption,
    filters: FiltersOption,
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="Where the folders go; made if it is not there.")
    ],
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WHAT",
            help="score:TAG, tag, class, or a field such as quality or metadata.season.",
        ),
    ],
    bins: Annotated[
        int, typer.Option("--bins", min=1, max=1000, help="Folders that a score's 0..1 is cut into.")
    ] = 10,
    mode: Annotated[
        Literal["copy", "hardlink", "symlink"],
        typer.Option(
            "--mode",
            help="Links (symlinks are absolute) cost no space, but editing one changes the stored file.",
        ),
    ] = "copy",
    as_json: JsonOption = False,
) -> None:
    """Put pictures into folders such as 0.90-1.00/cup.jpg or red/cup.jpg. Nothing is moved, no existing file
    is overwritten.

    An image with several tags goes into each. Run again, it only adds what is new. Exit 3: some pictures
    could not be read.
    """
    from vitrine.indexer.export.folders import export_folders, parse_by

    conditions = filters.conditions
    with stores(ctx) as runtime:
        report = export_folders(
            runtime,
            category,
            to,
            parse_by(runtime, category, by, bins),
            conditions=conditions,
            mode=mode,
            progress=show_progress(),
        )
    _finish(report, as_json=as_json)


@app.command()
@with_options
def table(
    ctx: typer.Context,
    category: CategoryOption,
    filters: FiltersOption,
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="FILE", help="The file; .json, .csv, .parquet or .sqlite. Replaced when done."
        ),
    ],
    by_tag: Annotated[
        bool,
        typer.Option(
            "--by-tag",
            help="Instead, as JSON: of each tag the SHA-256 of its images' files, {tag: [hash, ...]}.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write id, file name, class, tags, scores, quality and the rest of every image to a file, in order of
    id."""
    from vitrine.indexer.export.table import export_table

    conditions = filters.conditions
    with stores(ctx) as runtime:
        report = export_table(
            runtime,
            category,
            to,
            conditions=conditions,
            by_tag=by_tag,
            progress=show_progress(),
        )
    _finish(report, as_json=as_json)


def _finish(report: ExportReport, *, as_json: bool) -> None:
    if report.error is not None:
        raise report.error
    finish(report, as_json=as_json)
