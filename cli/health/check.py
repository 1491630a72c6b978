"""``vitrine check``: is what is stored whole, and what can be repaired?"""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import JsonOption
from vitrine.cli.output import finish, show_progress

EXAMPLES = "vitrine check shop --deep --repair"


def check(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[CATEGORY]...", help="Only these. [default: all]")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair what can be repaired from the rest, and look again.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every picture, and compare it with its hash.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what is damaged, missing or left over, and repair what can be; exit 3: something is wrong.

    Other programs may write meanwhile: what looks wrong is looked at again before it is told.
    """
    from vitrine.indexer.check.run import check_categories

    with stores(ctx) as runtime:
        report = check_categories(runtime, names or (), deep=deep, mend=repair, progress=show_progress())
    finish(report, as_json=as_json)
