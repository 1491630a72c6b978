"""Draw precision and recall over the threshold, and pairs side by side. matplotlib is loaded when a plot is
drawn."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from vitrine.indexer.enrich.clusters.threshold.threshold import Judged, Proposal
from vitrine.indexer.job.optional import load
from vitrine.services.errors import ImageRefused
from vitrine.services.files import writing
from vitrine.services.images.open import ImageLimits, thumbnail

_BLUE, _ORANGE, _GREY, _GRID = "#2563eb", "#d97706", "#475569", "#e4e4e7"
_GAP = 6


def draw_threshold(proposal: Proposal, judged: Judged, path: Path, *, title: str) -> Path:
    """Draw the curves, the answers and the proposal with its interval (PNG, SVG or PDF, by the ending).

    Answers are ticks: accepted ones above the curves, rejected ones below.
    """
    figure = load("matplotlib.figure", "matplotlib").Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    rows = sorted(proposal.rows, key=lambda row: row.threshold)
    at = [row.threshold for row in rows]
    curves = (("precision", _BLUE, "-"), ("recall", _ORANGE, "-"), ("f1", _GREY, "--"))
    for name, colour, style in curves:
        label = "F1" if name == "f1" else name
        axes.step(
            at,
            [getattr(row, name) for row in rows],
            style,
            where="mid",
            color=colour,
            label=label,
            linewidth=1.8,
        )
    chosen, span = proposal.chosen, proposal.intervals["threshold"]
    axes.axvspan(*span, color=_GREY, alpha=0.12, linewidth=0, label="95 % interval")
    axes.axvline(chosen.threshold, color=_GREY, linewidth=1.2)
    said = f"{chosen.threshold:.3f}\nprecision {chosen.precision:.2f}, recall {chosen.recall:.2f}"
    left = chosen.threshold > (at[0] + at[-1]) / 2
    away: dict[str, Any] = {
        "textcoords": "offset points",
        "ha": "right" if left else "left",
        "va": "center",
        "bbox": {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5},
    }
    axes.annotate(said, (chosen.threshold, 0.5), (-6 if left else 6, 0), fontsize=9, color=_GREY, **away)
    _ticks(axes, judged.similarity[judged.accepted].tolist(), 1.04, _BLUE)
    _ticks(axes, judged.similarity[~judged.accepted].tolist(), -0.04, _ORANGE)
    names: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
        "va": "center",
        "fontsize": 8,
    }
    axes.annotate(
        f"{proposal.accepted} accepted", (1, 1.04), (5, 0), color=_BLUE, annotation_clip=False, **names
    )
    axes.annotate(
        f"{proposal.rejected} rejected", (1, -0.04), (5, 0), color=_ORANGE, annotation_clip=False, **names
    )
    axes.set(ylim=(-0.09, 1.09), xlabel="threshold of similarity")
    axes.set_title(title, fontsize=11, loc="left")
    axes.grid(color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="upper center", ncols=4, bbox_to_anchor=(0.5, -0.12))
    with writing(path):
        figure.savefig(path, dpi=130)
    return path


def _ticks(axes: Any, values: Sequence[float], height: float, colour: str) -> None:
    axes.plot(values, [height] * len(values), "|", color=colour, markersize=10, markeredgewidth=1)


def side_by_side(one: bytes | None, other: bytes | None, size: int) -> Image.Image | None:
    """Put two pictures into a square of ``size`` pixels, next to or above each other, whichever shows more of
    them.

    One that does not decode is left empty. None if neither does.
    """
    pictures = [_open(data, size) for data in (one, other)]
    if pictures == [None, None]:
        return None
    half = (size - _GAP) // 2
    boxes = max(
        ((half, size), (size, half)), key=lambda box: sum(_area(picture, box) for picture in pictures)
    )
    sheet = Image.new("RGB", (size, size), (247, 247, 248))
    for at, picture in enumerate(pictures):
        if picture is None:
            continue
        fitted = ImageOps.contain(picture, boxes, Image.Resampling.LANCZOS)
        corner = (at * (half + _GAP), 0) if boxes[0] == half else (0, at * (half + _GAP))
        sheet.paste(
            fitted, (corner[0] + (boxes[0] - fitted.width) // 2, corner[1] + (boxes[1] - fitted.height) // 2)
        )
    return sheet


def _area(picture: Image.Image | None, box: tuple[int, int]) -> float:
    if picture is None:
        return 0.0
    scale = min(box[0] / picture.width, box[1] / picture.height)
    return picture.width * picture.height * scale * scale


def _open(data: bytes | None, size: int) -> Image.Image | None:
    try:
        return (
            Image.open(BytesIO(thumbnail(data, size, limits=ImageLimits())[0])).convert("RGB")
            if data
            else None
        )
    except ImageRefused:
        return None
