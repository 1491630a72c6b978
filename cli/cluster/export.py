"""``vitrine cluster export``: a run as a file, as a picture, as contact sheets, or its images in a folder for
each cluster."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vitrine.cli.cluster.show import RunArgument
from vitrine.cli.context import stores
from vitrine.cli.options import (
    AnyTagOption,
    CategoryOption,
    ClassOption,
    JsonOption,
    NotTagOption,
    QualityOption,
    ScoreOption,
    TagOption,
    WhereOption,
    YesOption,
    to_conditions,
)
from vitrine.cli.output import confirmed, note, print_json, telling
from vitrine.services.errors import BadRequest
from vitrine.services.files import make_folder, unwritable

if TYPE_CHECKING:
    from vitrine.indexer.export.common import ExportReport
    from vitrine.services.artifacts.clusters import ClusterRun
    from vitrine.services.category.filters import Conditions
    from vitrine.services.runtime import Runtime

Kind = Literal["file", "treemap", "sheets", "folders"]
_FILES, _TREEMAPS = (".json", ".csv"), (".svg", ".png")
_PICTURES, _FOLDERS = "Options of treemap and sheets", "Options of folders"
_TAKES: dict[Kind, tuple[str, ...]] = {
    "file": (),
    "treemap": ("levels", "size", "filters"),
    "sheets": ("levels", "per-node", "filters"),
    "folders": ("mode", "move", "depth", "filters"),
}
_CALLED: dict[Kind, str] = {
    "file": "a file of nodes",
    "treemap": "a treemap",
    "sheets": "sheets",
    "folders": "folders",
}


@dataclass(frozen=True)
class _Asked:
    """The options that are not for all kinds; None: not given."""

    levels: int | None
    size: str | None
    per_node: int | None
    mode: Literal["copy", "hardlink", "symlink"] | None
    move: bool
    depth: int | None
    conditions: Conditions

    def given(self) -> list[str]:
        from vitrine.services.category.filters import Conditions

        values = {"levels": self.levels, "size": self.size, "per-node": self.per_node, "mode": self.mode,
                  "move": self.move or None, "depth": self.depth}  # fmt: skip
        filters = ["filters"] if self.conditions != Conditions() else []
        return [name for name, value in values.items() if value is not None] + filters


def export(
    ctx: typer.Context,
    name: RunArgument,
    category: CategoryOption,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="TARGET",
            help="A file of nodes (.json nests them, .csv has one a line), a treemap (.svg, .png), or a "
            "folder.",
        ),
    ],
    sheets: Annotated[
        bool,
        typer.Option("--sheets", help="Contact sheets and a page that leads to them, instead of the images."),
    ] = False,
    levels: Annotated[
        int | None,
        typer.Option(
            "--levels", min=1, help="Levels below the root. [default: 2]", rich_help_panel=_PICTURES
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="WxH",
            help="Pixels of the treemap. [default: 1600x1000]",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    per_node: Annotated[
        int | None,
        typer.Option(
            "--per-node",
            min=1,
            max=500,
            help="Images of a node on its sheet. [default: 24]",
            rich_help_panel=_PICTURES,
        ),
    ] = None,
    mode: Annotated[
        Literal["copy", "hardlink", "symlink"] | None,
        typer.Option(
            "--mode",
            help="Links cost no space, but whoever edits one changes the stored file. [default: copy]",
            rich_help_panel=_FOLDERS,
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            min=1,
            help="Folders within folders. [default: as deep as the run]",
            rich_help_panel=_FOLDERS,
        ),
    ] = None,
    move: Annotated[
        bool,
        typer.Option(
            "--move",
            help="Take the images out of Vitrine once they lie in the folders.",
            rich_help_panel=_FOLDERS,
        ),
    ] = False,
    yes: YesOption = False,
    tag: TagOption = None,
    any_tag: AnyTagOption = None,
    not_tag: NotTagOption = None,
    class_: ClassOption = None,
    score: ScoreOption = None,
    quality: QualityOption = None,
    where: WhereOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a run to a file or a folder; what it becomes is told by the ending of --to.

    A treemap shows every node as large as it has images, with some of these in it. A folder gets the images,
    each in that of its node, such as "root-14 red mugs/root-14-3 ..."; again: only what is new, and no file
    there is written over. A folder takes one version of one run.
    """
    conditions = to_conditions(tag, any_tag, not_tag, class_, score, quality, where)
    asked = _Asked(levels, size, per_node, mode, move, depth, conditions)
    kind = _kind(to, sheets=sheets)
    _check(kind, asked)
    target = Path(to)
    with stores(ctx) as runtime:
        runtime.catalog.get(category)
        run = runtime.clusters.get(category, name)
        if kind == "folders":
            report, moved = _export_folders(runtime, category, run, target, asked, yes=yes)
            tree, code = report.to_json() | {"run": run.run, "moved": moved}, report.exit_code
            told = _told_folders(report, moved)
        else:
            work = {"file": _export_file, "treemap": _export_treemap, "sheets": _export_sheets}[kind]
            (tree, told), code = work(runtime, category, run, target, asked), 0
    if as_json:
        print_json({"kind": kind, **tree})
    else:
        told()
    if code:
        raise typer.Exit(code)


def _kind(to: str, *, sheets: bool) -> Kind:
    """What ``to`` asks for. A folder is one that is there, one with ``/`` behind, or a name without an
    ending."""
    ending = Path(to).suffix.lower()
    if Path(to).is_dir() or to.endswith("/") or not ending:
        return "sheets" if sheets else "folders"
    if ending not in (*_FILES, *_TREEMAPS):
        known = ", ".join((*_FILES, *_TREEMAPS))
        raise BadRequest(f"{to} ends in none of {known}: choose one of these, or write {to}/ for a folder.")
    if sheets:
        raise BadRequest(f"--sheets makes several files, and {to} is one: give --to a folder.")
    return "file" if ending in _FILES else "treemap"


def _check(kind: Kind, asked: _Asked) -> None:
    """``BadRequest`` for options that contradict what is asked for."""
    for option in asked.given():
        if option in _TAKES[kind]:
            continue
        takers = " or ".join(_CALLED[other] for other, options in _TAKES.items() if option in options)
        named = "filters such as --tag" if option == "filters" else f"--{option}"
        advice = {"levels": " For folders say --depth.", "depth": " Here say --levels."}.get(option, "")
        raise BadRequest(
            f"{_CALLED[kind].capitalize()} cannot heed {named}, which is for {takers}: leave it out.{advice}"
        )
    if asked.move and asked.mode in ("hardlink", "symlink"):
        raise BadRequest(
            f"--move takes the stored files away, so links to them are no use: leave out --mode {asked.mode}."
        )


def _export_folders(
    runtime: Runtime, category: str, run: ClusterRun, target: Path, asked: _Asked, *, yes: bool
) -> tuple[ExportReport, int]:
    """The report, and how many images left Vitrine."""
    from vitrine.indexer.export.clusters.folders import ByCluster, Claim
    from vitrine.indexer.export.folders import check_target, export_folders
    from vitrine.indexer.export.move import Mover
    from vitrine.indexer.job.progress import make_progress

    by, mover = ByCluster(run, asked.depth, target), None
    claim = Claim.of(category, by)
    check_target(runtime, target)
    claim.check(target)
    if asked.move:
        _ask(runtime, category, run, target, asked, yes)
        mover = Mover(runtime, category, target)
        mover.complete()
    claim.put(target)
    report = export_folders(
        runtime, category, target, by, conditions=asked.conditions, mode=asked.mode or "copy", placed=mover,
        progress=make_progress(),
    )  # fmt: skip
    if mover is not None:  # also where Ctrl-C came before the last page was counted
        runtime.catalog.set_images(category, runtime.searcher.count(category))
    if report.error is not None:
        raise report.error
    return report, mover.moved if mover else 0


def _ask(runtime: Runtime, category: str, run: ClusterRun, target: Path, asked: _Asked, yes: bool) -> None:
    """Leave unless the person agrees that images go."""
    from vitrine.services.category.filters import Conditions

    count = runtime.searcher.count(category, asked.conditions if asked.conditions != Conditions() else None)
    question = (
        f"Move up to {count} images of {category!r} to {target}? They leave Vitrine, with their tags, "
        "scores and vectors."
    )
    if not confirmed(question, yes):
        raise typer.Exit(1)


def _told_folders(report: ExportReport, moved: int) -> Callable[[], None]:
    left = f"\n{moved} image{'s' if moved > 1 else ''} left Vitrine." if moved else ""
    return lambda: typer.echo(report.summary() + left)


def _export_file(
    runtime: Runtime, category: str, run: ClusterRun, target: Path, asked: _Asked
) -> tuple[dict[str, Any], Callable[[], None]]:
    from vitrine.indexer.export.clusters.node_pictures import node_counts

    counts = node_counts(runtime, category, run, asked.conditions)
    csv_wanted = target.suffix.lower() == ".csv"
    text = (
        _as_csv(run, counts)
        if csv_wanted
        else json.dumps(_as_tree(run, counts), ensure_ascii=False, indent=1)
    )
    try:
        make_folder(target.parent)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable(target, error) from error
    tree = {"category": category, "run": run.run, "target": str(target), "nodes": len(run.nodes)}
    return tree, lambda: note(f"{len(run.nodes)} nodes written to {target}.")


def _export_treemap(
    runtime: Runtime, category: str, run: ClusterRun, target: Path, asked: _Asked
) -> tuple[dict[str, Any], Callable[[], None]]:
    from vitrine.indexer.export.clusters.treemap_files import LEVELS, write_treemap

    with telling() as tell:
        report = write_treemap(
            runtime,
            category,
            run,
            target,
            levels=asked.levels or LEVELS,
            size=_size(asked.size),
            conditions=asked.conditions,
            tell=partial(tell, "drawing"),
        )
    words = f"{report.boxes} nodes of {report.images} images drawn with {report.pictures} pictures: {target}"
    return report.to_json(), lambda: note(words + _missing(report.missing))


def _export_sheets(
    runtime: Runtime, category: str, run: ClusterRun, target: Path, asked: _Asked
) -> tuple[dict[str, Any], Callable[[], None]]:
    from vitrine.indexer.export.clusters.node_sheets import PER_NODE, write_sheets
    from vitrine.indexer.export.clusters.treemap_files import LEVELS

    with telling() as tell:
        report = write_sheets(
            runtime,
            category,
            run,
            target,
            levels=asked.levels or LEVELS,
            per_node=asked.per_node or PER_NODE,
            conditions=asked.conditions,
            tell=partial(tell, "drawing"),
        )
    words = (
        f"{len(report.sheets)} sheets of {report.nodes} nodes with {report.pictures} pictures. Begin at "
        f"{report.index}"
    )
    return report.to_json(), lambda: note(words + _missing(report.missing))


def _missing(count: int) -> str:
    return f"\n{count} pictures could not be read." if count else ""


def _size(text: str | None) -> tuple[int, int]:
    from vitrine.indexer.export.clusters.treemap_files import HEIGHT, WIDTH

    if text is None:
        return WIDTH, HEIGHT
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()) or len(text) > 20:
        raise BadRequest(f"--size takes WIDTHxHEIGHT in pixels, such as 1600x1000, not {text!r}.")
    return int(width), int(height)


def _as_tree(run: ClusterRun, counts: Mapping[str, int], id: str = "root") -> dict[str, Any]:
    """A node with those below it in ``children``. ``counts``: images as they are now."""
    node = run.node(id)
    below = [_as_tree(run, counts, child) for child in node.children]
    return {
        "id": id,
        "name": node.name,
        "count": counts[id],
        "count_at_run": node.count,
        "radius": node.radius,
        "medoid": node.medoid,
        "representatives": list(node.representatives),
        "children": below,
    }


def _as_csv(run: ClusterRun, counts: Mapping[str, int]) -> str:
    columns = (
        "id",
        "parent",
        "depth",
        "count",
        "count_at_run",
        "radius",
        "name",
        "medoid",
        "representatives",
    )
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    for node in run.nodes.values():
        told = {"count": counts[node.id], "count_at_run": node.count, "parent": node.parent or ""}
        values = vars(node) | told | {"representatives": "|".join(node.representatives)}
        writer.writerow([values[name] for name in columns])
    return file.getvalue()
