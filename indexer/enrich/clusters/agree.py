"""Compare two stored runs on the images that both have in a cluster, or a run with a payload field.

Images in noise are left out: they are in no cluster, and as one large cluster they would make two runs seem
to agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.clusters.agreement import adjusted_rand, agreement, normalised_mutual_information
from vitrine.indexer.job.job import Advance
from vitrine.services.artifacts.clusters import NOISE, ClusterRun, leaf_of, path_of
from vitrine.services.category.field_names import find_field
from vitrine.services.category.read_all import pages
from vitrine.services.columns.column import Column
from vitrine.services.columns.table import TableBuilder
from vitrine.services.domain import Hit, Payload
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime
from vitrine.services.values.field_paths import value_at

PAGE = 5_000
Labels: TypeAlias = NDArray[np.int64]
"""(images,): the number of the node that each image is in."""


@dataclass(frozen=True)
class Flow:
    """How many images (``count``) are in the node ``a`` of one run and in ``b`` of the other."""

    a: str
    b: str
    count: int


@dataclass(frozen=True)
class Match:
    """A node and the node of the other run that holds most of its images.

    ``shared``: images in both; ``share``: of the node's images; ``jaccard``: shared images over those in
    either. ``parts``: over how many nodes of the other run its images are spread.
    """

    node: str
    name: str
    images: int
    other: str
    other_name: str
    shared: int
    share: float
    jaccard: float
    parts: int


@dataclass(frozen=True)
class RunAgreement:
    """How far two runs agree.

    ``images``: in a cluster of both; ``noise``: left out, since one of the runs has them in no cluster;
    ``level``: None for the leaves. ``ari``: 0 by chance, 1 for equal runs; ``nmi`` in 0..1. ``flows``: where
    the images of each node are in the other run, the largest first.
    """

    run: str
    other: str
    level: int | None
    images: int
    noise: int
    nodes: int
    other_nodes: int
    ari: float
    nmi: float
    matches: list[Match] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class FieldAgreement:
    """How far a run agrees with a payload field.

    ``images``: in a cluster of the run, with one value of the field; ``noise``: with a value, but in no
    cluster. ``purity``: share of images that have the most frequent value of their node.
    """

    run: str
    field: str
    level: int | None
    images: int
    noise: int
    nodes: int
    values: int
    nmi: float
    ari: float
    purity: float

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


def agree(
    runtime: Runtime,
    category: str,
    run: str,
    other: str,
    *,
    level: int | None = None,
    kept: bool = False,
    advance: Advance | None = None,
) -> RunAgreement:
    """Compare two runs in service, at their leaves or at a ``level`` below the root (1: its children), as the
    images have it now.

    Nodes are listed by size. ``kept``: by the columns that a server keeps in memory, where it has them, in
    place of reading all images. ``NotFound``, ``BadRequest`` if no image is in both.
    """
    runs = _runs(runtime, category, (run, other), level)
    sides = [
        _Side.of(column, level)
        for column in _columns(runtime, category, [one.payload_field for one in runs], kept, advance)
    ]
    both = sides[0].has & sides[1].has
    noise = both & (sides[0].noise | sides[1].noise)
    counted = np.flatnonzero(both & ~noise)
    left_out = int(noise.sum())
    if not len(counted) and left_out:
        raise BadRequest(
            f"All {left_out} images of both {run!r} and {other!r} are noise in one of them: there is "
            "nothing to compare."
        )
    if not len(counted):
        raise BadRequest(
            f"No image is in both {run!r} and {other!r}: run `vitrine cluster assign`, or the "
            "clustering again."
        )
    a, b = (side.labels[counted] for side in sides)
    flows = _flows(a, b, sides[0].ids, sides[1].ids)
    return RunAgreement(
        run, other, level, len(counted), left_out, len({flow.a for flow in flows}),
        len({flow.b for flow in flows}), round(adjusted_rand(a, b), 6),
        round(normalised_mutual_information(a, b), 6), _matches(runs[0], runs[1], flows), flows,
    )  # fmt: skip


def agree_with_field(
    runtime: Runtime,
    category: str,
    run: str,
    name: str,
    *,
    level: int | None = None,
    advance: Advance | None = None,
) -> FieldAgreement:
    """Compare a run with the values of a payload field, over the images that have one value (not a list).

    ``NotFound``, ``BadRequest`` if no image has one.
    """
    (found,) = _runs(runtime, category, (run,), level)
    nodes, values, noise = _Numbers(), _Numbers(), 0
    field = find_field(name, runtime.catalog.get(category).indexes)
    read = _read(runtime, category, (found.payload_field, field), advance)
    for payload in (hit.payload for page in read for hit in page):
        leaf, value = leaf_of(payload, found.key), _value(payload, field)
        if leaf == NOISE:
            noise += value is not None
        elif leaf and value is not None:
            nodes.add(_at(leaf, level))
            values.add(str(value))
    if not nodes.rows and noise:
        raise BadRequest(
            f"All {noise} images with a value of {name!r} are noise in {run!r}: there is nothing to compare."
        )
    if not nodes.rows:
        raise BadRequest(
            f"No image of the run {run!r} has one value of {name!r}: name a field such as class or "
            "metadata.COLUMN.",
            field=name,
        )
    figures = {key: round(figure, 6) for key, figure in vars(agreement(nodes.labels, values.labels)).items()}
    return FieldAgreement(
        run, name, level, len(nodes.rows), noise, len(nodes.ids), len(values.ids), **figures
    )


class _Numbers:
    """Words as numbers, one for each image."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.rows: list[int] = []

    def add(self, word: str) -> None:
        self.rows.append(self.ids.setdefault(word, len(self.ids)))

    @property
    def labels(self) -> Any:
        return np.array(self.rows, np.int32)


def _runs(runtime: Runtime, category: str, names: Sequence[str], level: int | None) -> list[ClusterRun]:
    """Return the runs; ``BadRequest`` unless one of them has this level. A shallower one is compared by its
    leaves."""
    runtime.catalog.get(category)
    runs = [runtime.clusters.get(category, name) for name in names]
    deepest = max(run.depth for run in runs)
    if level is not None and not 1 <= level <= deepest:
        raise BadRequest(
            f"{' and '.join(map(repr, names))} have levels 1 to {deepest}, not {level}.", level=level
        )
    return runs


def _at(leaf: str, level: int | None) -> str:
    return leaf if level is None else path_of(leaf)[: level + 1][-1]


def _read(
    runtime: Runtime, category: str, fields: Sequence[str], advance: Advance | None
) -> Iterator[tuple[Hit, ...]]:
    total, done = runtime.vectors.count(category), 0
    for page in pages(runtime.vectors, category, fields=tuple(fields), size=PAGE):
        yield page
        done += len(page)
        if advance:
            advance(done, total)


def _columns(
    runtime: Runtime, category: str, fields: Sequence[str], kept: bool, advance: Advance | None
) -> list[Column]:
    """Return these fields of all images: those that are kept in memory, or else read page by page."""
    found = runtime.columns.snapshot(category, fields, patience=None) if kept else None
    if found is not None:
        return [found.table.columns[field] for field in fields]
    builder = TableBuilder(dict.fromkeys(fields, "keyword"))
    for hits in _read(runtime, category, fields, advance):
        builder.add(hits)
    table = builder.table()
    return [table.columns[field] for field in fields]


@dataclass(frozen=True, eq=False)
class _Side:
    """Where one of the runs has each image: which images it ``has``, which of them in ``noise``, and the
    number in ``ids`` of the node of each."""

    has: NDArray[np.bool_]
    noise: NDArray[np.bool_]
    labels: Labels
    ids: Sequence[str]

    @classmethod
    def of(cls, column: Column, level: int | None) -> _Side:
        """Return it from the column of paths, with nodes of a level; None: the leaves."""
        leaves, has = column.last_items()
        words = [str(word) for word in column.words.values] or [""]
        nodes = [_at(word, level) for word in words]
        ids = list(dict.fromkeys(nodes))
        number = {id: n for n, id in enumerate(ids)}
        noise = np.array([word == NOISE for word in words])
        return cls(has, noise[leaves], np.array([number[id] for id in nodes], np.int64)[leaves], ids)


def _flows(a: Labels, b: Labels, a_ids: Sequence[str], b_ids: Sequence[str]) -> list[Flow]:
    cells, counts = np.unique(a * len(b_ids) + b, return_counts=True)
    found = [
        Flow(a_ids[cell // len(b_ids)], b_ids[cell % len(b_ids)], count)
        for cell, count in zip(cells.tolist(), counts.tolist(), strict=True)
    ]
    return sorted(found, key=lambda flow: (-flow.count, flow.a, flow.b))


def _matches(run: ClusterRun, other: ClusterRun, flows: Sequence[Flow]) -> list[Match]:
    sizes: Counter[str] = Counter()
    other_sizes: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    best: dict[str, Flow] = {}
    for flow in flows:
        sizes[flow.a] += flow.count
        other_sizes[flow.b] += flow.count
        parts[flow.a] += 1
        best.setdefault(flow.a, flow)
    return [
        Match(
            node=node,
            name=_name(run, node),
            images=size,
            other=best[node].b,
            other_name=_name(other, best[node].b),
            shared=best[node].count,
            share=round(best[node].count / size, 4),
            jaccard=round(best[node].count / (size + other_sizes[best[node].b] - best[node].count), 4),
            parts=parts[node],
        )
        for node, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    ]


def _name(run: ClusterRun, id: str) -> str:
    return run.nodes[id].name if id in run.nodes else ""


def _value(payload: Payload, path: str) -> object:
    """Return the value at a field path; None for a list, an object or no value."""
    value = value_at(payload, path)
    return None if isinstance(value, list | dict) else value
