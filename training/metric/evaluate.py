"""Compare encoders on the same queries: what each finds, how sure that is, and what the first gains on the
others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitrine.services.domain import Embeddings
from vitrine.services.encoders.retrieval_metrics import (
    Classes,
    Interval,
    RetrievalMetrics,
    bootstrap_difference,
    bootstrap_interval,
    retrieval_metrics,
)

LABELS: Mapping[str, str] = {
    "precision_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "recall_at_10": "recall@10",
    "precision_at_10": "precision@10",
    "r_precision": "R-precision",
    "map_at_r": "MAP@R",
}
"""What people call the metrics of vitrine.services.encoders.retrieval_metrics.METRICS; precision at 1 and
recall@1 are the same."""


@dataclass(frozen=True)
class Row:
    """One encoder. ``metrics`` and ``gain`` are by the names in LABELS; ``gain`` is the first row's value
    minus this one's, None in the first row. ``recall_at_1`` is by class of the query."""

    name: str
    metrics: Mapping[str, Interval]
    nmi: float | None
    gain: Mapping[str, Interval] | None
    recall_at_1: Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """Encoders on one split. ``gallery``: how many images were searched; None: the other queries were."""

    rows: tuple[Row, ...]
    queries: Mapping[str, int]
    """Queries by class."""
    gallery: int | None
    confidence: float

    def tree(self) -> dict[str, Any]:
        """Return it as JSON values; an interval is {"value", "low", "high"}."""
        return {
            "queries": sum(self.queries.values()),
            "queries_by_class": dict(self.queries),
            "gallery": self.gallery,
            "confidence": self.confidence,
            "rows": [
                {
                    "name": row.name,
                    "metrics": _intervals(row.metrics),
                    "nmi": row.nmi,
                    "gain_of_first": None if row.gain is None else _intervals(row.gain),
                    "recall_at_1_by_class": dict(row.recall_at_1),
                }
                for row in self.rows
            ],
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return headings, and cells such as ``0.863 [0.827, 0.898]``."""
        with_nmi = any(row.nmi is not None for row in self.rows)
        headings = ["encoder", *LABELS.values(), *(["NMI"] if with_nmi else [])]
        cells = [[row.name, *(shown(row.metrics[name]) for name in LABELS)] for row in self.rows]
        for line, row in zip(cells, self.rows, strict=True):
            line += [] if not with_nmi else ["-" if row.nmi is None else f"{row.nmi:.3f}"]
        return headings, cells

    def text(self) -> str:
        """Return the table in columns, what was searched, and a line about the gain on each other encoder."""
        headings, cells = self.table()
        widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
        lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in (headings, *cells)]
        return "\n".join([*lines, "", self.asked(), *self.gains()])

    def asked(self) -> str:
        """Return a sentence about how many queries were searched in what."""
        searched = "the other queries" if self.gallery is None else f"{self.gallery} images"
        return (
            f"{sum(self.queries.values())} queries of {len(self.queries)} classes among {searched}; in "
            f"brackets {self.confidence:.0%} bootstrap intervals over the queries."
        )

    def gains(self) -> list[str]:
        """Return one sentence for each encoder but the first."""
        return [_gain(self.rows[0], row) for row in self.rows[1:]]


def compare(
    named: Mapping[str, tuple[Embeddings, Embeddings | None]],
    query_classes: Classes,
    gallery_classes: Classes | None = None,
    *,
    nmi: bool = True,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison:
    """Evaluate encoders by name, the one in question first, each with its embeddings of the same queries (n,
    dim) and of the same gallery (m, dim). Dimensions may differ. Without galleries every query is searched in
    the others.

    ``ValueError`` where nothing is to be compared, or the numbers of embeddings and classes differ.
    """
    if not named:
        raise ValueError("there is no encoder to evaluate")
    found = {
        name: retrieval_metrics(queries, query_classes, gallery, gallery_classes, nmi=nmi, seed=seed)
        for name, (queries, gallery) in named.items()
    }
    classes = np.asarray(query_classes)
    first = next(iter(found.values()))
    rows = tuple(_row(name, metrics, first, classes, seed, confidence) for name, metrics in found.items())
    counts = {
        str(name): int(count) for name, count in zip(*np.unique(classes, return_counts=True), strict=True)
    }
    return Comparison(rows, counts, None if gallery_classes is None else len(gallery_classes), confidence)


def shown(interval: Interval) -> str:
    """Format an interval as ``0.863 [0.827, 0.898]``, or as - where nothing counts."""
    if np.isnan(interval.value):
        return "-"
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _row(
    name: str,
    metrics: RetrievalMetrics,
    first: RetrievalMetrics,
    classes: np.ndarray[Any, Any],
    seed: int,
    confidence: float,
) -> Row:
    values = metrics.per_query
    gain = (
        None
        if metrics is first
        else {
            label: bootstrap_difference(first.per_query[label], values[label], seed, confidence)
            for label in LABELS
        }
    )
    return Row(
        name,
        {label: bootstrap_interval(values[label], seed, confidence) for label in LABELS},
        metrics.nmi,
        gain,
        {
            str(group): float(values["precision_at_1"][classes == group].mean())
            for group in np.unique(classes)
        },
    )


def _gain(first: Row, row: Row) -> str:
    """Return a sentence on the differences at recall@1 and MAP@R, and whether they may be chance."""
    parts = []
    for name in ("precision_at_1", "map_at_r"):
        gain = (row.gain or {})[name]
        sure = "" if gain.low > 0 or gain.high < 0 or np.isnan(gain.value) else ", which may be chance"
        parts.append(f"{LABELS[name]} {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]{sure}")
    return f"{first.name} against {row.name}, on the same queries: {'; '.join(parts)}."


def _intervals(named: Mapping[str, Interval]) -> dict[str, dict[str, float | None]]:
    return {
        name: {end: None if np.isnan(value) else value for end, value in vars(interval).items()}
        for name, interval in named.items()
    }
