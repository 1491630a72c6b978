"""``vitrine duplicates``: find copies of the same picture, look at them, keep one of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrine.cli.context import stores
from vitrine.cli.options import CategoryOption, JsonOption, LimitOption, YesOption
from vitrine.cli.output import confirmed, note, print_json, print_table
from vitrine.indexer.export.sheets import check_sheet_path, hit_captions, save_sheet
from vitrine.services.files import unwritable

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
def find(
    ctx: typer.Context,
    category: CategoryOption,
    using: Annotated[
        str | None, typer.Option("--using", metavar="ENCODER", help="Whose neighbours are looked at.")
    ] = None,
    band: Annotated[
        int, typer.Option("--band", min=0, max=15, help="Bits in which perceptual hashes may differ.")
    ] = 8,
    similarity: Annotated[
        float, typer.Option("--similarity", min=0, max=1, help="Least similarity of embeddings.")
    ] = 0.8,
    neighbours: Annotated[
        int, typer.Option("--neighbours", min=1, max=1000, help="Nearest looked at of each image.")
    ] = 16,
    flips: Annotated[bool, typer.Option("--flips", help="Mirrored and turned copies as well.")] = False,
    look: Annotated[
        bool, typer.Option("--look/--no-look", help="Judge by the pictures, or by stored numbers alone.")
    ] = True,
    prefer: Annotated[
        list[str] | None,
        typer.Option(
            "--prefer",
            metavar="WHAT",
            help="Keep by resolution, format, bytes or metadata; again: then by that.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; print the groups.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find near-duplicates and put their groups in service, in place of those found before. Ctrl-C changes
    nothing."""
    from vitrine.indexer.enrich.duplicates.candidates import Reach
    from vitrine.indexer.enrich.duplicates.find import Search, find_duplicates
    from vitrine.indexer.enrich.duplicates.keep import check_policy
    from vitrine.indexer.job.progress import make_progress

    search = Search(
        using, Reach(band, similarity, neighbours, flips), policy=check_policy(prefer or []), look=look
    )
    with stores(ctx) as runtime:
        report = find_duplicates(runtime, category, search, dry_run=dry_run, progress=make_progress())
        names = _names(runtime, category, report.groups) if dry_run and not as_json else {}
    if as_json:
        print_json(
            report.to_json() | ({"found": [group_json(group) for group in report.groups]} if dry_run else {})
        )
    else:
        if dry_run:
            _print_groups(report.groups, names)
        typer.echo(report.summary())
    if report.exit_code:
        raise typer.Exit(report.exit_code)


@app.command("list")
def list_groups(
    ctx: typer.Context, category: CategoryOption, limit: LimitOption = 50, as_json: JsonOption = False
) -> None:
    """List the groups, largest first, with the image that each would keep."""
    with stores(ctx) as runtime:
        run = runtime.duplicates.get(category)
        shown = run.groups[:limit]
        names = {} if as_json else _names(runtime, category, shown)
    if as_json:
        groups = [group_json(group) for group in shown]
        print_json(
            {
                "category": category,
                "run": run.key,
                "created_at": run.created_at,
                "count": len(run.groups),
                "groups": groups,
            }
        )
        return
    _print_groups(shown, names)
    note(f"{len(shown)} of {len(run.groups)} groups.")


@app.command()
def show(
    ctx: typer.Context,
    group: GroupArgument,
    category: CategoryOption,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", metavar="FILE.png", help="Draw the group as a contact sheet.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the images of a group: the one to keep, and what the others are to it."""
    if sheet is not None:
        check_sheet_path(sheet)
    with stores(ctx) as runtime:
        found = runtime.duplicates.get(category).group(group)
        hits = {hit.id: hit for hit in runtime.vectors.retrieve(category, found.ids) if hit is not None}
        if sheet is not None:
            words = {
                member.id: f"{member.kind} {member.turn}  {member.similarity:.2f}" for member in found.members
            }
            drawn = [hits[id] for id in found.ids if id in hits]
            save_sheet(
                runtime,
                sheet,
                [],
                drawn,
                title=f"{category}: {group}",
                captions=lambda hit: _captions(words, hit),
            )
    if as_json:
        print_json(group_json(found) | {"payloads": {id: hit.payload for id, hit in hits.items()}})
        return
    words = {m.id: " ".join(filter(None, (m.kind, m.turn, m.of and f"of {m.of}"))) for m in found.members}
    rows = [(m.id, words[m.id], m.similarity, *_about(hits.get(m.id))) for m in found.members]
    print_table(
        ("id", "verdict", "similarity", "size", "bytes", "filename"), rows, right=("similarity", "bytes")
    )
    if sheet is not None:
        note(f"Contact sheet: {sheet}")


@app.command()
def keep(
    ctx: typer.Context,
    group: GroupArgument,
    id: Annotated[str, typer.Argument(metavar="ID", help="The image to keep.")],
    category: CategoryOption,
    as_json: JsonOption = False,
) -> None:
    """Choose which image of a group is kept; later searches heed it."""
    from vitrine.indexer.enrich.duplicates.changes import keep as choose

    with stores(ctx) as runtime:
        chosen = choose(runtime, category, group, id)
    if as_json:
        print_json(group_json(chosen))
    else:
        note(f"Group {group} keeps {id}.")


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

    with stores(ctx) as runtime:
        pairs = forget(runtime, category, group, ids or ())
    if as_json:
        print_json({"category": category, "group": group, "pairs": pairs})
    else:
        note(f"{pairs} {'pair' if pairs == 1 else 'pairs'} dismissed.")


@app.command()
def export(
    ctx: typer.Context,
    category: CategoryOption,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="A .json or .csv file.")],
) -> None:
    """Write all groups to a file: JSON, or CSV with a line an image."""
    import csv
    import json

    from vitrine.services.errors import BadRequest

    if out.suffix not in (".json", ".csv"):
        raise BadRequest(f"{out} is neither .json nor .csv.")
    with stores(ctx) as runtime:
        run = runtime.duplicates.get(category)
        names = _names(runtime, category, run.groups, all_members=True)
    try:
        if out.suffix == ".json":
            tree = {
                "category": category,
                "run": run.key,
                "groups": [group_json(group) for group in run.groups],
            }
            out.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
        else:
            with out.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["group", "id", "verdict", "similarity", "turn", "filename"])
                for group in run.groups:
                    writer.writerows(
                        [group.id, m.id, m.kind, m.similarity, m.turn, names.get(m.id)] for m in group.members
                    )
    except OSError as error:
        raise unwritable(out, error) from error
    note(f"{len(run.groups)} groups written to {out}.")


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
    """Delete what is another image saved again or resized: the points, then the files. Asks first.

    Versions of an image (edited, cropped, a form filled otherwise) stay unless --kind edited names them, and
    so does whatever has more pixels or colours than the one that is kept. What people said of an image goes
    to that one first: tags, and class, caption and columns of metadata that it lacks.
    """
    from vitrine.indexer.enrich.duplicates.changes import Deleted, deletable
    from vitrine.indexer.enrich.duplicates.changes import delete as remove

    with stores(ctx) as runtime:
        found = deletable(runtime, category, groups or (), kind or ())
        takes = found.takes
        count = sum(map(len, takes.values()))
        done = Deleted()
        if not dry_run and count:
            if not confirmed(
                f"Delete {count} images of {len(takes)} groups from {category!r} for good?", yes
            ):
                raise typer.Exit(1)
            done = remove(runtime, category, takes, merge=merge)
            runtime.catalog.set_images(category, runtime.searcher.count(category))
    if as_json:
        counts = {
            "images": count,
            "deleted": done.images,
            "merged": done.merged,
            "richer": list(found.richer),
        }
        print_json({"category": category, "dry_run": dry_run, "groups": takes, **counts})
    elif dry_run:
        print_table(("group", "id"), [(group, id) for group, ids in takes.items() for id in ids])
        note(f"{count} images of {len(takes)} groups would be deleted.")
    else:
        note(f"Deleted {done.images} images; {done.merged} of those kept got what was said of others.")
    if found.richer and not as_json:
        note(
            f"{len(found.richer)} images stay: they have more pixels than the one that is kept, or "
            "colours that it lacks."
        )


def group_json(group: DuplicateGroup) -> dict[str, Any]:
    """A group as ``--json`` prints it."""
    members = [
        {
            "id": m.id,
            "verdict": m.kind,
            "of": group.original_of(m),
            "similarity": m.similarity,
            "turn": m.turn,
        }
        for m in group.members
    ]
    return {"id": group.id, "keep": group.keep, "chosen": group.chosen, "members": members}


def _print_groups(groups: tuple[DuplicateGroup, ...], names: dict[str, str]) -> None:
    rows = [
        (g.id, len(g.members), sorted({m.kind for m in g.members[1:]}), g.keep, names.get(g.keep))
        for g in groups
    ]
    print_table(("group", "images", "verdicts", "keep", "filename"), rows, right=("images",))


def _names(
    runtime: Runtime, category: str, groups: tuple[DuplicateGroup, ...], *, all_members: bool = False
) -> dict[str, str]:
    ids = [id for group in groups for id in (group.ids if all_members else [group.keep])]
    hits = [
        hit
        for start in range(0, len(ids), 500)
        for hit in runtime.vectors.retrieve(category, ids[start : start + 500], with_payload=("filename",))
    ]
    return {hit.id: str(hit.payload.get("filename", "")) for hit in hits if hit is not None}


def _about(hit: Hit | None) -> tuple[object, ...]:
    if hit is None:
        return ("gone", None, None)
    payload = hit.payload
    return (
        f"{payload.get('width')} x {payload.get('height')}",
        payload.get("bytes"),
        payload.get("filename"),
    )


def _captions(words: dict[str, str], hit: Hit) -> tuple[str, ...]:
    return (words[hit.id], hit_captions(hit)[0], str(hit.payload.get("filename", "")))
