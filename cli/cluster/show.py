"""``vitrine cluster list`` and ``show``: what the runs of a category found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption
from vitrine.cli.output import note, print_json, print_pairs, print_table
from vitrine.services.errors import BadRequest
from vitrine.services.files import make_folder, unwritable

if TYPE_CHECKING:
    from vitrine.services.artifacts.clusters import ClusterRun, Node
    from vitrine.services.runtime import Runtime
    from vitrine.services.search.cluster_nodes import NodeDetail, NodeView

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The run.")]
_SHOWN_VALUES = 5
_ON_A_SHEET = 30
"""Children on one sheet: more make a page that nobody can look at."""


def list_runs(ctx: typer.Context, category: CategoryOption, as_json: JsonOption = False) -> None:
    """The runs of a category."""
    with stores(ctx) as runtime:
        runtime.catalog.get(category)
        runs = [run_json(run) for run in runtime.clusters.in_service(category)]
    if as_json:
        print_json(runs)
        return
    if not runs:
        note(f"None yet: vitrine cluster run -c {category} --run look")
        return
    columns = ("run", "method", "using", "images", "nodes", "leaves", "depth", "created_at")
    print_table(columns, [[run[name] for name in columns] for run in runs], right=columns[3:7])


def show(
    ctx: typer.Context,
    name: NameArgument,
    category: CategoryOption,
    node: Annotated[str, typer.Argument(metavar="[NODE]", help="The node, such as root-14.")] = "root",
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by", metavar="FIELD", help="Count the values of this field in each child; again: more fields."
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet", metavar="FILE", help="Write the representatives of each child as a contact sheet."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """A node and its children: images, name, radius."""
    from vitrine.indexer.export.sheets import check_sheet_path
    from vitrine.services.search.cluster_nodes import children

    if sheet is not None:
        check_sheet_path(sheet)
    with stores(ctx) as runtime:
        found = children(runtime.searcher, runtime.clusters, category, name, node, by or ())
        if sheet is not None:
            _save_sheet(runtime, category, found, sheet)
    if as_json:
        print_json(_detail_json(found))
    else:
        _print(found, by or ())
    if sheet is not None:
        note(f"Contact sheet: {sheet}")


def run_json(run: ClusterRun) -> dict[str, Any]:
    """A run without its nodes."""
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
    told = {
        "run": f"{run.run} ({run.method} on {run.using})",
        "node": node.id,
        "name": node.name,
        "images": found.view.count,
    }
    above = (
        {"above": " > ".join(f"{one.id} {one.name}".strip() for one in found.above)} if found.above else {}
    )
    print_pairs({**told, "radius": node.radius, "medoid": node.medoid, **above})
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


def _save_sheet(runtime: Runtime, category: str, found: NodeDetail, path: Path) -> None:
    """A row of representatives for each child, the largest if there are many, or for a leaf itself."""
    from PIL import Image

    from vitrine.indexer.export.sheets import TILE_SIZE, picture_of
    from vitrine.services.images.contact_sheet import Tile, contact_sheet

    largest = sorted(found.children, key=lambda view: -view.count)[:_ON_A_SHEET]
    views = [view for view in found.children if view.node.id in {one.node.id for one in largest}] or [
        found.view
    ]
    across = max(1, *(len(view.node.representatives) for view in views))
    tiles, blank = list[Tile](), Image.new("RGB", (1, 1), "white")
    for view in views:
        hits = runtime.vectors.retrieve(category, list(view.node.representatives))
        captions = [(f"{view.node.id}  {view.count} images", view.node.name)] + [("", "")] * across
        row = [
            Tile(picture_of(runtime, hit) if hit else None, words)
            for hit, words in zip(hits, captions, strict=False)
        ]
        row = row or [Tile(None, captions[0])]
        tiles += row + [Tile(blank, ("", ""))] * (across - len(row))
    title = f"{category}: {found.run.run} {found.view.node.id}"
    try:
        page = contact_sheet(tiles, columns=across, tile_size=TILE_SIZE // 2, title=title)
        make_folder(path.parent)
        page.save(path)
    except ValueError as error:
        raise BadRequest(str(error)) from error
    except OSError as error:
        raise unwritable(path, error) from error
    left = len(found.children) - len(views)
    if left > 0:
        note(
            f"On the sheet are the {len(views)} largest of {len(found.children)} children, {left} are "
            f"left out. All of them: vitrine cluster export {found.run.run} -c {category} --to FOLDER "
            "--sheets"
        )
