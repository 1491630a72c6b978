"""The bodies of the routes of cluster runs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vitrine.api.schemas.changes import UNDO, UndoOut
from vitrine.api.schemas.common import ID, URLS, Taken, example
from vitrine.api.schemas.images import Urls
from vitrine.services.domain import Facet

_RUN = {
    "run": "look",
    "method": "tree",
    "using": "clip",
    "encoder_revision": "c237dc49",
    "images": 3680,
    "nodes": 141,
    "leaves": 120,
    "depth": 2,
    "seed": 0,
    "parameters": {"branching": 16, "leaf_size": 50, "depth": 8},
    "metrics": {},
    "created_at": "2026-11-20T10:00:00.000+00:00",
}
_CHILD = {
    "id": "root-14",
    "name": "dog, outdoors",
    "depth": 1,
    "count": 212,
    "radius": 0.61,
    "medoid": ID,
    "child_count": 5,
    "representatives": [{"id": ID, "urls": URLS}],
    "groupings": {"metadata.season": [{"value": "winter", "count": 80}]},
}


class ClusterRunOut(BaseModel):
    """One clustering of a category. ``nodes`` counts the root too; ``images`` is of the time it was made."""

    model_config = example(_RUN)

    run: str
    method: str
    using: str
    encoder_revision: str
    images: int
    nodes: int
    leaves: int
    depth: int
    seed: int
    parameters: dict[str, Any]
    metrics: dict[str, Any]
    created_at: str


class ClusterRunsOut(BaseModel):
    runs: list[ClusterRunOut]


class RepresentativeOut(BaseModel):
    id: str
    urls: Urls


class ClusterNodeOut(BaseModel):
    """``count``: images now. ``radius``: least cosine similarity of an image of the run to the mean of the
    node's images in the run, so that 1 minus it is the largest distance; null for noise. ``medoid`` and
    ``representatives`` are those that are still there; null if none is."""

    model_config = example(_CHILD)

    id: str
    name: str = Field(
        description="From people, a list of words, or the tags and classes that stand out; may be empty."
    )
    depth: int
    count: int
    radius: float | None
    medoid: str | None
    representatives: list[RepresentativeOut]
    child_count: int
    groupings: dict[str, list[Facet]]


class NodeBody(Taken):
    """What of a node is to change."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Garden tools"}]})

    name: str = Field(max_length=200, description="Its name; empty: none.")


class RenamedOut(ClusterNodeOut):
    """A node as it is after a change. ``undo`` is null where nothing was changed."""

    model_config = example({**_CHILD, "undo": UNDO})

    undo: UndoOut | None


class ClusterDetailOut(BaseModel):
    """A node, the ids above it from the root down, and its children by number, the largest of the run
    first."""

    run: str
    above: list[str]
    node: ClusterNodeOut
    children: list[ClusterNodeOut]


class FlowOut(BaseModel):
    """How many images are in the node ``a`` of the one run and in ``b`` of the other."""

    a: str
    b: str
    count: int


class ComparisonOut(BaseModel):
    """How far the runs ``a`` and ``b`` agree. ``images``: in a cluster of both; ``noise``: in none of one of
    them, and left out. ``ari``: the adjusted Rand index, 1 for equal runs, about 0 by chance; ``nmi`` in
    0..1."""

    model_config = example(
        {
            "a": "look",
            "b": "kinds",
            "level": 1,
            "images": 1200,
            "noise": 0,
            "ari": 0.312,
            "nmi": 0.544,
            "flows": [{"a": "root-0", "b": "root-2", "count": 88}],
            "total": 94,
        }
    )

    a: str
    b: str
    level: int | None
    images: int
    noise: int
    ari: float
    nmi: float
    flows: list[FlowOut] = Field(description="The largest first.")
    total: int = Field(description="How many flows there are in all.")
