"""Write the report of a training run: report.json, report.md, curves.png and worst.png in one folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from vitrine.services.files import make_folder
from vitrine.services.images.contact_sheet import png_bytes
from vitrine.training.data.dataset import LabelledImage, SplitName, Unusable, class_names, fingerprint
from vitrine.training.data.duplicates import Groups
from vitrine.training.data.splits import Split, straddling
from vitrine.training.metric.evaluate import LABELS, Comparison
from vitrine.training.metric.worst_queries import Retrieval, worst_sheet
from vitrine.training.reports import draw_curves, markdown_table, one_line

PARTS: tuple[SplitName, ...] = ("train", "validation", "test")
_SHOWN = 20
"""Keys of unusable or contradictory pictures that a report lists."""


@dataclass(frozen=True)
class DataSummary:
    """What was trained on. ``counts`` by class and part; ``contradictions``: near-duplicates that have
    different classes, as lists of ``key (class)``; ``straddling``: groups of near-duplicates in more than one
    part."""

    fingerprint: str
    protocol: str
    counts: Mapping[str, Mapping[str, int]]
    duplicate_groups: int
    duplicate_images: int
    straddling: int
    left_out: int
    unusable: tuple[Unusable, ...] = ()
    contradictions: tuple[tuple[str, ...], ...] = ()

    def tree(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**vars(self), "unusable": [vars(picture) for picture in self.unusable]}


@dataclass(frozen=True)
class TrainingReport:
    """Everything about one run. ``history``: a mapping for each epoch, with ``epoch`` and its figures;
    ``best``: the epoch that was kept; ``judged_on``: the part that ``comparison`` is about."""

    name: str
    parameters: Mapping[str, object]
    data: DataSummary
    comparison: Comparison
    history: Sequence[Mapping[str, float]] = ()
    best: float | None = None
    judged_on: SplitName = "test"
    notes: Sequence[str] = field(default_factory=tuple)

    def tree(self) -> dict[str, Any]:
        """Return the content of report.json."""
        return {
            "format": 1,
            "name": self.name,
            "parameters": dict(self.parameters),
            "data": self.data.tree(),
            "judged_on": self.judged_on,
            "comparison": self.comparison.tree(),
            "best_epoch": self.best,
            "history": [dict(entry) for entry in self.history],
            "notes": list(self.notes),
        }


def summarise(
    images: Sequence[LabelledImage],
    split: Split,
    groups: Groups | None = None,
    unusable: Sequence[Unusable] = (),
) -> DataSummary:
    """Summarise the data of a split: identified images, and their near-duplicates if they were looked for."""
    counts: dict[str, dict[str, int]] = {name: dict.fromkeys(PARTS, 0) for name in class_names(images)}
    for part in PARTS:
        for position in split.part(part):
            counts[images[position].class_][part] += 1
    found = [] if groups is None else _together(groups)
    contradictory = [some for some in found if len({images[position].class_ for position in some}) > 1]
    return DataSummary(
        fingerprint(images),
        split.protocol,
        counts,
        len(found),
        sum(map(len, found)),
        0 if groups is None else straddling(split, groups),
        len(split.left_out),
        tuple(unusable),
        tuple(
            tuple(f"{images[position].key} ({images[position].class_})" for position in some)
            for some in contradictory
        ),
    )


def write_report(folder: Path, report: TrainingReport, worst: Sequence[Retrieval] = ()) -> Path:
    """Write the report's files into ``folder``, and return the path of report.md. Pictures need
    matplotlib."""
    make_folder(folder)
    for picture in ("curves.png", "worst.png"):  # of a run before this one
        (folder / picture).unlink(missing_ok=True)
    curves = draw_curves(report.history, folder / "curves.png", best=report.best, labels=LABELS)
    if worst:
        (folder / "worst.png").write_bytes(png_bytes(worst_sheet(worst)))
    tree = orjson.dumps(report.tree(), default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    (folder / "report.json").write_bytes(tree)
    pictures = {"Curves": "curves.png"} if curves else {}
    pictures |= {"Worst retrievals": "worst.png"} if worst else {}
    path = folder / "report.md"
    path.write_text(markdown(report, pictures), encoding="utf-8")
    return path


def markdown(report: TrainingReport, pictures: Mapping[str, str]) -> str:
    """Return the report as Markdown; ``pictures`` are by title, relative to it."""
    compared = report.comparison
    sections = [
        f"# {report.name}",
        f"## Retrieval, judged on {report.judged_on}",
        markdown_table(*compared.table()),
        "\n".join([compared.asked(), *(f"- {line}" for line in compared.gains())]).replace(
            ".\n- ", ".\n\n- ", 1
        ),
        "## recall@1 by class",
        _by_class(compared),
        *(f"## {title}\n\n![{title}]({file})" for title, file in pictures.items()),
        "## Data",
        _data(report.data),
        "## Parameters",
        markdown_table(
            ["parameter", "value"],
            list(report.parameters.items()),
        ),
        *(["## Notes", "\n".join(f"- {line}" for line in report.notes)] if report.notes else []),
    ]
    return "\n\n".join(sections) + "\n"


def _by_class(compared: Comparison) -> str:
    rows = [
        [name, str(count), *(f"{row.recall_at_1[name]:.3f}" for row in compared.rows)]
        for name, count in compared.queries.items()
    ]
    return markdown_table(["class", "queries", *(row.name for row in compared.rows)], rows)


def _data(data: DataSummary) -> str:
    rows = [[name, *(str(parts[part]) for part in PARTS)] for name, parts in data.counts.items()]
    total = ["all", *(str(sum(parts[part] for parts in data.counts.values())) for part in PARTS)]
    lines = [f"- Fingerprint: `{data.fingerprint}`", f"- Split: {data.protocol}"]
    if data.duplicate_groups:
        lines.append(
            f"- Near-duplicates: {data.duplicate_images} images in {data.duplicate_groups} groups, of which "
            f"{data.straddling} are in more than one part; {data.left_out} images are left out for being so."
        )
    for title, listed in (
        ("Near-duplicates of different classes", [" = ".join(keys) for keys in data.contradictions]),
        ("Unusable pictures", [f"{picture.key}: {picture.message}" for picture in data.unusable]),
    ):
        if listed:
            more = f"\n  - and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
            lines.append(
                f"- {title}: {len(listed)}"
                + "".join(f"\n  - {one_line(text)}" for text in listed[:_SHOWN])
                + more
            )
    return markdown_table(["class", *PARTS], [*rows, total]) + "\n\n" + "\n".join(lines)


def _together(groups: Groups) -> list[list[int]]:
    """Return the positions of each group of more than one image."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for position, group in enumerate(groups.tolist()):
        found[group].append(position)
    return [some for some in found.values() if len(some) > 1]
