"""``vitrine backup``: copies of categories that are made while everything runs, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vitrine.cli.context import read_settings, stores
from vitrine.cli.options import JsonOption
from vitrine.cli.output import finish, print_json, print_table, show_progress

if TYPE_CHECKING:
    from vitrine.indexer.backup.contents import Backup
    from vitrine.indexer.backup.place import Place
    from vitrine.indexer.backup.report import BackupReport

app = typer.Typer(
    no_args_is_help=True,
    help="Back categories up while everything runs, and restore them: also on another engine.",
)

PlaceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[FOLDER|objects:PREFIX]",
        help="Where the backups lie: a folder, or a prefix of the object store. [default: VITRINE_BACKUPS]",
        show_default=False,
    ),
]
BackupOption = Annotated[
    str | None, typer.Option("--backup", "-b", metavar="NAME", help="Which backup. [default: the latest]")
]
CategoriesOption = Annotated[
    list[str] | None, typer.Option("--category", "-c", metavar="NAME", help="Only this one; again: more.")
]


@app.command()
def create(
    ctx: typer.Context,
    place: PlaceArgument = None,
    category: CategoriesOption = None,
    snapshots: Annotated[
        bool,
        typer.Option(
            "--snapshots",
            help="With a Qdrant server: its snapshot of each collection too, as large as the collection, so "
            "that a server of this version need not build the search index again.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Back up categories with images, vectors, taggers, runs, maps, bin, undo and saved searches, each as it
    is at one moment.

    Searches and writes go on meanwhile. What earlier backups in this place have is not written again. Exit 3:
    pictures or categories that are damaged could not be copied.
    """
    from vitrine.indexer.backup.create import create_backup
    from vitrine.indexer.backup.place import open_place

    with stores(ctx) as runtime:
        made = open_place(place, runtime.settings, runtime.objects, make=True)
        report = create_backup(
            runtime, made, categories=category or (), snapshots=snapshots, progress=show_progress()
        )
    _finish(report, as_json=as_json)


@app.command()
def restore(
    ctx: typer.Context,
    place: PlaceArgument = None,
    backup: BackupOption = None,
    category: CategoriesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make categories of a backup again, in a data folder or on servers where there are none of their names.

    This also moves them from the embedded engine to a server and back. A category is in service when all of
    it is there and right; run again, an interrupted restore goes on.
    """
    from vitrine.indexer.backup.place import SCHEME, open_place
    from vitrine.indexer.backup.restore import restore_backup

    settings = read_settings(ctx)
    if not (place or settings.backups).startswith(SCHEME):
        open_place(place, settings, make=False).read(backup)  # before a data folder is made
    with stores(ctx, make_data=True) as runtime:
        found = open_place(place, runtime.settings, runtime.objects, make=False)
        report = restore_backup(
            runtime, found, backup=backup, categories=category or (), progress=show_progress()
        )
    _finish(report, as_json=as_json)


@app.command("list")
def list_backups(ctx: typer.Context, place: PlaceArgument = None, as_json: JsonOption = False) -> None:
    """List the backups of a place, the latest last."""
    found = _place(ctx, place)
    listed = {name: _read(found, name) for name in found.names()}
    if as_json:
        print_json({"backups": [_row(name, backup) for name, backup in listed.items()]})
        return
    lines = []
    for name, backup in listed.items():
        if isinstance(backup, str):
            lines.append((name, backup, ""))
        else:
            images = ", ".join(f"{one.name} ({one.points:,})" for one in backup.categories)
            lines.append((name, images, backup.version))
    print_table(("backup", "categories (images)", "version"), lines)


@app.command()
def verify(
    ctx: typer.Context,
    place: PlaceArgument = None,
    backup: Annotated[
        str | None, typer.Option("--backup", "-b", metavar="NAME", help="Which backup. [default: all]")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Compare sizes of pictures and objects, and do not read them.")
    ] = False,
    remove_damaged: Annotated[
        bool,
        typer.Option(
            "--remove-damaged", help="Remove damaged files, so that the next backup copies them again."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read backups and compare every file with the hash that it is named by; exit 3 if something is
    damaged."""
    from vitrine.indexer.backup.verify import verify_backups

    report = verify_backups(
        _place(ctx, place),
        backup=backup,
        quick=quick,
        remove_damaged=remove_damaged,
        progress=show_progress(),
    )
    finish(report, as_json=as_json)


@app.command()
def prune(
    ctx: typer.Context,
    keep: Annotated[int, typer.Option("--keep", min=1, metavar="N", help="How many backups stay.")],
    place: PlaceArgument = None,
    as_json: JsonOption = False,
) -> None:
    """Delete all but the latest backups of a place, and what only they needed. Files younger than a day
    stay."""
    from vitrine.indexer.backup.verify import prune_backups

    finish(prune_backups(_place(ctx, place), keep=keep), as_json=as_json)


def _read(place: Place, name: str) -> Backup | str:
    """Return a backup, or why it cannot be read."""
    from vitrine.services.errors import StoreDamaged

    try:
        return place.read(name)
    except StoreDamaged as error:
        return error.message


def _row(name: str, backup: Backup | str) -> dict[str, object]:
    if isinstance(backup, str):
        return {"backup": name, "categories": {}, "version": None, "error": backup}
    images = {one.name: one.points for one in backup.categories}
    return {"backup": name, "categories": images, "version": backup.version, "error": None}


def _place(ctx: typer.Context, text: str | None) -> Place:
    from vitrine.indexer.backup.place import open_place

    return open_place(text, read_settings(ctx), make=False)


def _finish(report: BackupReport, *, as_json: bool) -> None:
    if report.error is not None:
        raise report.error
    finish(report, as_json=as_json)
