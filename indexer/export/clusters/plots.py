"""Plots of a grid, a dendrogram and a threshold. matplotlib is loaded when something is drawn, and never a
window system."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from vitrine.indexer.enrich.clusters.threshold.threshold import Judged, Proposal
from vitrine.indexer.enrich.clusters.tree.dendrogram import Merges
from vitrine.services.extras import load_extra
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
    figure = load_extra("matplotlib.figure", "cluster").Figure(figsize=(15, 4), layout="constrained")
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


def write_json(merges: Merges, names: Sequence[str], out: TextIO, *, clusters: int | None = None) -> None:
    """Write the whole tree as nested JSON {name, distance, count, children}, images by their ``names`` (n,);
    or its top alone, with ``clusters`` leaves. However deep the merges go, nothing recurses.

    A cluster is named ``cluster-<number>``; numbers rise with the distance. Chains of merges nest as deep as
    there are images, and many JSON readers stop at some 1,000 levels: ``clusters`` keeps it shallow.
    """
    n = merges.images
    leaves = set(merges.tops(clusters)) if clusters is not None else set()
    todo: list[int | str] = [2 * n - 2]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            out.write(item)
            continue
        distance = 0.0 if item < n else float(merges.distances[item - n])
        name = names[item] if item < n else f"cluster-{item - n}"
        head = {"name": name, "distance": round(distance, 6), "count": merges.count(item)}
        out.write(json.dumps(head, ensure_ascii=False)[:-1] + ', "children": [')
        todo.append("]}")
        if item >= n and item not in leaves:
            left, right = (int(child) for child in merges.children[item - n])
            todo += [right, ", ", left]


def draw_dendrogram(
    merges: Merges, path: Path, *, names: Sequence[str] | None = None, top: int = TOP
) -> Path:
    """Draw the last ``top`` - 1 merges. At the bottom: clusters with their count of images; single
    ones by their name."""
    top = max(2, min(top, merges.images))
    order, n = _drawing_order(merges, merges.tops(top)), merges.images
    places = {cluster: (float(at), 0.0) for at, cluster in enumerate(order)}
    figure = load_extra("matplotlib.figure", "cluster").Figure(
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


def _drawing_order(merges: Merges, tops: Sequence[int]) -> list[int]:
    """Return ``tops`` in the order in which they stand under the root, left to right, so that no two lines of
    a drawing cross."""
    wanted, order, todo = set(tops), [], [2 * merges.images - 2]
    while todo:
        item = todo.pop()
        if item in wanted:
            order.append(item)
        else:
            left, right = (int(child) for child in merges.children[item - merges.images])
            todo += [right, left]
    return order


def draw_threshold(proposal: Proposal, judged: Judged, path: Path, *, title: str) -> Path:
    """Draw the curves, the answers and the proposal with its interval (PNG, SVG or PDF, by the ending).

    Answers are ticks: accepted ones above the curves, rejected ones below.
    """
    figure = load_extra("matplotlib.figure", "cluster").Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    rows = sorted(proposal.rows, key=lambda row: row.threshold)
    at = [row.threshold for row in rows]
    curves = (("precision", _COLOURS[0], "-"), ("recall", _COLOURS[1], "-"), ("f1", _LINE, "--"))
    for name, colour, style in curves:
        values, label = [getattr(row, name) for row in rows], "F1" if name == "f1" else name
        axes.step(at, values, style, where="mid", color=colour, label=label, linewidth=1.8)
    chosen, span = proposal.chosen, proposal.intervals["threshold"]
    axes.axvspan(*span, color=_LINE, alpha=0.12, linewidth=0, label="95 % interval")
    axes.axvline(chosen.threshold, color=_LINE, linewidth=1.2)
    said = f"{chosen.threshold:.3f}\nprecision {chosen.precision:.2f}, recall {chosen.recall:.2f}"
    left = chosen.threshold > (at[0] + at[-1]) / 2
    away: dict[str, Any] = {
        "textcoords": "offset points",
        "ha": "right" if left else "left",
        "va": "center",
        "bbox": {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5},
    }
    axes.annotate(said, (chosen.threshold, 0.5), (-6 if left else 6, 0), fontsize=9, color=_LINE, **away)
    names: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
        "va": "center",
        "fontsize": 8,
        "annotation_clip": False,
    }
    for kind, height, colour in (("accepted", 1.04, _COLOURS[0]), ("rejected", -0.04, _COLOURS[1])):
        values = judged.similarity[judged.accepted == (kind == "accepted")].tolist()
        axes.plot(values, [height] * len(values), "|", color=colour, markersize=10, markeredgewidth=1)
        axes.annotate(f"{len(values)} {kind}", (1, height), (5, 0), color=colour, **names)
    axes.set_ylim(-0.09, 1.09)
    _style(axes, title, "threshold of similarity")
    axes.grid(color=_GRID)
    axes.legend(frameon=False, fontsize=9, loc="upper center", ncols=4, bbox_to_anchor=(0.5, -0.12))
    return _saved(figure, path, dpi=130)


def _saved(figure: Any, path: Path, dpi: int = 120) -> Path:
    check_ending(path, "a plot", PLOTS)
    with writing(path):
        figure.savefig(path, dpi=dpi)
    return path


def _style(axes: Any, title: str, below: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(below)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
