"""``vitrine images``: look at the images of a category, change and delete them."""

from __future__ import annotations

import math
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.images.annotate import annotate, hashtags
from vitrine.cli.images.bin import restore, show_bin
from vitrine.cli.images.previews import previews
from vitrine.cli.options import (
    CategoryOption,
    FiltersOption,
    JsonOption,
    LimitOption,
    YesOption,
    to_order,
)
from vitrine.cli.output import confirm, note, print_json, print_pairs, print_table, tell_undo
from vitrine.cli.search import hit_json
from vitrine.cli.with_options import with_options
from vitrine.services.files import writing
from vitrine.services.values.field_paths import flat, path_keys
from vitrine.services.values.kinds import Cell
from vitrine.services.values.words import counted

if TYPE_CHECKING:
    from vitrine.services.domain import Hit

app = typer.Typer(no_args_is_help=True, help="List, show, tag, count, delete and restore images.")
app.command()(annotate)
app.command()(hashtags)
app.command("bin")(show_bin)
app.command()(restore)
app.command()(previews)
IdsArgument = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of images.")]
_BAR = 40


@app.command("list")
@with_options
def list_images(
    ctx: typer.Context,
    category: CategoryOption,
    filters: FiltersOption,
    order_by: Annotated[
        str | None, typer.Option("--order-by", metavar="FIELD[:desc]", help="By a number or date.")
    ] = None,
    limit: LimitOption = 50,
    cursor: Annotated[
        str | None, typer.Option("--cursor", help="The next page, as the page before named it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List images, a page at a time, with how many meet the filters in all."""
    conditions = filters.asked
    with stores(ctx) as runtime:
        runtime.vectors.warm(category)  # while the modules of the search are loaded
        order = to_order(runtime, category, order_by)
        page = runtime.searcher.listing(category, conditions, order_by=order, limit=limit, cursor=cursor)
        total = runtime.searcher.count(category, conditions)
    if as_json:
        hits = [hit_json(hit) for hit in page.hits]
        print_json({"category": category, "count": total, "hits": hits, "cursor": page.cursor})
        return
    rows = [
        (
            hit.id,
            hit.payload.get("class"),
            hit.payload.get("tags", ()),
            _size(hit),
            hit.payload.get("filename"),
        )
        for hit in page.hits
    ]
    print_table(("id", "class", "tags", "size", "filename"), rows)
    note(f"{len(page.hits)} of {total} images." + (f" More: --cursor {page.cursor}" if page.cursor else ""))


@app.command()
def show(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="Id of an image.")],
    category: CategoryOption,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write the original picture to FILE.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show everything known of one image."""
    with stores(ctx) as runtime:
        hit = runtime.searcher.image(category, id)
        if to is not None:
            data = runtime.objects.get(hit.payload["object_key"])
            with writing(to):
                to.write_bytes(data)
    if as_json:
        print_json(hit_json(hit))
        return
    print_pairs({"id": hit.id, **flat(hit.payload)})
    if to is not None:
        note(f"Written: {to}")


@app.command()
def delete(
    ctx: typer.Context,
    ids: IdsArgument,
    category: CategoryOption,
    for_good: Annotated[
        bool, typer.Option("--for-good", help="Not into the bin: the files go at once.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete images. They wait in the bin for 24 hours, with their files. Unknown ids are no error."""
    from vitrine.services.category.changes.entries import undo_json

    where = "for good" if for_good else "into the bin"
    confirm(f"Delete {counted(len(ids), 'image')} from {category!r} {where}?", yes)
    with stores(ctx) as runtime:
        outcome = None if for_good else runtime.editor.delete(category, ids)
        deleted = runtime.editor.remove(category, ids) if outcome is None else outcome.changed
    undo = outcome.undo if outcome else None
    if as_json:
        counts = {"deleted": deleted, "unknown": len(set(ids)) - deleted}
        print_json({"category": category, **counts, "undo": undo_json(undo)})
        return
    note(
        f"Deleted {counted(deleted, 'image')}"
        + (f"; {len(set(ids)) - deleted} were not there." if deleted < len(set(ids)) else ".")
    )
    tell_undo(undo)


@app.command()
def tag(
    ctx: typer.Context,
    ids: IdsArgument,
    category: CategoryOption,
    add: Annotated[
        list[str] | None, typer.Option("--add", metavar="TAG", help="Add this tag; again: more.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="TAG", help="Remove this tag.")
    ] = None,
    replace: Annotated[
        list[str] | None, typer.Option("--set", metavar="TAG", help="Replace all tags by these.")
    ] = None,
    class_: Annotated[str | None, typer.Option("--class", help="Set the class; '' removes it.")] = None,
    caption: Annotated[str | None, typer.Option("--caption", help="Set the caption; '' removes it.")] = None,
    quality: Annotated[float | None, typer.Option("--quality", min=0, max=1, help="Set the quality.")] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", metavar="COLUMN=VALUE", help="Set a column; 'COLUMN=' removes it."),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="FIELD=VALUE", help="Set another field; 'FIELD=' removes it."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change tags, class, caption, quality, metadata or other fields of images. Nothing is changed if one of
    the images does not exist."""
    from vitrine.services.category.changes.entries import undo_json
    from vitrine.services.category.editor import ImageChanges
    from vitrine.services.category.fields import SAID
    from vitrine.services.category.payload import unindexed_notes
    from vitrine.services.validation import validated

    changes: dict[str, Any] = {"add_tags": tuple(add or ()), "remove_tags": tuple(remove or ())}
    changes |= {"tags": tuple(replace)} if replace else {}
    changes |= {
        name: value or None for name, value in (("class", class_), ("caption", caption)) if value is not None
    }
    changes |= {"quality": quality} if quality is not None else {}
    changes |= {name: value or None for name, value in (_pair(text, "--field") for text in field or ())}
    columns = [_pair(text, "--metadata") for text in metadata or ()]
    changes |= {"metadata": dict(columns)} if columns else {}
    if not any(changes.values()) and not changes.keys() & SAID.keys():
        raise typer.BadParameter(
            "nothing to change: give --add, --remove, --set, --class, --caption, --quality, --metadata or "
            "--field."
        )
    with stores(ctx) as runtime:
        if columns:
            known = runtime.catalog.get(category).indexes
            changes["metadata"] = dict(_known_column(name, value, known) for name, value in columns)
        edited = runtime.editor.change(category, ids, validated(ImageChanges, changes, "change"))
        notes = unindexed_notes(changes.get("metadata", {}), runtime.catalog.get(category).indexes)
    if as_json:
        hits = [hit_json(hit) for hit in edited.hits]
        print_json({"category": category, "hits": hits, "undo": undo_json(edited.undo), "notes": notes})
        return
    print_table(
        ("id", "class", "tags"),
        [(hit.id, hit.payload.get("class"), hit.payload.get("tags", ())) for hit in edited.hits],
    )
    note(" ".join([f"Changed {counted(len(edited.hits), 'image')}.", *notes]))
    tell_undo(edited.undo)


@app.command()
@with_options
def facets(
    ctx: typer.Context,
    field: Annotated[
        str, typer.Argument(metavar="FIELD", help="tags, class, media_type, metadata.COLUMN, cluster.RUN ...")
    ],
    category: CategoryOption,
    filters: FiltersOption,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Count images by the values of a field, most frequent first."""
    from vitrine.services.search.counts import count_values

    conditions = filters.asked
    with stores(ctx) as runtime:
        runtime.vectors.warm(category)
        found = count_values(runtime.searcher, category, field, conditions, limit=limit)
    if as_json:
        values = [{"value": facet.value, "count": facet.count} for facet in found]
        print_json({"category": category, "field": field, "values": values})
        return
    print_table((field, "images"), [(facet.value, facet.count) for facet in found], right=("images",))


@app.command()
@with_options
def histogram(
    ctx: typer.Context,
    field: Annotated[
        str, typer.Argument(metavar="FIELD", help="quality, scores.TAG, width, metadata.COLUMN ...")
    ],
    category: CategoryOption,
    filters: FiltersOption,
    bins: Annotated[int, typer.Option("--bins", min=1, max=200, help="How many bins.")] = 10,
    lower: Annotated[float | None, typer.Option("--lower", help="Lower edge.")] = None,
    upper: Annotated[float | None, typer.Option("--upper", help="Upper edge.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Count images by the value of a number, in equal bins, with bars."""
    from vitrine.services.search.counts import count_bins

    conditions = filters.asked
    with stores(ctx) as runtime:
        runtime.vectors.warm(category)
        found = count_bins(runtime.searcher, category, field, conditions, bins=bins, lower=lower, upper=upper)
    if as_json:
        values = [{"lower": bin.lower, "upper": bin.upper, "count": bin.count} for bin in found]
        print_json({"category": category, "field": field, "bins": values})
        return
    most = max((bin.count for bin in found), default=0)
    rows = [(f"{bin.lower:g} .. {bin.upper:g}", bin.count, bar(bin.count, most)) for bin in found]
    print_table((field, "images", ""), rows, right=("images",))


def bar(count: int, most: int) -> str:
    """Return a bar as long as the share of the greatest count; any count above 0 is visible."""
    return "█" * math.ceil(_BAR * count / most) if most else ""


def _size(hit: Hit) -> str:
    return f"{hit.payload['width']}x{hit.payload['height']}" if "width" in hit.payload else ""


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{option} takes NAME=VALUE, not {text!r}.")
    return name, value


def _known_column(name: str, value: str, known: Container[str]) -> tuple[str, Cell | None]:
    """Return name and value of ``year=1999`` by the kind of its column; an empty value removes. The longest
    name of a column that the category has goes first: it may hold an equal sign."""
    from vitrine.services.category.field_names import find_member, readings

    ways = [(find_member("metadata", way, known), text) for way, text in readings(name, value)]
    field, text = next((way for way in reversed(ways) if way[0] in known), ways[0])
    return path_keys(field)[-1], Cell(text) if text else None
