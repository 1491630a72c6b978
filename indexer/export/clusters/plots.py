"""Pictures of a grid and of a dendrogram. matplotlib is loaded when something is drawn, and never a window
system."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from vitrine.indexer.enrich.clusters.flat.grid import GridResult
from vitrine.indexer.enrich.clusters.tree.dendrogram import Merges
from vitrine.indexer.export.clusters.dendrogram_export import drawing_order
from vitrine.indexer.job.optional import load
from vitrine.services.errors import BadRequest
from vitrine.services.files import make_folder, unwritable
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


def draw_grid(result: GridResult, path: Path) -> Path:
    """A picture (PNG, SVG, by the name) of the three scores of every fit, by its number in the table; the
    chosen is ringed."""
    figure = load("matplotlib.figure", "matplotlib").Figure(figsize=(15, 4), layout="constrained")
    methods = list(dict.fromkeys(row.method for row in result.rows))
    any_noisy = any(row.scores.defined and row.remark for row in result.rows)
    for number, (name, title) in enumerate(_PANELS.items(), 1):
        axes = figure.add_subplot(1, 3, number)
        for method, colour in zip(methods, _COLOURS, strict=False):
            points = [
                (at + 1, value)
                for at, value in enumerate(_values(result, name))
                if result.rows[at].method == method
            ]
            told = [(at, value) for at, value in points if value is not None]
            axes.plot(
                [at for at, _ in told],
                [value for _, value in told],
                "o-",
                color=colour,
                label=method,
                markersize=4,
            )
            noisy = [(at, value) for at, value in told if result.rows[at - 1].remark]
            axes.plot(
                [at for at, _ in noisy],
                [value for _, value in noisy],
                "o",
                color=colour,
                mfc="white",
                markersize=4,
            )
        if result.best is not None and (chosen := _values(result, name)[result.best]) is not None:
            axes.plot([result.best + 1], [chosen], "o", markersize=12, markerfacecolor="none", color=_LINE)
        _style(axes, title, "fit (hollow: more than half is noise)" if any_noisy else "fit")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(color=_GRID)
    if len(methods) > 1:
        axes.legend(frameon=False, fontsize=8)
    return _saved(figure, path)


def draw_dendrogram(
    merges: Merges, path: Path, *, names: Sequence[str] | None = None, top: int = TOP
) -> Path:
    """A picture of the last ``top`` - 1 merges. At the bottom: clusters with their count of images; single
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
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in formats:
        raise BadRequest(f"{path} cannot be a plot: let its name end in .png, .svg or .pdf.")
    try:
        make_folder(path.parent)
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def _values(result: GridResult, name: str) -> list[float | None]:
    found = [getattr(row.scores, name) for row in result.rows]
    return [value if value is not None and isfinite(value) else None for value in found]


def _style(axes: Any, title: str, below: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(below)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
