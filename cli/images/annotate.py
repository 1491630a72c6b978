"""``vitrine images annotate`` and ``hashtags``: what a table or a caption says is added to stored images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, ColumnOption, JsonOption
from vitrine.cli.output import finish, note, show_progress, tell_undo
from vitrine.cli.with_options import with_options
from vitrine.indexer.enrich.metadata.options import AnnotateOptions
from vitrine.services.errors import BadSource
from vitrine.services.values.kinds import column_kinds


@with_options
def annotate(
    ctx: typer.Context,
    category: CategoryOption,
    table: Annotated[
        Path, typer.Option("--table", "-t", metavar="FILE", help="The table: csv, tsv, jsonl or parquet.")
    ],
    options: AnnotateOptions,
    column: Annotated[
        str | None,
        typer.Option(
            "--column-of-names",
            metavar="COLUMN",
            help="The column that names the images. [default: file_name, filename ...]",
        ),
    ] = None,
    kinds: ColumnOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a table's columns to images that are indexed already. Columns mean what they mean in a manifest.

    Tags are united, metadata columns replace columns of the same name, and class, caption, quality and date
    only fill gaps. A row whose name several images have is refused. The same table again changes nothing.
    Exit 3: some rows were refused, or none matched.
    """
    from vitrine.indexer.enrich.metadata.annotate import annotate as join
    from vitrine.indexer.job.search_index import build_search_index

    if not table.is_file():
        raise BadSource(f"There is no file {table}.")
    options = replace(options, column=column, kinds=column_kinds(kinds or ()))
    with stores(ctx) as runtime:
        report = join(runtime, category, table, options, progress=show_progress())
        if report.updated and not (report.interrupted or options.dry_run):
            build_search_index(runtime, category, note)
    if not as_json:
        tell_undo(report.undo)
    finish(report, as_json=as_json)


def hashtags(
    ctx: typer.Context,
    category: CategoryOption,
    sources: Annotated[
        list[str],
        typer.Option("--from", metavar="FIELD", help="caption or metadata.COLUMN: the text; again: more."),
    ],
    into: Annotated[
        str, typer.Option("--into", metavar="FIELD", help="metadata.COLUMN: where they go.")
    ] = "metadata.hashtags",
    as_json: JsonOption = False,
) -> None:
    """Split the #hashtags in the text of all images off, so that images can be filtered, counted and grouped
    by them.

    An image that has the text gets its hashtags and no others. Afterwards: `images facets
    metadata.hashtags`, `--where metadata.hashtags=beach`, `cluster show RUN --by metadata.hashtags`.
    """
    from vitrine.indexer.enrich.metadata.split_hashtags import split_hashtags
    from vitrine.indexer.job.search_index import build_search_index

    with stores(ctx) as runtime:
        report = split_hashtags(runtime, category, sources, into, progress=show_progress())
        if report.updated and not report.interrupted:
            build_search_index(runtime, category, note)
    finish(report, as_json=as_json)
