"""Draw the curves of a training run. matplotlib is loaded when something is drawn, without a window
system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from vitrine.services.extras import from_extra

_RATES = ("lr", "learning_rate")
_COLOURS = ("#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#475569")
_GRID, _FAINT = "#e4e4e7", "#a1a1aa"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown; all columns but the first are set flush right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    cells = [[one_line(value).replace("|", r"\|") for value in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def one_line(value: object) -> str:
    """Return a value on one line; lists as words with spaces between."""
    text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return " ".join(text.split())


def draw_curves(
    history: Sequence[Mapping[str, float]],
    path: Path,
    *,
    best: float | None = None,
    labels: Mapping[str, str] | None = None,
) -> Path | None:
    """Draw a PNG of everything in ``history`` over its ``epoch`` (else its position, from 1): losses,
    metrics, rates.

    A series may begin late or have gaps. ``best``: the epoch that was kept, marked by a line. ``labels``:
    what people call a series. None, and no file, if there is nothing to draw.
    """
    panels = _panels(history)
    if not panels:
        return None
    with from_extra("train"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(panels), 3.6), layout="constrained")
    for number, (title, names) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), number + 1)
        _draw_panel(axes, title, names, history, labels or {})
        if best is not None:
            axes.axvline(best, color=_FAINT, linewidth=1, linestyle="--")
            below: dict[str, Any] = {
                "xycoords": ("data", "axes fraction"),
                "textcoords": "offset points",
                "ha": "right",
            }
            axes.annotate("kept", (best, 0), (-3, 3), color=_FAINT, fontsize=8, **below)
    figure.savefig(path, dpi=120)
    return path


def _panels(history: Sequence[Mapping[str, float]]) -> dict[str, list[str]]:
    """Return the names of the series by the title of their panel."""
    names = dict.fromkeys(name for entry in history for name in entry if name != "epoch")
    panels: dict[str, list[str]] = {"loss": [], "retrieval": [], "learning rate": []}
    for name in names:
        if any(isinstance(entry.get(name), int | float) for entry in history):
            panels["learning rate" if name in _RATES else "loss" if "loss" in name else "retrieval"].append(
                name
            )
    return {title: found for title, found in panels.items() if found}


def _draw_panel(
    axes: Any,
    title: str,
    names: Sequence[str],
    history: Sequence[Mapping[str, float]],
    labels: Mapping[str, str],
) -> None:
    for number, name in enumerate(names):
        points = [
            (entry.get("epoch", position), entry[name])
            for position, entry in enumerate(history, 1)
            if isinstance(entry.get(name), int | float) and isfinite(entry[name])
        ]
        colour = _COLOURS[number % len(_COLOURS)]
        marker = "o" if len(points) <= 30 else None  # a single epoch has no line
        axes.plot(
            *zip(*points, strict=True),
            label=labels.get(name, name),
            color=colour,
            marker=marker,
            markersize=3,
        )
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color=_GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(names) > 1 or title == "retrieval":
        axes.legend(frameon=False, fontsize=9)
