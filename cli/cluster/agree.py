"""``vitrine cluster agree``: how far two runs agree, or a run and a field."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.cli.cluster.show import NameArgument
from vitrine.cli.context import stores
from vitrine.cli.metric.progress import Progress
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import note, print_json, print_pairs, print_table
from vitrine.services.errors import BadRequest

_SHOWN = 30


def agree(
    ctx: typer.Context,
    run: NameArgument,
    category: CategoryOption,
    other: Annotated[str | None, typer.Argument(metavar="[OTHER]", help="Another run.")] = None,
    level: Annotated[
        int | None,
        typer.Option(
            "--level", min=1, metavar="N", help="Compare at this level of the trees. [default: leaves]"
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="FIELD", help="Compare with the values of a field, such as class."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two stored runs on the images that both have, and say which node goes to which; or a run with a
    field.

    Images in noise are left out and counted.

    ARI (adjusted Rand index) is 1 for equal groupings and 0 by chance; NMI and purity are in 0..1. `cluster
    compare` tries methods without storing anything.
    """
    from vitrine.indexer.enrich.clusters.agree import agree as compare_runs
    from vitrine.indexer.enrich.clusters.agree import agree_with_field

    if (other is None) == (against is None):
        raise BadRequest("Compare with another run or with --against FIELD, one of the two.")
    progress = Progress()
    told = None if as_json else lambda done, total: progress.tell("reading", done, total)
    try:
        with stores(ctx) as runtime:
            if against is not None:
                field = agree_with_field(runtime, category, run, against, level=level, told=told)
            else:
                found = compare_runs(runtime, category, run, str(other), level=level, told=told)
    finally:
        progress.close()
    if as_json:
        print_json({"category": category, **(field if against is not None else found).to_json()})
        return
    if against is not None:
        print_pairs({name: value for name, value in field.to_json().items() if value is not None})
        return
    rows = [
        [
            one.node,
            one.images,
            one.name,
            one.other,
            one.other_name,
            one.shared,
            one.share,
            one.jaccard,
            one.parts,
        ]
        for one in found.matches
    ]
    columns = ("node", "images", "name", "best match", "its name", "shared", "share", "jaccard", "parts")
    print_table(columns, rows[:_SHOWN], right=("images", "shared", "share", "jaccard", "parts"))
    if len(rows) > _SHOWN:
        note(f"{len(rows) - _SHOWN} smaller nodes are left out; --json has all, --level shows fewer.")
    at = "at the leaves" if level is None else f"at level {level}"
    sizes = f"{found.images} images in clusters of both, {found.nodes} and {found.other_nodes} nodes {at}"
    if found.noise:
        note(f"{found.noise} images are left out: they are noise in one of the two.")
    note(f"{sizes}: ARI {found.ari:.3f}, NMI {found.nmi:.3f}.")
