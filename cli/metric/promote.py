"""``vitrine metric promote`` and ``rollback``: trained encoders in and out of service. Registered by
cli/metric/commands.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.index import build_search_index
from vitrine.cli.metric.compare import compare
from vitrine.cli.metric.folders import find_folder
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import note, print_json
from vitrine.services.errors import WorseEncoder

if TYPE_CHECKING:
    from vitrine.cli.metric.compare import Comparison
    from vitrine.indexer.enrich.vectors.promote import PromoteReport
    from vitrine.services.encoders.batching import BatchedEncoder
    from vitrine.services.runtime import Runtime

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
    from vitrine.indexer.enrich.vectors.promote import promote as put_into_service
    from vitrine.indexer.job.progress import make_progress

    with stores(ctx) as runtime:
        folder = find_folder(runtime.settings.data, encoder)
        alias = name or alias_of(folder)
        compared: list[Comparison] = []

        def check(candidate: BatchedEncoder) -> None:
            found = _compare(runtime, category, alias, candidate, folder)
            compared.extend([found] if found else [])

        report = put_into_service(
            runtime,
            category,
            folder,
            name=alias,
            default=not keep_default,
            check=None if force else check,
            progress=make_progress(title="embedding"),
        )
        if report.switched:
            build_search_index(runtime, category)
    _finish(report, compared[0] if compared else None, as_json=as_json)


def rollback(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What queries call it in --using.")],
    category: CategoryOption,
    as_json: JsonOption = False,
) -> None:
    """Answer from the encoder that was in service before; again: back. What was added since is embedded
    first.

    After the first promotion there is none before: queries without --using go to what was the default then.
    """
    from vitrine.indexer.enrich.vectors.promote import rollback as take_back
    from vitrine.indexer.job.progress import make_progress

    with stores(ctx) as runtime:
        report = take_back(runtime, category, name, progress=make_progress(title="embedding"))
        if report.switched:
            build_search_index(runtime, category)
    _finish(report, None, as_json=as_json)


def alias_of(folder: Path) -> str:
    """What an encoder is called where ``--name`` says nothing: as it was trained, or as its folder."""
    from vitrine.services.encoders.families.metric_config import KIND, folder_kind, read_config
    from vitrine.services.encoders.reference import name_of

    return name_of(read_config(folder).name if folder_kind(folder) == KIND else str(folder))


def _compare(
    runtime: Runtime, category: str, alias: str, candidate: BatchedEncoder, folder: Path
) -> Comparison | None:
    """``WorseEncoder`` where the candidate finds less."""
    found = compare(runtime, runtime.catalog.get(category), alias, candidate, folder)
    if found is None:
        note("It is not compared: it is in service already, or its folder says nothing of held-out images.")
    elif found.worse:
        raise WorseEncoder(
            f"It finds less than what is in service, on {found.measured_on}: {found.candidate}, "
            f"against {found.incumbent} of {found.incumbent.encoder}. Nothing was switched; train on, "
            "or promote it anyway with --force.",
            **found.to_json(),
        )
    else:
        note(f"On {found.measured_on}: {found.candidate}; {found.incumbent.encoder} has {found.incumbent}.")
    return found


def _finish(report: PromoteReport, compared: Comparison | None, *, as_json: bool) -> None:
    if as_json:
        print_json(report.to_json() | {"comparison": compared.to_json() if compared else None})
    else:
        typer.echo(report.summary())
    if report.exit_code:
        raise typer.Exit(report.exit_code)
