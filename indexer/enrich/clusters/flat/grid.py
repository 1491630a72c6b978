"""Fit a method with every combination of its parameters, score each fit and choose the best."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from vitrine.indexer.enrich.clusters.flat.flat import Fitter, checked
from vitrine.indexer.enrich.clusters.flat.indices import MUCH_NOISE, Scores, best_of, judge, mean_ranks
from vitrine.indexer.enrich.clusters.flat.methods import Value, get_method
from vitrine.indexer.enrich.clusters.flat.reduce import Geometry
from vitrine.indexer.enrich.clusters.tree.kmeans import Labels
from vitrine.services.domain import Embeddings
from vitrine.services.errors import BadRequest

MOST_FITS = 500
COLUMNS = (
    "#",
    "best",
    "method",
    "parameters",
    "clusters",
    "noise",
    "silhouette",
    "calinski_harabasz",
    "davies_bouldin",
    "rank",
    "seconds",
    "remark",
)


@dataclass(frozen=True)
class Row:
    """One fit. ``rank``: its mean rank among all fits of the grid, 1 is best (``mean_ranks``). ``remark``:
    why it could not be chosen."""

    method: str
    parameters: Mapping[str, Value]
    scores: Scores
    seconds: float
    rank: float = 0.0
    error: str = ""

    @property
    def remark(self) -> str:
        return self.error or self.scores.remark


@dataclass(frozen=True, eq=False)
class GridResult:
    """All fits of a grid.

    ``rows`` in the order of the grid, ``labels_of`` (n,) of each; ``best``: the position of the chosen row,
    None if no fit could be scored. ``interrupted``: ``stop`` was set before the last fit.
    """

    rows: tuple[Row, ...]
    labels_of: tuple[Labels, ...]
    best: int | None
    interrupted: bool = False
    chosen_by: str = "mean rank"

    @property
    def chosen(self) -> Row:
        """The chosen row. ``BadRequest`` if no fit could be scored."""
        return self.rows[self._position]

    @property
    def labels(self) -> Labels:
        """The labels (n,) of the chosen fit, -1 for noise. ``BadRequest`` if no fit could be scored."""
        return self.labels_of[self._position]

    @property
    def notes(self) -> list[str]:
        """Warnings about the chosen fit, for people."""
        if self.best is None or self.chosen.scores.noise <= MUCH_NOISE:
            return []
        lost = f"The chosen fit leaves {self.chosen.scores.noise:.0%} of the images as noise, in no cluster"
        return [
            f"{lost}: take another by its number, other parameters, or a method without noise such as kmeans."
        ]

    def choose(self, number: int) -> GridResult:
        """Return the result with row ``number`` (from 1, as in the table) chosen by hand. ``BadRequest`` if
        there is none."""
        if not 1 <= number <= len(self.rows) or self.rows[number - 1].error:
            raise BadRequest(
                f"There is no fit {number} to choose: the table counts from 1 to {len(self.rows)}.",
                number=number,
            )
        return replace(self, best=number - 1, chosen_by="hand")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, without the labels."""
        rows = [
            {
                "number": at + 1,
                "method": row.method,
                "parameters": dict(row.parameters),
                "clusters": row.scores.clusters,
                "noise": row.scores.noise,
                **row.scores.values(),
                "rank": row.rank,
                "seconds": row.seconds,
                "remark": row.remark,
            }
            for at, row in enumerate(self.rows)
        ]
        best = None if self.best is None else self.best + 1
        return {"best": best, "chosen_by": self.chosen_by, "interrupted": self.interrupted, "rows": rows}

    @property
    def _position(self) -> int:
        if self.best is None:
            raise BadRequest(
                "No fit of the grid makes two clusters or more: try other parameters"
                " (a larger eps, a smaller min_cluster_size or min_samples, more clusters)."
            )
        return self.best


def fit_grid(
    x: Embeddings,
    method: str,
    parameters: Mapping[str, Sequence[Value]] | None = None,
    *,
    geometry: Geometry = "cosine",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    stop: threading.Event | None = None,
) -> GridResult:
    """Fit ``method`` to the rows of ``x`` (n, dim), of unit length where the geometry is cosine, with every
    combination of parameters.

    For what ``parameters`` leaves out ``default_grid`` is tried. ``progress(done, fits)``. ``stop`` ends the
    grid after the current fit. A combination that cannot be fit (DBSCAN with too large an eps) says so in its
    row. ``BadRequest`` for what the method does not take, more than MOST_FITS combinations, or more images
    than it can take; ``InterruptedError`` if stopped before any fit.
    """
    fitter = Fitter(x, method, geometry, seed, stop)
    points = combinations(
        method, {**default_grid(x, method, parameters or {}, geometry, seed=seed), **(parameters or {})}
    )
    rows: list[Row] = []
    labels: list[Labels] = []
    for number, point in enumerate(points, 1):
        if stop is not None and stop.is_set():
            break
        try:
            row, found = _fit(fitter, point)
        except InterruptedError:
            break
        rows.append(row)
        labels.append(found)
        if progress:
            progress(number, len(points))
    if not rows:
        raise InterruptedError("the grid was stopped before its first fit")
    return ranked(rows, labels, interrupted=len(rows) < len(points))


def ranked(rows: Sequence[Row], labels: Sequence[Labels], *, interrupted: bool = False) -> GridResult:
    """Rank the rows, of one grid or of several methods, and choose the best."""
    scores = [row.scores for row in rows]
    ranks = mean_ranks(scores)
    ranked_rows = tuple(replace(row, rank=rank) for row, rank in zip(rows, ranks, strict=True))
    return GridResult(ranked_rows, tuple(labels), best_of(scores), interrupted)


def grid_table(grid: Mapping[str, Any]) -> list[list[object]]:
    """Return a line of COLUMNS for each row of ``GridResult.to_json``."""
    return [
        [
            row["number"],
            "*" if row["number"] == grid["best"] else "",
            row["method"],
            in_words(row["parameters"]),
            row["clusters"],
            f"{row['noise']:.1%}",
            row["silhouette"],
            row["calinski_harabasz"],
            row["davies_bouldin"],
            round(row["rank"], 2),
            f"{row['seconds']:.2f}",
            row["remark"],
        ]
        for row in grid["rows"]
    ]


def in_words(parameters: Mapping[str, Value]) -> str:
    """Return the parameters in one line.

    >>> in_words({"clusters": 20, "eps": 0.123456})
    'clusters=20 eps=0.1235'
    """
    parts = {
        name: f"{value:.4g}" if isinstance(value, float) else value for name, value in parameters.items()
    }
    return " ".join(f"{name}={value}" for name, value in parts.items())


def together(results: Sequence[GridResult]) -> GridResult:
    """Put several grids over the same rows into one, ranked against each other."""
    rows = [row for result in results for row in result.rows]
    labels = [found for result in results for found in result.labels_of]
    return ranked(rows, labels, interrupted=any(result.interrupted for result in results))


def combinations(method: str, parameters: Mapping[str, Sequence[Value]]) -> list[dict[str, Value]]:
    """Return every point of the grid once, in the method's own order of parameters. ``BadRequest`` for
    impossible ones."""
    empty = [name for name, values in parameters.items() if not len(values)]
    fits = prod(len(values) for values in parameters.values())
    if empty or fits > MOST_FITS:
        raise BadRequest(
            f"The grid has {fits} fits: give each parameter a value or more, {MOST_FITS} fits at most.",
            fits=fits,
        )
    checked(method, {name: values[0] for name, values in parameters.items()})
    names = [name for name in get_method(method).parameters if name in parameters]
    found = [
        checked(method, dict(zip(names, values, strict=True)))
        for values in product(*(parameters[name] for name in names))
    ]
    return [dict(point) for point in dict.fromkeys(tuple(point.items()) for point in found)]


def default_grid(
    x: Embeddings,
    method: str,
    given: Mapping[str, Sequence[Value]],
    geometry: Geometry = "cosine",
    *,
    seed: int = 0,
) -> dict[str, Sequence[Value]]:
    """Return what is tried of each parameter that is not ``given``, by the table of methods."""
    fitter = Fitter(x, method, geometry, seed)
    found: dict[str, Sequence[Value]] = {}
    for name, parameter in get_method(method).parameters.items():
        if parameter.tried and name not in given:
            found[name] = parameter.tried(fitter, {**given, **found})
    return found


def _fit(fitter: Fitter, point: Mapping[str, Value]) -> tuple[Row, Labels]:
    started, error = time.perf_counter(), ""
    try:
        labels = fitter.fit(point)
    except BadRequest as refused:
        labels, error = np.full(len(fitter.x), -1, np.int32), refused.message
    seconds = time.perf_counter() - started
    return Row(
        fitter.method, point, judge(fitter.x, labels, fitter.geometry, seed=fitter.seed), seconds, error=error
    ), labels
