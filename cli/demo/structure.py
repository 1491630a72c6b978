"""What the demo finds in its catalogue by itself: a tree of clusters, and copies of pictures."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vitrine.cli.output import note, print_table, show_progress

if TYPE_CHECKING:
    from vitrine.services.artifacts.duplicates import DuplicateGroup, DuplicateRun
    from vitrine.services.domain import Hit
    from vitrine.services.runtime import Runtime
    from vitrine.services.search.cluster_nodes import NodeView

RUN = "look"
"""The name of the tree."""
_SHOWN_GROUPS, _SHOWN_UNPLANTED = 15, 3


def find_structure(
    runtime: Runtime, category: str, cluster_on: str, using: str, folder: Path, manifest: Path
) -> dict[str, Any]:
    """Return the clusters by the vector ``cluster_on`` and the copies by ``using``, for programs; None, with
    a note, for what needs the extra ``cluster`` where it is not installed."""
    from vitrine.services.errors import BadRequest

    found: dict[str, Any] = {"clusters": None, "duplicates": None}
    try:
        found["clusters"] = _find_tree(runtime, category, cluster_on, folder)
    except BadRequest as error:
        note(f"No clusters are made. {error.message}")
    try:
        found["duplicates"] = _find_duplicates(runtime, category, using, folder / "duplicates.png", manifest)
    except BadRequest as error:
        note(f"No duplicates are looked for. {error.message}")
    return found


def print_structure(found: dict[str, Any]) -> None:
    """Print what was found, in two paragraphs."""
    if tree := found["clusters"]:
        typer.secho(f"\nFound: a tree of clusters, {RUN!r}, on {tree['using']}", bold=True)
        rows = [(node["id"], node["images"], node["name"], _most_frequent(node)) for node in tree["nodes"]]
        print_table(("id", "images", "name", "most frequent class"), rows, right=("images",))
        typer.echo("Treemap: " + ", ".join(tree["treemaps"]))
    if duplicates := found["duplicates"]:
        typer.secho(f"\nFound: {duplicates['groups']} groups of near-duplicates", bold=True)
        typer.echo(_judged(duplicates))
        typer.echo(f"Contact sheet: {duplicates['sheet']}")


# Clusters
# ------------------------------------------------------------------------------------------------------------


def _find_tree(runtime: Runtime, category: str, using: str, folder: Path) -> dict[str, Any]:
    """Cluster unless the run there is of these very images on this very vector, and draw it."""
    from vitrine.indexer.enrich.clusters.options import TreeOptions
    from vitrine.indexer.enrich.clusters.runs import cluster, fit_tree
    from vitrine.indexer.export.clusters.treemap_files import write_treemap
    from vitrine.services.search.cluster_nodes import children

    fresh = not _is_clustered(runtime, category, using)
    if fresh:
        leaf_size = max(
            5, min(TreeOptions.leaf_size, runtime.searcher.count(category) // 24)
        )  # a small catalogue has two levels as well
        report = cluster(runtime, category, RUN, fit_tree(TreeOptions(leaf_size=leaf_size)), using=using)
        if report.exit_code:
            raise typer.Exit(report.exit_code)
        note(report.summary())
    run = runtime.clusters.get(category, RUN)
    paths = (folder / "treemap.svg", folder / "treemap.png")
    for path in paths:
        if fresh or not path.exists():
            write_treemap(runtime, category, run, path)
    found = children(runtime.searcher, runtime.clusters, category, RUN, "root", ["class"], values=1)
    nodes = [
        {"id": view.node.id, "images": view.count, "name": view.node.name, "class": _class(view)}
        for view in found.children
    ]
    return {
        "run": RUN,
        "using": run.using,
        "images": run.images,
        "nodes": nodes,
        "treemaps": [str(path) for path in paths],
        "fresh": fresh,
    }


def _is_clustered(runtime: Runtime, category: str, using: str) -> bool:
    spec = runtime.catalog.get(category).encoder(using)
    images = runtime.searcher.count(category)
    return any(
        (run.run, run.using, run.encoder_revision, run.images) == (RUN, spec.name, spec.revision, images)
        for run in runtime.clusters.in_service(category)
    )


def _class(view: NodeView) -> dict[str, Any] | None:
    facets = view.groupings["class"]
    return {"value": facets[0].value, "count": facets[0].count} if facets else None


def _most_frequent(node: dict[str, Any]) -> str:
    first = node["class"]
    return f"{first['value']} ({first['count'] / node['images']:.0%})" if first and node["images"] else ""


# Duplicates
# ------------------------------------------------------------------------------------------------------------


def _find_duplicates(
    runtime: Runtime, category: str, using: str, sheet: Path, manifest: Path
) -> dict[str, Any]:
    """Look for copies unless that was done for these very images, and compare with what the manifest says was
    planted.

    ``planted``: copies that the catalogue holds on purpose, of which ``found`` are in a group with their
    original. ``wrong``: groups with pictures that were drawn separately; ``redrawn``: how many of those
    groups show one design again and again.
    """
    from vitrine.indexer.enrich.duplicates.find import find_duplicates
    from vitrine.indexer.enrich.duplicates.options import DuplicateOptions

    run = runtime.duplicates.current(category)
    vector = runtime.catalog.get(category).encoder(using).name
    fresh = run is None or (run.using, run.images) != (vector, runtime.searcher.count(category))
    if run is None or fresh:
        report = find_duplicates(runtime, category, DuplicateOptions(using=using), progress=show_progress())
        if report.exit_code:
            raise typer.Exit(report.exit_code)
        note(report.summary())
        run = runtime.duplicates.get(category)
    judged = _Judged(runtime, category, run, manifest)
    if fresh or not sheet.exists():
        judged.draw(sheet)
    groups = judged.wrong
    redrawn = sum(
        len({judged.drawn(name)["design"] for name in judged.names_of(group)}) == 1 for group in groups
    )
    return {
        "groups": len(run.groups),
        "planted": judged.planted,
        "found": judged.found,
        "wrong": len(groups),
        "redrawn": redrawn,
        "sheet": str(sheet),
        "fresh": fresh,
    }


def _judged(found: dict[str, Any]) -> str:
    words = f"Of {found['planted']} planted copies {found['found']} are in a group with their original."
    if not found["wrong"]:
        return f"{words} No group holds pictures that were drawn apart."
    redrawn = f", {found['redrawn']} of them of one design" if found["redrawn"] else ""
    return f"{words} {found['wrong']} groups hold pictures that were drawn apart{redrawn}."


class _Judged:
    """A run of duplicates against the manifest."""

    def __init__(self, runtime: Runtime, category: str, run: DuplicateRun, manifest: Path) -> None:
        with manifest.open(encoding="utf-8", newline="") as file:
            self._rows: dict[str, dict[str, str]] = {row["path"]: row for row in csv.DictReader(file)}
        self._runtime = runtime
        self._category = category
        self._groups = run.groups
        ids = [id for group in run.groups for id in group.ids]
        self._hits: dict[str, Hit] = {}
        for start in range(0, len(ids), 500):
            hits = runtime.vectors.retrieve(category, ids[start : start + 500])
            self._hits |= {hit.id: hit for hit in hits if hit is not None}

    def drawn(self, name: str) -> Mapping[str, str]:
        """Return the manifest's row of a picture."""
        return self._rows.get(name, {"path": name, "duplicate_of": "", "design": name, "edit": ""})

    def names_of(self, group: DuplicateGroup) -> list[str]:
        """Return the paths of the images in the catalogue."""
        return [str(self._hits[id].payload.get("filename", "")) for id in group.ids if id in self._hits]

    @property
    def planted(self) -> int:
        return sum(bool(row["duplicate_of"]) for row in self._rows.values())

    @property
    def found(self) -> int:
        """Planted copies that are in a group with their original."""
        names = [set(self.names_of(group)) for group in self._groups]
        return sum(
            bool(self.drawn(name)["duplicate_of"]) and self.drawn(name)["duplicate_of"] in group
            for group in names
            for name in group
        )

    @property
    def wrong(self) -> list[DuplicateGroup]:
        """Groups with copies of more than one picture."""
        return [
            group
            for group in self._groups
            if len({self._original(name) for name in self.names_of(group)}) > 1
        ]

    def draw(self, path: Path) -> None:
        """Draw some groups as a sheet: the picture to keep, and a copy. Every kind of edit, and last some
        that were not planted."""
        from vitrine.indexer.export.sheets import TILE_SIZE, picture_of
        from vitrine.services.images.contact_sheet import Tile, write_sheet

        tiles = []
        for group, other in self._chosen():
            keep, copy = self._hits[group.keep], self._hits[other]
            member = next(member for member in group.members if member.id == other)
            apart = self._original(self._name(group.keep)) != self._original(self._name(other))
            edit = "" if apart else (self._edit(group.keep) or self._edit(other)).replace("_", " ")
            words = (
                f"{member.kind}, similarity {member.similarity:.2f}",
                f"planted: {edit}" if edit else "no copy: drawn apart",
            )
            tiles += [
                Tile(picture_of(self._runtime, keep), ("keep", _size(keep)), highlighted=True),
                Tile(picture_of(self._runtime, copy), (words[0], f"{words[1]}, {_size(copy)}")),
            ]
        title = (
            f"Near-duplicates: {self.found} of {self.planted} planted copies found, {len(self._groups)} "
            "groups"
        )
        write_sheet(path, tiles, columns=6, tile_size=TILE_SIZE, title=title)

    def _chosen(self) -> list[tuple[DuplicateGroup, str]]:
        """Return groups to show, and which copy of each."""
        wrong = {group.id for group in self.wrong}
        by_edit: defaultdict[str, list[tuple[DuplicateGroup, str]]] = defaultdict(list)
        apart: list[tuple[DuplicateGroup, str]] = []
        for group in self._groups:
            others = [id for id in group.others if id in self._hits]
            if not others or group.keep not in self._hits:
                continue
            if group.id in wrong:
                keep = self._original(self._name(group.keep))
                apart += [(group, id) for id in others if self._original(self._name(id)) != keep][:1]
            else:
                by_edit[self._edit(group.keep) or self._edit(others[0])].append((group, others[0]))
        rounds: Sequence[Any] = [by_edit[edit] for edit in sorted(by_edit)]
        planted = [one for one in chain.from_iterable(zip_longest(*rounds)) if one is not None]
        shown = planted[: _SHOWN_GROUPS - min(_SHOWN_UNPLANTED, len(apart))]
        return shown + apart[: _SHOWN_GROUPS - len(shown)][:_SHOWN_UNPLANTED]

    def _name(self, id: str) -> str:
        return str(self._hits[id].payload.get("filename", ""))

    def _edit(self, id: str) -> str:
        return self.drawn(self._name(id))["edit"]

    def _original(self, name: str) -> str:
        return self.drawn(name)["duplicate_of"] or name


def _size(hit: Hit) -> str:
    return f"{hit.payload.get('width')} x {hit.payload.get('height')}"
