"""``vitrine map``: the images of a category laid out on a plane, similar images near each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, FiltersOption, JsonOption, UsingOption, YesOption
from vitrine.cli.output import confirm, finish, note, print_json, print_table, show_progress
from vitrine.cli.with_options import with_options
from vitrine.indexer.enrich.maps.options import MapOptions
from vitrine.services.files import PLOTS, check_ending

app = typer.Typer(
    name="map", no_args_is_help=True, help="Lay the images of a category out on a plane, and draw it."
)
MapArgument = Annotated[str, typer.Argument(metavar="MAP", help="The map.")]


@app.command()
@with_options
def make(
    ctx: typer.Context,
    category: CategoryOption,
    options: MapOptions,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[MAP]", help="Its name; a map of that name is replaced. [default: METHOD]"),
    ] = None,
    using: UsingOption = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Keep the map, and only place images that came later.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a map of all images, and write to each where it is: maps.MAP.x and .y, in 0..1.

    Queries see the map once all of it is stored; Ctrl-C ends the work and leaves the former map. Filter with
    --where map.MAP.x.gte=0.5.
    """
    from vitrine.indexer.enrich.maps.make import make_map, place_missing
    from vitrine.indexer.job.search_index import build_search_index

    called = name or options.method
    with stores(ctx) as runtime:
        if missing:
            report = place_missing(runtime, category, called, progress=show_progress())
        else:
            report = make_map(runtime, category, called, options, using=using, progress=show_progress())
        if report.written and not report.interrupted:
            build_search_index(runtime, category, note)
    finish(report, as_json=as_json)


@app.command()
@with_options
def plot(
    ctx: typer.Context,
    name: MapArgument,
    category: CategoryOption,
    filters: FiltersOption,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The picture: .png, .svg or .pdf.")],
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="FIELD",
            help="Colour by class, tags, quality, scores.TAG, metadata.COLUMN, cluster.RUN ...",
        ),
    ] = None,
    depth: Annotated[
        int,
        typer.Option("--depth", min=1, help="With cluster.RUN: by the nodes of this level."),
    ] = 1,
    thumbnails: Annotated[
        int, typer.Option("--thumbnails", min=0, max=500, help="Draw this many pictures among the points.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Draw a map. With filters, images that do not match are drawn faint, behind the others."""
    from vitrine.indexer.enrich.maps.plot import draw_map

    check_ending(to, "a plot", PLOTS)
    with stores(ctx) as runtime:
        drawn = draw_map(
            runtime,
            category,
            name,
            to,
            by=by,
            depth=depth,
            thumbnails=thumbnails,
            conditions=filters.conditions,
            where=filters.words,
        )
    if as_json:
        print_json({"map": name, "by": by, **drawn.to_json()})
    else:
        note(drawn.summary())


@app.command("list")
def list_maps(ctx: typer.Context, category: CategoryOption, as_json: JsonOption = False) -> None:
    """List the maps of a category. The column missing counts images that have the vector but no place."""
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
    name: MapArgument,
    category: CategoryOption,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a map: first for queries, then on the images. The images themselves stay."""
    from vitrine.indexer.enrich.maps.make import delete_map

    with stores(ctx) as runtime:
        runtime.catalog.get(category)
        confirm(f"Delete the map {name!r} of category {category!r}?", yes)
        delete_map(runtime, category, name)
    if as_json:
        print_json({"category": category, "map": name, "deleted": True})
    else:
        note(f"Deleted the map {name}.")
