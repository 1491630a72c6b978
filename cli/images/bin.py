"""``vitrine images bin`` and ``restore``: deleted images, which wait for 24 hours."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption, LimitOption, YesOption
from vitrine.cli.output import confirm, note, print_json, print_table, tell_undo
from vitrine.services.values.words import counted


def show_bin(
    ctx: typer.Context,
    category: CategoryOption,
    limit: LimitOption = 50,
    empty: Annotated[
        bool, typer.Option("--empty", help="Remove what is in it for good, with the files. Asks first.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """List deleted images, latest first, or remove them for good."""
    with stores(ctx) as runtime:
        runtime.catalog.get(category)
        page = runtime.editor.bin.images(category, limit=limit)
        if empty:
            confirm(f"Remove {counted(page.total, 'image')} in the bin of {category!r} for good?", yes)
            removed = runtime.editor.empty_bin(category)
    if empty and as_json:
        print_json({"category": category, "removed": removed})
    elif empty:
        note(f"{counted(removed, 'image')} removed for good.")
    elif as_json:
        images = [
            {"id": one.hit.id, "deleted_at": one.deleted_at, "payload": one.hit.payload}
            for one in page.images
        ]
        print_json({"category": category, "images": images, "total": page.total})
    else:
        rows = [(one.hit.id, one.deleted_at[:19], one.hit.payload.get("filename")) for one in page.images]
        print_table(("id", "deleted at", "filename"), rows)
        note(f"{len(rows)} of {counted(page.total, 'image')} in the bin.")


def restore(
    ctx: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of deleted images.")],
    category: CategoryOption,
    as_json: JsonOption = False,
) -> None:
    """Take images out of the bin. One that was indexed again meanwhile is left as it is."""
    from vitrine.services.category.changes.entries import undo_json

    with stores(ctx) as runtime:
        done = runtime.editor.restore(category, ids)
    if as_json:
        counts = {"restored": done.changed, "there": done.unchanged, "missing": done.missing}
        print_json({"category": category, **counts, "undo": undo_json(done.undo)})
        return
    rest = [f"{done.unchanged} are in the category already." * bool(done.unchanged)]
    rest += [f"{len(done.missing)} are not in the bin." * bool(done.missing)]
    note(" ".join([f"Restored {counted(done.changed, 'image')}.", *filter(None, rest)]))
    tell_undo(done.undo)
