"""``vitrine cluster list`` and ``show``: what the runs of a category found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import note, print_json, print_pairs, print_table
from vitrine.services.files import SHEETS, check_ending

if TYPE_CHECKING:
    from vitrine.services.artifacts.clusters import ClusterRun, Node
    from vitrine.services.search.cluster_nodes import NodeDetail, NodeView

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run.")]
_SHOWN_VALUES = 5


def list_runs(ctx: typer.Context, category: CategoryOption, as_json: JsonOption = False) -> None:
    """List the runs of a category."""
    with stores(ctx) as runtime:
        runtime.catalog.get(category)
        runs = [run_json(run) for run in runtime.clusters.in_service(category)]
    if as_json:
        print_json(runs)
        return
    if not runs:
        note(f"None yet: vitrine cluster run look -c {category}")
        return
    columns = ("run", "method", "using", "images", "nodes", "leaves", "depth", "created_at")
    print_table(columns, [[run[name] for name in columns] for run in runs], right=columns[3:7])


def show(
    ctx: typer.Context,
    run: RunArgument,
    category: CategoryOption,
    node: Annotated[str, typer.Argument(metavar="[NODE]", help="The node, such as root-14.")] = "root",
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", metavar="FIELD", help="Count the values of this field in each child; again: more fields."
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="Write the representatives of each child as a contact sheet."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a node and its children: images, name, radius."""
    from vitrine.indexer.export.clusters.node_sheets import MOST_ROWS, write_node_sheet
    from vitrine.services.search.cluster_nodes import children

    if to is not None:
        check_ending(to, "a sheet", SHEETS)
    with stores(ctx) as runtime:
        found = children(runtime.searcher, runtime.clusters, category, run, node, by or ())
        if to is not None:
            write_node_sheet(runtime, category, found, to)
    if as_json:
        print_json(_detail_json(found))
    else:
        _print(found, by or ())
    if to is not None:
        note(f"Written: {to}")
    if to is not None and len(found.children) > MOST_ROWS:
        note(
            f"On the sheet are the {MOST_ROWS} largest of {len(found.children)} children, "
            f"{len(found.children) - MOST_ROWS} are left out. All of them: vitrine cluster export {run} "
            f"-c {category} --to FOLDER --sheets"
        )


def run_json(run: ClusterRun) -> dict[str, Any]:
    """Return the JSON of a run, without its nodes."""
    names = (
        "run",
        "key",
        "method",
        "using",
        "encoder_revision",
        "images",
        "seed",
        "parameters",
        "metrics",
        "created_at",
    )
    tree = {name: getattr(run, name) for name in names}
    return {**tree, "nodes": len(run.nodes), "leaves": len(run.leaves), "depth": run.depth}


def _detail_json(found: NodeDetail) -> dict[str, Any]:
    below = [_view_json(child) for child in found.children]
    return {
        "run": found.run.run,
        **_view_json(found.view),
        "above": [node.id for node in found.above],
        "children": below,
    }


def _view_json(view: NodeView) -> dict[str, Any]:
    groupings = {
        name: [{"value": facet.value, "count": facet.count} for facet in facets]
        for name, facets in view.groupings.items()
    }
    return {**_node_json(view.node), "count": view.count, "groupings": groupings}


def _node_json(node: Node) -> dict[str, Any]:
    return {**vars(node), "representatives": list(node.representatives), "children": list(node.children)}


def _print(found: NodeDetail, fields: Sequence[str]) -> None:
    node, run = found.view.node, found.run
    about = {
        "run": f"{run.run} ({run.method} on {run.using})",
        "node": node.id,
        "name": node.name,
        "images": found.view.count,
    }
    above = (
        {"above": " > ".join(f"{one.id} {one.name}".strip() for one in found.above)} if found.above else {}
    )
    print_pairs({**about, "radius": node.radius, "medoid": node.medoid, **above})
    if not found.children:
        note("A leaf: it has no children.")
        return
    rows = [
        [
            child.node.id,
            child.count,
            child.node.name,
            child.node.radius,
            len(child.node.children),
            *_values(child, fields),
        ]
        for child in found.children
    ]
    print_table(
        ("id", "images", "name", "radius", "children", *fields), rows, right=("images", "radius", "children")
    )


def _values(view: NodeView, fields: Sequence[str]) -> list[str]:
    return [
        ", ".join(f"{facet.value} {facet.count}" for facet in view.groupings[name][:_SHOWN_VALUES])
        for name in fields
    ]
