"""``vitrine map``: the images of a category laid out on a plane, the alike beside each other."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption, WhereOption, YesOption, to_conditions
from vitrine.cli.output import confirmed, finish, note, print_json, print_table, show_progress

if TYPE_CHECKING:
    pass

app = typer.Typer(
    name="map", no_args_is_help=True, help="Lay the images of a category out on a plane, and draw it."
)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The map.")]
_UMAP = "Options of UMAP"


@app.command()
def make(
    ctx: typer.Context,
    category: CategoryOption,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="The map's name; one of that name is replaced. [default: METHOD]"
        ),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="METHOD", help="umap, or pca, the quick one.")
    ] = "umap",
    using: Annotated[
        str | None,
        typer.Option("--using", metavar="VECTOR", help="The named vector. [default: the category's]"),
    ] = None,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing", help="Leave the map; only put images that came later where their nearest are."
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn at random.")] = 0,
    neighbours: Annotated[
        int,
        typer.Option(
            "--neighbours", min=2, max=200, help="Images that hold one in its place.", rich_help_panel=_UMAP
        ),
    ] = 15,
    min_dist: Annotated[
        float,
        typer.Option(
            "--min-dist", min=0, max=1, help="Distance of images side by side.", rich_help_panel=_UMAP
        ),
    ] = 0.1,
    metric: Annotated[
        str, typer.Option("--metric", help="cosine or euclidean.", metavar="WORD", rich_help_panel=_UMAP)
    ] = "cosine",
    as_json: JsonOption = False,
) -> None:
    """Make a map of all images, and write to each where it is: maps.NAME.x and .y, in 0..1.

    Queries see the map only once all of it is stored; Ctrl-C ends it and leaves what was. Filter with --where
    map.NAME.x.gte=0.5.
    """
    from vitrine.indexer.enrich.maps.layout import MapOptions
    from vitrine.indexer.enrich.maps.make import make_map, place_missing
    from vitrine.indexer.job.search_index import build_search_index

    stop = threading.Event()
    options = MapOptions(method, neighbours, min_dist, metric, seed)  # type: ignore[arg-type]  # check() refuses what is none
    with stores(ctx) as runtime:
        if missing:
            report = place_missing(runtime, category, name or method, watch=show_progress, stop=stop)
        else:
            report = make_map(
                runtime, category, name or method, options, using=using, watch=show_progress, stop=stop
            )
        if report.written and not report.interrupted:
            build_search_index(runtime, category, note)
    finish(report, as_json=as_json)


@app.command()
def plot(
    ctx: typer.Context,
    name: NameArgument,
    category: CategoryOption,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The picture: .png or .svg.")],
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="FIELD",
            help="Colour by class, tags, quality, scores.TAG, metadata.COLUMN, cluster.RUN ...",
        ),
    ] = None,
    depth: Annotated[
        int, typer.Option("--depth", min=1, help="With cluster.RUN: of the nodes, 1 below the root.")
    ] = 1,
    thumbnails: Annotated[
        int, typer.Option("--thumbnails", min=0, max=500, help="Draw so many pictures among the points.")
    ] = 0,
    where: WhereOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a map. With --where the images that meet it are drawn before the others, which are faint."""
    from vitrine.indexer.enrich.maps.plot import check_plot_path, draw_map

    check_plot_path(to)
    conditions = to_conditions(where=where)
    with stores(ctx) as runtime:
        drawn = draw_map(
            runtime,
            category,
            name,
            to,
            by=by,
            depth=depth,
            thumbnails=thumbnails,
            conditions=conditions,
            where=", ".join(where or ()),
        )
    if as_json:
        colours = [vars(entry) for entry in drawn.colours.entries]
        print_json(
            {
                "map": name,
                "file": str(to),
                "images": drawn.images,
                "others": drawn.others,
                "thumbnails": drawn.thumbnails,
                "thumbnails_asked": thumbnails,
                "note": drawn.shortfall,
                "by": by,
                "kind": drawn.colours.kind,
                "legend": colours,
            }
        )
    else:
        grey = f", {drawn.others} others in grey" if drawn.others else ""
        note(f"{drawn.images} images drawn to {to}{grey}.")
        if drawn.shortfall:
            note(drawn.shortfall)


@app.command("list")
def list_maps(ctx: typer.Context, category: CategoryOption, as_json: JsonOption = False) -> None:
    """The maps of a category; missing: images that have the vector but no place yet."""
    from vitrine.indexer.enrich.maps.make import count_missing

    with stores(ctx) as runtime:
        runtime.catalog.get(category)
        maps = [
            {**vars(made), "missing": count_missing(runtime, category, made)}
            for made in runtime.maps.in_service(category)
        ]
    if as_json:
        print_json(maps)
        return
    if not maps:
        note(f"None yet: vitrine map make -c {category}")
        return
    columns = ("name", "method", "using", "images", "missing", "created_at")
    rows = [[made[column] for column in columns] + [made["metrics"].get("neighbours_kept")] for made in maps]
    print_table((*columns, "neighbours_kept"), rows, right=("images", "missing", "neighbours_kept"))


@app.command()
def delete(
    ctx: typer.Context,
    name: NameArgument,
    category: CategoryOption,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a map: first for queries, then on the images. The images themselves stay."""
    from vitrine.indexer.enrich.maps.make import delete_map

    with stores(ctx) as runtime:
        runtime.catalog.get(category)
        if not confirmed(f"Delete the map {name!r} of category {category!r}?", yes):
            raise typer.Exit(1)
        delete_map(runtime, category, name)
    if as_json:
        print_json({"category": category, "map": name, "deleted": True})
    else:
        note(f"Deleted the map {name}.")
