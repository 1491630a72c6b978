"""``vitrine undo``: take back a change of images."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import JsonOption
from vitrine.cli.output import note, print_json, tell_undo
from vitrine.services.values.words import counted


def undo(
    ctx: typer.Context,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="As the change printed it.")],
    as_json: JsonOption = False,
) -> None:
    """Take back an edit or a deletion of the last 24 hours.

    What was changed again since stays as it is. The command prints how to take this back in turn.
    """
    from vitrine.services.category.changes.entries import undo_json

    with stores(ctx) as runtime:
        done = runtime.editor.undo(token)
    if as_json:
        print_json({"undone": done.undone, "kept": done.kept, "undo": undo_json(done.undo)})
        return
    kept = f" Of {counted(len(done.kept), 'image')} something was changed since and stays."
    note(f"{counted(done.undone, 'image')} as before." + kept * bool(done.kept))
    tell_undo(done.undo)
