"""``vitrine tagger score`` and ``purge-stale``: write the taggers' scores to all images, and remove old
ones."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import finish, note, print_json, show_progress

ScoredTagsOption = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Only the tagger of this tag; again: more. [default: all]"),
]


def score(
    ctx: typer.Context,
    category: CategoryOption,
    tag: ScoredTagsOption = None,
    propose: Annotated[
        bool,
        typer.Option("--propose", help="Propose tags from their tagger's threshold on, as machine_tags."),
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=0, max=1, help="Propose tags from this score on instead."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write every image's scores by the taggers; images that have them already cost little.

    Ctrl-C ends it after the images under way, and the next run goes on. New images are scored as they are
    indexed.
    """
    from vitrine.indexer.enrich.scores.scoring import score_images
    from vitrine.indexer.job.search_index import build_search_index

    with stores(ctx) as runtime:
        report = score_images(
            runtime,
            category,
            tag,
            propose=propose,
            threshold=threshold,
            progress=show_progress(),
        )
        if report.written and not report.interrupted:
            build_search_index(runtime, category, note)
    finish(report, as_json=as_json)


def purge_stale(
    ctx: typer.Context, category: CategoryOption, tag: ScoredTagsOption = None, as_json: JsonOption = False
) -> None:
    """Remove the scores and proposals that are not by the taggers in service. Scores from manifests stay
    where there is no tagger."""
    from vitrine.indexer.enrich.scores.purging import purge_stale as purge

    with stores(ctx) as runtime:
        changed = purge(runtime, category, tag, progress=show_progress())
    if as_json:
        print_json({"category": category, "tags": tag, "changed": changed})
    else:
        typer.echo(f"{category}: stale scores removed from {changed} images.")
