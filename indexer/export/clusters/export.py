"""A cluster run as a file, as a picture, as contact sheets, or its images in a folder for each cluster."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrine.indexer.export.clusters.folders import ByCluster, Claim
from vitrine.indexer.export.clusters.node_pictures import node_counts
from vitrine.indexer.export.clusters.node_sheets import SheetsReport, write_sheets
from vitrine.indexer.export.clusters.options import LEVELS, PER_NODE, RunExportOptions
from vitrine.indexer.export.clusters.treemap_files import TreemapReport, write_treemap
from vitrine.indexer.export.common import ExportReport
from vitrine.indexer.export.folders import check_target, export_folders
from vitrine.indexer.export.move import Mover
from vitrine.indexer.job.job import Report
from vitrine.indexer.job.progress import Progress, StageByStage
from vitrine.services.artifacts.clusters import ClusterRun
from vitrine.services.category.filters import Conditions
from vitrine.services.files import writing
from vitrine.services.runtime import Runtime

_COLUMNS = ("id", "parent", "depth", "count", "count_at_run", "radius", "name", "medoid", "representatives")


@dataclass
class NodesReport(Report):
    """A file of nodes that was written."""

    category: str
    run: str
    target: str
    nodes: int

    def summary(self) -> str:
        return f"{self.nodes} nodes written to {self.target}."


RunExport = NodesReport | TreemapReport | SheetsReport | ExportReport


def export_run(
    runtime: Runtime,
    category: str,
    run: str,
    to: str,
    options: RunExportOptions,
    *,
    conditions: Conditions | None = None,
    before_move: Callable[[int], None] = lambda images: None,
    progress: Progress | None = None,
) -> RunExport:
    """Write a run to a file or a folder, see `RunExportOptions.kind` for what ``to`` asks for.

    ``before_move`` is called with the most images that may leave the category; what it raises ends the export
    before anything is written. ``NotFound`` (category, run), ``BadRequest``, ``StorageFull``.
    """
    conditions = conditions or Conditions()
    kind, target = options.kind(to, filtered=conditions != Conditions()), Path(to)
    runtime.catalog.get(category)
    found = runtime.clusters.get(category, run)
    if kind == "folders":
        return _export_folders(runtime, category, found, target, options, conditions, before_move, progress)
    if kind == "file":
        write_nodes(found, node_counts(runtime, category, found, conditions), target)
        return NodesReport(category, run, to, len(found.nodes))
    shown = StageByStage(progress)
    levels = options.levels or LEVELS

    def tell(done: int, total: int) -> None:
        shown("drawing", done, total)

    try:
        if kind == "treemap":
            return write_treemap(
                runtime,
                category,
                found,
                target,
                levels=levels,
                size=options.pixels,
                conditions=conditions,
                tell=tell,
            )
        return write_sheets(
            runtime,
            category,
            found,
            target,
            levels=levels,
            per_node=options.per_node or PER_NODE,
            conditions=conditions,
            tell=tell,
        )
    finally:
        shown.close()


def _export_folders(
    runtime: Runtime,
    category: str,
    run: ClusterRun,
    target: Path,
    options: RunExportOptions,
    conditions: Conditions,
    before_move: Callable[[int], None],
    progress: Progress | None,
) -> ExportReport:
    by, mover = ByCluster(run, options.depth, target), None
    claim = Claim.of(category, by)
    check_target(runtime, target)
    claim.check(target)
    if options.move:
        before_move(runtime.searcher.count(category, conditions))
        mover = Mover(runtime, category, target)
        mover.complete()
    claim.put(target)
    report = export_folders(
        runtime,
        category,
        target,
        by,
        conditions=conditions,
        mode=options.mode or "copy",
        placed=mover,
        progress=progress,
    )
    if mover is not None:  # also where Ctrl-C came before the last page was counted
        report.moved = mover.moved
    if report.error is not None:
        raise report.error
    return report


def write_nodes(run: ClusterRun, counts: Mapping[str, int], path: Path) -> None:
    """Write the nodes with their ``counts`` of images as they are now: .json nests them, .csv has one a
    line."""
    with writing(path):
        if path.suffix.lower() == ".json":
            tree = _as_tree(run, counts, "root")
            path.write_text(json.dumps(tree, ensure_ascii=False, indent=1), encoding="utf-8")
            return
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, _COLUMNS)
            writer.writeheader()
            for node in run.nodes.values():
                row = {
                    **vars(node),
                    "parent": node.parent or "",
                    "count": counts[node.id],
                    "count_at_run": node.count,
                    "representatives": "|".join(node.representatives),
                }
                writer.writerow({name: row[name] for name in _COLUMNS})


def _as_tree(run: ClusterRun, counts: Mapping[str, int], id: str) -> dict[str, Any]:
    """Return a node as JSON, with the nodes below it in ``children``."""
    node = run.node(id)
    return {
        "id": id,
        "name": node.name,
        "count": counts[id],
        "count_at_run": node.count,
        "radius": node.radius,
        "medoid": node.medoid,
        "representatives": list(node.representatives),
        "children": [_as_tree(run, counts, child) for child in node.children],
    }
