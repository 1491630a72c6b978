"""``vitrine duplicates``: find copies of the same picture, look at them, keep one of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption, LimitOption, YesOption
from vitrine.cli.output import confirm, note, print_json, print_table, show_progress, tell_undo
from vitrine.cli.with_options import with_options
from vitrine.indexer.enrich.duplicates.options import DuplicateOptions
from vitrine.services.files import SHEETS, check_ending
from vitrine.services.values.words import counted

if TYPE_CHECKING:
    from vitrine.services.artifacts.duplicates import DuplicateGroup
    from vitrine.services.domain import Hit
    from vitrine.services.runtime import Runtime

app = typer.Typer(no_args_is_help=True, help="Find, judge, dismiss and delete near-duplicates.")
GroupArgument = Annotated[str, typer.Argument(metavar="GROUP", help="A group, as list names it.")]
KindOption = Annotated[
    list[str] | None,
    typer.Option(
        "--kind", metavar="KIND", help="Only of this verdict; again: more. [default: identical, resized]"
    ),
]


@app.command()
@with_options
def find(
    ctx: typer.Context,
    category: CategoryOption,
    options: DuplicateOptions,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; print the groups.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find near-duplicates and put their groups in service, in place of those found before. Ctrl-C changes
    nothing."""
    from vitrine.indexer.enrich.duplicates.find import find_duplicates
    from vitrine.indexer.export.duplicates import group_json

    with stores(ctx) as runtime:
        report = find_duplicates(runtime, category, options, dry_run=dry_run, progress=show_progress())
        if dry_run and not as_json:
            _print_groups(runtime, category, report.groups)
    if as_json:
        found = {"found": [group_json(group) for group in report.groups]} if dry_run else {}
        print_json(report.to_json() | found)
    else:
        typer.echo(report.summary())
    if report.exit_code:
        raise typer.Exit(report.exit_code)


@app.command("list")
def list_groups(
    ctx: typer.Context, category: CategoryOption, limit: LimitOption = 50, as_json: JsonOption = False
) -> None:
    """List the groups, largest first, with the image that each would keep."""
    from vitrine.indexer.export.duplicates import group_json

    with stores(ctx) as runtime:
        run = runtime.duplicates.get(category)
        shown = run.groups[:limit]
        if not as_json:
            _print_groups(runtime, category, shown)
    if as_json:
        about = {"category": category, "run": run.key, "created_at": run.created_at, "count": len(run.groups)}
        print_json({**about, "groups": [group_json(group) for group in shown]})
    else:
        note(f"{len(shown)} of {len(run.groups)} groups.")


@app.command()
def show(
    ctx: typer.Context,
    group: GroupArgument,
    category: CategoryOption,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Draw the group as a contact sheet.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the images of a group: the one to keep, and what the others are to it."""
    from vitrine.indexer.export.duplicates import group_json, write_group_sheet

    if to is not None:
        check_ending(to, "a sheet", SHEETS)
    with stores(ctx) as runtime:
        found = runtime.duplicates.get(category).group(group)
        hits = {hit.id: hit for hit in runtime.vectors.retrieve(category, found.ids) if hit is not None}
        if to is not None:
            write_group_sheet(runtime, category, found, hits, to)
    if as_json:
        print_json(group_json(found) | {"payloads": {id: hit.payload for id, hit in hits.items()}})
        return
    words = {m.id: " ".join(filter(None, (m.kind, m.turn, m.of and f"of {m.of}"))) for m in found.members}
    rows = [(m.id, words[m.id], m.similarity, *_about(hits.get(m.id))) for m in found.members]
    print_table(
        ("id", "verdict", "similarity", "size", "bytes", "filename"), rows, right=("similarity", "bytes")
    )
    if to is not None:
        note(f"Written: {to}")


@app.command()
def keep(
    ctx: typer.Context,
    group: GroupArgument,
    id: Annotated[str, typer.Argument(metavar="ID", help="The image to keep.")],
    category: CategoryOption,
    as_json: JsonOption = False,
) -> None:
    """Choose which image of a group is kept; later searches keep to it."""
    from vitrine.indexer.enrich.duplicates.changes import keep as choose
    from vitrine.indexer.export.duplicates import group_json
    from vitrine.services.category.changes.entries import undo_json

    with stores(ctx) as runtime:
        record = runtime.editor.record(category)
        chosen = choose(runtime, category, group, id, record=record)
    if as_json:
        print_json({**group_json(chosen), "undo": undo_json(record.undo)})
    else:
        note(f"Group {group} keeps {id}.")
        tell_undo(record.undo)


@app.command()
def dismiss(
    ctx: typer.Context,
    group: GroupArgument,
    category: CategoryOption,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="Only these of it; none: the whole group.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say that images of a group are no duplicates. It is remembered: no later search puts them together
    again."""
    from vitrine.indexer.enrich.duplicates.changes import dismiss as forget
    from vitrine.services.category.changes.entries import undo_json

    with stores(ctx) as runtime:
        record = runtime.editor.record(category)
        pairs = forget(runtime, category, group, ids or (), record=record)
    if as_json:
        print_json({"category": category, "group": group, "pairs": pairs, "undo": undo_json(record.undo)})
    else:
        note(f"{counted(pairs, 'pair')} dismissed.")
        tell_undo(record.undo)


@app.command()
def export(
    ctx: typer.Context,
    category: CategoryOption,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A .json or .csv file.")],
) -> None:
    """Write all groups to a file: JSON, or CSV with a line an image."""
    from vitrine.indexer.export.duplicates import write_groups

    with stores(ctx) as runtime:
        count = write_groups(runtime, category, to)
    note(f"{count} groups written to {to}.")


@app.command()
def delete(
    ctx: typer.Context,
    category: CategoryOption,
    groups: Annotated[
        list[str] | None, typer.Argument(metavar="[GROUP...]", help="Only of these groups.")
    ] = None,
    kind: KindOption = None,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge/--no-merge", help="Add their tags, class, caption and metadata to the one that is kept."
        ),
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete what is another image saved again or resized: into the bin. Asks first.

    Versions of an image (edited, cropped, a form filled otherwise) stay unless --kind edited names them, and
    so does whatever has more pixels or colours than the one that is kept. What people said of an image goes
    to that one first: tags, and class, caption and columns of metadata that it lacks.
    """
    from vitrine.indexer.enrich.duplicates.changes import Deleted, deletable
    from vitrine.indexer.enrich.duplicates.changes import delete as remove
    from vitrine.services.category.changes.entries import undo_json

    with stores(ctx) as runtime:
        found = deletable(runtime, category, groups or (), kind or ())
        takes = found.takes
        count = sum(map(len, takes.values()))
        done = Deleted()
        if not dry_run and count:
            confirm(
                f"Delete {count} images of {len(takes)} groups from {category!r} into the bin?",
                yes,
            )
            done = remove(runtime, category, takes, merge=merge)
    if as_json:
        counts = {"images": count, "deleted": done.images, "merged": done.merged}
        about = {"category": category, "dry_run": dry_run, "groups": takes}
        print_json({**about, **counts, "richer": list(found.richer), "undo": undo_json(done.undo)})
    elif dry_run:
        print_table(("group", "id"), [(group, id) for group, ids in takes.items() for id in ids])
        note(f"{count} images of {len(takes)} groups would be deleted.")
    else:
        note(f"Deleted {done.images} images; {done.merged} of those kept got what was said of others.")
        tell_undo(done.undo)
    if found.richer and not as_json:
        note(
            f"{len(found.richer)} images stay: they have more pixels than the one that is kept, or "
            "colours that it lacks."
        )


def _print_groups(runtime: Runtime, category: str, groups: tuple[DuplicateGroup, ...]) -> None:
    from vitrine.indexer.export.duplicates import file_names

    names = file_names(runtime, category, (group.keep for group in groups))
    rows = [
        (g.id, len(g.members), sorted({m.kind for m in g.members[1:]}), g.keep, names.get(g.keep))
        for g in groups
    ]
    print_table(("group", "images", "verdicts", "keep", "filename"), rows, right=("images",))


def _about(hit: Hit | None) -> tuple[object, ...]:
    if hit is None:
        return ("gone", None, None)
    payload = hit.payload
    size = f"{payload.get('width')} x {payload.get('height')}"
    return (size, payload.get("bytes"), payload.get("filename"))
