"""Pictures of a grid and of a dendrogram. matplotlib is loaded when something is drawn, and never a window
system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitrine.indexer.enrich.clusters.tree.dendrogram import Merges
from vitrine.indexer.export.clusters.dendrogram_export import drawing_order, write_json
from vitrine.indexer.job.optional import load
from vitrine.services.files import PLOTS, check_ending, writing
from vitrine.services.values.words import as_label

TOP = 30
"""Clusters at the bottom of a drawn dendrogram."""
_COLOURS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#475569")
_LINE, _GRID = "#475569", "#e4e4e7"
_PANELS = {
    "silhouette": "silhouette (higher is better)",
    "calinski_harabasz": "Calinski-Harabasz (higher is better)",
    "davies_bouldin": "Davies-Bouldin (lower is better)",
}


def draw_grid(grid: Mapping[str, Any], path: Path) -> Path:
    """Draw the three scores of every fit of a grid (`GridResult.to_json`), by its number in the table; the
    chosen fit is ringed. PNG, SVG or PDF, by the ending."""
    figure = load("matplotlib.figure", "matplotlib").Figure(figsize=(15, 4), layout="constrained")
    rows = grid["rows"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for number, (name, title) in enumerate(_PANELS.items(), 1):
        axes = figure.add_subplot(1, 3, number)
        scored = [row for row in rows if row[name] is not None]
        for method, colour in zip(methods, _COLOURS, strict=False):
            of_it = [row for row in scored if row["method"] == method]
            noisy = [row for row in of_it if row["remark"]]
            for some, line, fill, label in ((of_it, "o-", colour, method), (noisy, "o", "white", None)):
                numbers, values = [row["number"] for row in some], [row[name] for row in some]
                axes.plot(numbers, values, line, color=colour, mfc=fill, markersize=4, label=label)
        best = [row[name] for row in scored if row["number"] == grid["best"]]
        axes.plot([grid["best"]] * len(best), best, "o", markersize=12, markerfacecolor="none", color=_LINE)
        any_noisy = any(row["remark"] for row in scored)
        _style(axes, title, "fit (hollow: more than half is noise)" if any_noisy else "fit")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color=_GRID)
    if len(methods) > 1:
        axes.legend(frameon=False, fontsize=8)
    return _saved(figure, path)


def write_dendrogram(merges: Merges, path: Path, names: Sequence[str], top: int | None = None) -> None:
    """Write a dendrogram as nested JSON, or draw its top, by the ending of ``path``. ``top``: only the merges
    above so many clusters. ``BadRequest`` for another ending, or a file that cannot be written."""
    if path.suffix.lower() != ".json":
        draw_dendrogram(merges, path, names=names, top=top or TOP)
        return
    with writing(path), path.open("w", encoding="utf-8") as file:
        write_json(merges, names, file, clusters=min(top, merges.images) if top else None)


def draw_dendrogram(
    merges: Merges, path: Path, *, names: Sequence[str] | None = None, top: int = TOP
) -> Path:
    """Draw the last ``top`` - 1 merges. At the bottom: clusters with their count of images; single
    ones by their name."""
    top = max(2, min(top, merges.images))
    order = drawing_order(merges, merges.tops(top))
    n = merges.images
    places = {cluster: (float(at), 0.0) for at, cluster in enumerate(order)}
    figure = load("matplotlib.figure", "matplotlib").Figure(
        figsize=(max(6.0, 0.36 * top), 5), layout="constrained"
    )
    axes = figure.add_subplot()
    for step in range(n - top, n - 1):
        (left, low), (right, other) = (places[int(child)] for child in merges.children[step])
        height = float(merges.distances[step])
        axes.plot([left, left, right, right], [low, height, height, other], color=_LINE, linewidth=1)
        places[n + step] = ((left + right) / 2, height)
    labels = [
        as_label(names[one]) if names is not None and one < n else f"{merges.count(one):,}" for one in order
    ]
    axes.set_xticks(range(len(order)), labels, rotation=90, fontsize=8)
    axes.set_ylim(bottom=0)
    _style(axes, f"the last {top - 1} merges of {n:,} images", "images of the cluster")
    axes.set_ylabel("distance")
    return _saved(figure, path)


def _saved(figure: Any, path: Path) -> Path:
    check_ending(path, "a plot", PLOTS)
    with writing(path):
        figure.savefig(path, dpi=120)
    return path


def _style(axes: Any, title: str, below: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(below)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
