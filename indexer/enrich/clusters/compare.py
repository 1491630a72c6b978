"""Clusterings that are tried and judged: nothing is written to the category."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vitrine.indexer.enrich.clusters.agreement import agreement, stability
from vitrine.indexer.enrich.clusters.flat.flat import fit
from vitrine.indexer.enrich.clusters.flat.grid import GridResult, fit_grid, together
from vitrine.indexer.enrich.clusters.flat.methods import METHODS
from vitrine.indexer.enrich.clusters.flat.reduce import Reduced, reduce
from vitrine.indexer.enrich.clusters.options import CompareOptions, DendrogramOptions, SpaceOptions
from vitrine.indexer.enrich.clusters.stored_vectors import StoredVectors, read_vectors
from vitrine.indexer.enrich.clusters.tree.dendrogram import Merges, merge
from vitrine.indexer.enrich.clusters.tree.kmeans import Labels
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime
from vitrine.services.values.field_paths import value_at

Tell = Callable[[str, int, int], None]
"""Called with what is done, and how much of how much."""


def _silent(what: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class Comparison:
    """Every fit that was tried. ``grid``: as `GridResult.to_json`, with ``nmi``, ``ari`` and ``purity`` in
    each row where it was compared with a field. ``images`` of ``of`` were clustered in ``space``."""

    category: str
    using: str
    images: int
    of: int
    reduce: str
    space: str
    seed: int
    stability: dict[str, Any] | None
    grid: dict[str, Any]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a JSON object, the grid's own names at the top."""
        return {**{name: value for name, value in vars(self).items() if name != "grid"}, **self.grid}


@dataclass(frozen=True, eq=False)
class Dendrogram:
    """``merges`` of the images ``ids``, called ``names``; ``labels`` (n,) where it was cut."""

    using: str
    of: int
    ids: list[str]
    names: list[str]
    merges: Merges
    labels: Labels | None

    @property
    def sizes(self) -> list[int] | None:
        """Images of the clusters that it was cut into, the largest first."""
        return None if self.labels is None else sorted(np.bincount(self.labels).tolist(), reverse=True)


def compare(
    runtime: Runtime,
    category: str,
    options: CompareOptions,
    *,
    using: str | None = None,
    against: str | None = None,
    tell: Tell = _silent,
) -> Comparison:
    """Fit the methods of ``options`` with grids of parameters, judge and rank every fit.

    ``against``: a payload field, such as class, whose values every fit is compared with. Without a choice of
    methods, those that cannot take so many images are left out with a note. ``NotFound``, ``UnknownVector``,
    ``BadRequest``.
    """
    fields = (against,) if against else ()
    stored, reduced = _read(runtime, category, options, using, options.sample, fields, tell)
    result, notes = _try_methods(reduced, options, tell)
    grid = result.to_json()
    if against:
        for row, labels in zip(grid["rows"], result.labels_of, strict=True):
            row.update(_agreement(labels, stored))
    return Comparison(
        category,
        stored.using,
        len(stored.ids),
        stored.total,
        options.reduce,
        reduced.space,
        options.seed,
        _steadiness(reduced, result, options) if options.stability else None,
        grid,
        [*notes, *result.notes],
    )


def make_dendrogram(
    runtime: Runtime,
    category: str,
    options: DendrogramOptions,
    *,
    using: str | None = None,
    tell: Tell = _silent,
) -> Dendrogram:
    """Merge the images of a category step by step, up to some 20,000, and cut where ``options`` say.
    ``NotFound``, ``UnknownVector``, ``BadRequest``."""
    fields = () if options.names == "id" else (options.names,)
    stored, reduced = _read(runtime, category, options, using, options.sample, fields, tell)
    merges = merge(reduced.x, options.linkage, reduced.geometry, progress=partial(tell, "merging"))
    names = list(stored.ids)
    if fields:
        called = zip(stored.ids, stored.payloads, strict=True)
        names = [str(value_at(payload, stored.fields[0]) or id) for id, payload in called]
    labels = None
    if options.clusters is not None:
        labels = merges.into(options.clusters)
    elif options.distance is not None:
        labels = merges.at(options.distance)
    return Dendrogram(stored.using, stored.total, list(stored.ids), names, merges, labels)


def _read(
    runtime: Runtime,
    category: str,
    options: SpaceOptions,
    using: str | None,
    sample: int | None,
    fields: tuple[str, ...],
    tell: Tell,
) -> tuple[StoredVectors, Reduced]:
    stored = read_vectors(
        runtime.vectors,
        runtime.catalog.get(category),
        using,
        fields=fields,
        most=sample,
        seed=options.seed,
        progress=partial(tell, "reading"),
    )
    return stored, reduce(stored.x, options.reduce, options.dim, seed=options.seed)


def _try_methods(reduced: Reduced, options: CompareOptions, tell: Tell) -> tuple[GridResult, list[str]]:
    """Return the grids of all methods as one, and notes on what was left out."""
    methods = options.method or tuple(METHODS)
    for name in options.grid:
        if not any(name in METHODS[method].parameters for method in methods):
            raise BadRequest(f"{name} means nothing to {', '.join(methods)}.", parameter=name)
    results, notes = [], []
    for method in dict.fromkeys(methods):
        grid = {name: values for name, values in options.grid.items() if name in METHODS[method].parameters}
        try:
            found = fit_grid(
                reduced.x,
                method,
                grid,
                geometry=reduced.geometry,
                seed=options.seed,
                progress=partial(tell, method),
            )
            results.append(found)
        except BadRequest as error:
            if options.method or "most" not in error.details:
                raise
            notes.append(f"Left out: {error.message}")
    return together(results), notes


def _steadiness(reduced: Reduced, result: GridResult, options: CompareOptions) -> dict[str, Any]:
    chosen = result.chosen
    if not METHODS[chosen.method].draws:
        return {"mean": 1.0, "least": 1.0, "runs": 1, "seeded": False}
    found = stability(
        lambda seed: fit(reduced.x, chosen.method, chosen.parameters, reduced.geometry, seed=seed),
        [options.seed + 1 + number for number in range(options.stability)],
        result.labels,
    )
    return {**vars(found), "seeded": True}


def _agreement(labels: Labels, stored: StoredVectors) -> dict[str, float]:
    """Return how far a fit agrees with the field that was read, over the images that have one value of it."""
    (field,) = stored.fields
    values = [value_at(payload, field) for payload in stored.payloads]
    said = np.array([value is not None and not isinstance(value, list | dict) for value in values])
    if not said.any():
        raise BadRequest(
            f"No image has one value of {field} to compare with: name a field such as class.", field=field
        )
    classes = [str(value) for value, there in zip(values, said, strict=True) if there]
    return vars(agreement(labels[said], classes))
