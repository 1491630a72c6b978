"""``vitrine images previews``: colours, blurs and thumbnails of stored images."""

from __future__ import annotations

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import finish, note, show_progress
from vitrine.cli.with_options import with_options
from vitrine.indexer.enrich.previews.options import PreviewOptions


@with_options
def previews(
    ctx: typer.Context, category: CategoryOption, options: PreviewOptions, as_json: JsonOption = False
) -> None:
    """Give images that were indexed by an earlier version their dominant colour and blur, and make thumbnails
    before they are asked for.

    What is there is passed over: the same command again goes on. Exit 3: some pictures could not be read.
    """
    from vitrine.indexer.enrich.previews.fill import fill_previews
    from vitrine.indexer.job.search_index import build_search_index

    with stores(ctx) as runtime:
        report = fill_previews(runtime, category, options, progress=show_progress())
        if report.filled and not report.interrupted:
            build_search_index(runtime, category, note)
    finish(report, as_json=as_json)
