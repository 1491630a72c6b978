"""``vitrine metric promote`` and ``rollback``: put trained encoders in and out of service."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import finish, note, show_progress

AliasOption = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="What queries call it in --using. [default: as it was trained]"
    ),
]


def promote(
    ctx: typer.Context,
    encoder: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER", help="A trained encoder: its folder, or its name (`vitrine metric list`)."
        ),
    ],
    category: CategoryOption,
    name: AliasOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also one that finds less than what is in service.")
    ] = False,
    keep_default: Annotated[
        bool, typer.Option("--keep-default", help="Queries without --using go where they went before.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve a trained encoder in a category: embed all its images, then switch, without a moment's pause.

    Refused (worse_encoder) where it finds less on held-out images than what answers now. Killed or
    interrupted, nothing is switched, and the same command goes on. The former stays for `vitrine metric
    rollback`.
    """
    from vitrine.indexer.enrich.vectors.compare import promote_if_better
    from vitrine.services.encoders.families.metric_folders import find_folder

    with stores(ctx) as runtime:
        report = promote_if_better(
            runtime,
            category,
            find_folder(runtime.settings.data, encoder),
            name=name,
            default=not keep_default,
            force=force,
            progress=show_progress(),
            note=note,
        )
    finish(report, as_json=as_json)


def rollback(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What queries call it in --using.")],
    category: CategoryOption,
    as_json: JsonOption = False,
) -> None:
    """Answer from the encoder that was in service before; again: back. Images added since are embedded first.

    After the first promotion there is no former encoder: queries without --using go to the former default.
    """
    from vitrine.indexer.enrich.vectors.promote import rollback as take_back
    from vitrine.indexer.job.search_index import build_search_index

    with stores(ctx) as runtime:
        report = take_back(runtime, category, name, progress=show_progress())
        if report.switched:
            build_search_index(runtime, category, note)
    finish(report, as_json=as_json)
