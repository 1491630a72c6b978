"""Write the report of a training of taggers: report.json for programs, report.md to read, pictures to look
at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from vitrine.services.extras import from_extra, has_library
from vitrine.services.files import make_folder
from vitrine.services.values.words import as_label
from vitrine.training.reports import markdown_table
from vitrine.training.taggers.metrics import TagMetrics
from vitrine.training.taggers.train import TagReport, Training

MAX_PLOTS = 20
"""Up to so many tags get a picture each unless it is asked for: drawing hundreds takes longer than training
them."""
_BLUE, _GREY, _ORANGE = "#2563eb", "#a1a1aa", "#d97706"
COLUMNS = (
    "tag",
    "images",
    "negatives",
    "AP",
    "ROC AUC",
    "threshold",
    "precision",
    "recall",
    "F1",
    "calibration error",
    "C",
)
_SUMMARY = (
    "positives",
    "negatives",
    "average_precision",
    "roc_auc",
    "threshold",
    "precision",
    "recall",
    "f1",
    "calibration_error",
)
"""The metrics of the columns between the tag and C."""


def write_report(folder: Path, training: Training, *, title: str, plots: bool | None = None) -> Path:
    """Write report.json, report.md, overview.png and, with ``plots`` (None: where tags are few),
    ``<tag>.png`` into ``folder``.

    The overview shows every tag's average precision. matplotlib is loaded here, and never a window system;
    where it is not installed and ``plots`` is None, there are no pictures, and report.md says how to have
    them.
    """
    drawn = has_library("matplotlib") if plots is None else plots
    make_folder(folder)
    (folder / "report.json").write_bytes(orjson.dumps(to_json(training, title), option=orjson.OPT_INDENT_2))
    pictures: dict[str, str] = {}
    if drawn:
        draw_overview(training.reports, folder / "overview.png")
        if plots or len(training.reports) <= MAX_PLOTS:
            for number, report in enumerate(training.reports, 1):
                name = f"{number:03d}-{re.sub(r'[^A-Za-z0-9_-]+', '-', report.head.tag)[:60]}.png"
                draw_tag(report, folder / name)
                pictures[report.head.tag] = name
    text = to_markdown(training, title, pictures, overview=drawn)
    if plots is None and not drawn:
        text += "\nPlots need matplotlib, which is not installed: pip install 'vitrine[train]'.\n"
    (folder / "report.md").write_text(text, encoding="utf-8")
    return folder


def to_json(training: Training, title: str) -> dict[str, Any]:
    """Return everything, by tag, as JSON; a figure that is not known is null."""
    return {
        "title": title,
        "mean_average_precision": training.mean_average_precision,
        "taggers": [report.to_json() for report in training.reports],
        "skipped": dict(training.skipped),
        "held_out": list(training.held_out),
    }


def summary_rows(reports: Sequence[TagReport]) -> list[tuple[object, ...]]:
    """Return one row for each tag, with the values of ``COLUMNS``."""
    return [
        (report.head.tag, *(getattr(report.metrics, name) for name in _SUMMARY), report.c)
        for report in reports
    ]


def to_markdown(training: Training, title: str, pictures: dict[str, str], *, overview: bool) -> str:
    """Return the table of all tags, then each tag's histograms and calibration."""
    lines = [
        f"# {title}",
        "",
        f"Mean average precision {training.mean_average_precision:.4f} over {len(training.reports)} tags,",
    ]
    lines += [
        "each measured on images that its head had not seen. Precision, recall and F1 are at the threshold.",
        "",
    ]
    if overview:
        lines += ["![average precision of every tag](overview.png)", ""]
    lines.append(markdown_table(COLUMNS, _figures(summary_rows(training.reports))))
    if training.skipped:
        lines += ["", "## Skipped", "", *(f"- {tag}: {reason}" for tag, reason in training.skipped.items())]
    for report in training.reports:
        lines += [
            "",
            f"## {report.head.tag}",
            "",
            f"{report.head.kind} on `{report.head.using}`; {report.protocol}.",
            "",
        ]
        if report.head.tag in pictures:
            lines += [f"![scores and calibration]({pictures[report.head.tag]})", ""]
        lines += _details(report.metrics)
    return "\n".join(lines) + "\n"


def draw_overview(reports: Sequence[TagReport], path: Path) -> None:
    """Draw a bar for each tag's average precision, best first."""
    with from_extra("train"):
        from matplotlib.figure import Figure

    ranked = sorted(reports, key=lambda report: report.metrics.average_precision)
    figure = Figure(figsize=(7, min(1.2 + 0.22 * len(ranked), 60)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(
        [as_label(report.head.tag) for report in ranked],
        [report.metrics.average_precision for report in ranked],
        color=_BLUE,
    )
    for row, report in enumerate(ranked):
        axes.plot([report.metrics.prevalence] * 2, [row - 0.4, row + 0.4], color=_ORANGE, linewidth=2)
    axes.set(
        xlim=(0, 1), xlabel="average precision (orange: what chance gives)", ylim=(-0.7, len(ranked) - 0.3)
    )
    axes.tick_params(axis="y", labelsize=7)
    figure.savefig(path, dpi=110)


def draw_tag(report: TagReport, path: Path) -> None:
    """Draw histograms of the scores of both sides with the threshold, and the calibration curve."""
    with from_extra("train"):
        from matplotlib.figure import Figure

    metrics = report.metrics
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    edges = [number / 10 for number in range(10)]
    for counts, colour, name in (
        (metrics.negative_histogram, _GREY, "without the tag"),
        (metrics.positive_histogram, _BLUE, "with the tag"),
    ):
        total = max(sum(counts), 1)
        left.bar(
            edges,
            [count / total for count in counts],
            width=0.1,
            align="edge",
            alpha=0.6,
            color=colour,
            label=name,
        )
    left.axvline(metrics.threshold, color=_ORANGE, linewidth=1.5, label="threshold")
    left.set(
        xlabel="score",
        ylabel="share of images",
        title=f"{as_label(report.head.tag)}: AP {metrics.average_precision:.3f}",
        xlim=(0, 1),
    )
    left.legend(fontsize=7)
    filled = [one for one in metrics.calibration if one.count]
    right.plot([0, 1], [0, 1], color=_GREY, linewidth=1)
    right.plot(
        [one.mean_score for one in filled], [one.positive_share for one in filled], marker="o", color=_BLUE
    )
    right.set(
        xlabel="score",
        ylabel="share with the tag",
        title=f"calibration error {metrics.calibration_error:.3f}",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    figure.savefig(path, dpi=110)


def bars(counts: Sequence[int], width: int = 30) -> list[str]:
    """Return a histogram over 0..1 as lines of text.

    >>> bars([3, 0, 1], width=6)
    ['0.0  3 ######', '0.3  0 ', '0.7  1 ##']
    """
    most, digits = max(*counts, 1), max(len(str(count)) for count in counts) + 1
    return [
        f"{number / len(counts):.1f} {count:>{digits}} {'#' * -(-count * width // most)}"
        for number, count in enumerate(counts)
    ]


def _details(one: TagMetrics) -> list[str]:
    cells = (one.true_positives, one.false_positives, one.false_negatives, one.true_negatives)
    sides = [("with the tag", cells[0], cells[2]), ("without", cells[1], cells[3])]
    lines = [
        markdown_table(("", "tag given", "not given"), _figures(sides)),
        "",
        "```",
        "scores with the tag",
        *bars(one.positive_histogram),
        "scores without",
        *bars(one.negative_histogram),
        "```",
        "",
    ]
    rows = [(f"{c.low:.1f}", c.count, c.mean_score, c.positive_share) for c in one.calibration if c.count]
    return [
        *lines,
        markdown_table(("from score", "images", "mean score", "share with the tag"), _figures(rows)),
    ]


def _figures(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Write floats with three decimals, counts without."""
    return [[_figure(value) if isinstance(value, float) else value for value in row] for row in rows]


def _figure(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and value > 1 else f"{value:.3f}"
