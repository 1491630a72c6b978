"""Compare two stored runs on the images that both have in a cluster, or a run with a payload field.

Images in noise are left out: they are in no cluster, and as one large cluster they would make two runs seem
to agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from vitrine.indexer.enrich.clusters.agreement import adjusted_rand, agreement, normalised_mutual_information
from vitrine.indexer.job.job import Advance
from vitrine.services.artifacts.clusters import NOISE, ClusterRun, leaf_of, path_of
from vitrine.services.category.field_names import find_field
from vitrine.services.category.read_all import pages
from vitrine.services.domain import Payload
from vitrine.services.errors import BadRequest
from vitrine.services.runtime import Runtime
from vitrine.services.values.field_paths import value_at

PAGE = 5_000


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
    ``level``: None for the leaves. ``ari``: 0 by chance, 1 for equal runs; ``nmi`` in 0..1.
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
    advance: Advance | None = None,
) -> RunAgreement:
    """Compare two runs in service, at their leaves or at a ``level`` below the root (1: its children), as the
    images have it now.

    Nodes are listed by size. Memory: two numbers an image. ``NotFound``, ``BadRequest`` if no image is in
    both.
    """
    first, second = _runs(runtime, category, (run, other), level)
    ones, others, noise = _Numbers(), _Numbers(), 0
    for payload in _pages(runtime, category, (first.payload_field, second.payload_field), advance):
        one, two = leaf_of(payload, first.key), leaf_of(payload, second.key)
        if NOISE in (one, two):
            noise += bool(one and two)
        elif one and two:
            ones.add(_at(one, level))
            others.add(_at(two, level))
    if not ones.rows and noise:
        raise BadRequest(
            f"All {noise} images of both {run!r} and {other!r} are noise in one of them: there is "
            "nothing to compare."
        )
    if not ones.rows:
        raise BadRequest(
            f"No image is in both {run!r} and {other!r}: run `vitrine cluster assign`, or the "
            "clustering again."
        )
    a, b = ones.labels, others.labels
    return RunAgreement(
        run, other, level, len(a), noise, len(ones.ids), len(others.ids), round(adjusted_rand(a, b), 6),
        round(normalised_mutual_information(a, b), 6), _matches(first, second, ones, others),
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
    for payload in _pages(runtime, category, (found.payload_field, field), advance):
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


def _pages(
    runtime: Runtime, category: str, fields: Sequence[str], advance: Advance | None
) -> Iterator[Payload]:
    total, done = runtime.vectors.count(category), 0
    for page in pages(runtime.vectors, category, fields=tuple(fields), size=PAGE):
        for hit in page:
            yield hit.payload
        done += len(page)
        if advance:
            advance(done, total)


def _matches(run: ClusterRun, other: ClusterRun, ones: _Numbers, others: _Numbers) -> list[Match]:
    cells = Counter(zip(ones.rows, others.rows, strict=True))
    sizes, other_sizes = Counter(ones.rows), Counter(others.rows)
    ids, other_ids = list(ones.ids), list(others.ids)
    parts: Counter[int] = Counter()
    best: dict[int, tuple[int, int]] = {}
    for (one, two), shared in sorted(cells.items(), key=lambda cell: (-cell[1], other_ids[cell[0][1]])):
        parts[one] += 1
        best.setdefault(one, (two, shared))
    return [
        Match(
            node=ids[one],
            name=_name(run, ids[one]),
            images=size,
            other=other_ids[best[one][0]],
            other_name=_name(other, other_ids[best[one][0]]),
            shared=best[one][1],
            share=round(best[one][1] / size, 4),
            jaccard=round(best[one][1] / (size + other_sizes[best[one][0]] - best[one][1]), 4),
            parts=parts[one],
        )
        for one, size in sorted(sizes.items(), key=lambda item: (-item[1], ids[item[0]]))
    ]


def _name(run: ClusterRun, id: str) -> str:
    return run.nodes[id].name if id in run.nodes else ""


def _value(payload: Payload, path: str) -> object:
    """Return the value at a field path; None for a list, an object or no value."""
    value = value_at(payload, path)
    return None if isinstance(value, list | dict) else value
