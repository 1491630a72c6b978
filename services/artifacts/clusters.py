"""Cluster runs: a category's images in clusters or in a tree of them.

A run has a name, such as ``look``, and is stored on the images under a key, such as ``look-1``; the next run
of that name gets another key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from vitrine.services.artifacts.store import Arrays, ArtifactStore, now
from vitrine.services.domain import Embeddings, Payload
from vitrine.services.errors import NotFound
from vitrine.services.object_store.keys import CLUSTERS
from vitrine.services.values.field_paths import field_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vitrine.services.category.filters import Conditions

ROOT = "root"
NOISE = f"{ROOT}-noise"
"""The node of what a density-based method puts into no cluster."""
_CENTRES = "centres"
_SHOWN = 5
"""Children that an error names."""
_NO_RADIUS = -1.0
"""Stands for a radius of None: no similarity is below it."""
_CHUNK = 4_096


class Branch(Protocol):
    """A node of a tree, as far as assigning images needs it."""

    @property
    def children(self) -> tuple[str, ...]: ...

    @property
    def radius(self) -> float | None: ...


@dataclass(frozen=True)
class Node:
    """A cluster, or a branch of a tree. ``id`` is the path from the top: ``root``, ``root-14``,
    ``root-14-3``.

    ``count``: images when the run was made. ``radius``: least cosine similarity of one of these to the mean
    of all of them, so that 1 minus it is the largest distance; None for noise, which has none. ``medoid``:
    the image that is most similar to all others, on average; None in a view of a node of which no
    representative is left. ``representatives``: a few image ids, the medoid first. ``named_by``: where the
    name comes from, "tags", "words" of a list, the "file" that it was imported from, or "people".
    """

    id: str
    parent: str | None
    depth: int
    count: int
    medoid: str | None
    representatives: tuple[str, ...]
    radius: float | None
    name: str = ""
    children: tuple[str, ...] = ()
    named_by: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """Ids from the root down to this node."""
        return path_of(self.id)


@dataclass(frozen=True, eq=False)
class ClusterRun:
    """One clustering. Row i of ``centres`` (nodes, dim) is the mean of the i-th node, which decides what is
    assigned to it; the row of noise is zero.

    ``nodes``: parents before children. ``using``: the named vector; its encoder had ``encoder_revision``.
    ``images``: how many were clustered. ``created_at`` is RFC 3339 in UTC, as is ``named_at``, when nodes
    last got other names, if they ever did.
    """

    run: str
    method: str
    using: str
    encoder_revision: str
    nodes: Mapping[str, Node]
    centres: Embeddings
    images: int
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    created_at: str = ""
    named_at: str = ""

    @property
    def written_at(self) -> str:
        """When its files last changed: the only difference between two runs of one key."""
        return self.named_at or self.created_at

    @property
    def payload_field(self) -> str:
        """The payload field of the paths, which queries filter."""
        return path_field(self.key)

    def node(self, id: str) -> Node:
        """Return a node by its id. ``NotFound``."""
        if id not in self.nodes:
            children = self.nodes[ROOT].children
            first = ", ".join(children[:_SHOWN]) or "nothing else"
            first += f" and {len(children) - _SHOWN} more" if len(children) > _SHOWN else ""
            raise NotFound(
                f"Run {self.run!r} has no node {id!r}: begin at {ROOT}, which has {first}.",
                run=self.run,
                node=id,
            )
        return self.nodes[id]

    @property
    def leaves(self) -> list[Node]:
        return [node for node in self.nodes.values() if not node.children]

    @property
    def depth(self) -> int:
        return max(node.depth for node in self.nodes.values())

    def assign(self, embeddings: Embeddings) -> list[tuple[str, ...]]:
        """Return the path of each row of ``embeddings`` (n, dim), as its payload is to have it."""
        return [path_of(id) for id in assign_leaves(self.nodes, self.centres, embeddings)]


class ClusterStore(ArtifactStore[ClusterRun]):
    """The cluster runs of all categories."""

    prefix, noun, detail, remake = CLUSTERS, "cluster run", "run", "run the clustering again"

    def _name(self, artifact: ClusterRun) -> str:
        return artifact.run

    def _keyed(self, artifact: ClusterRun, key: str) -> ClusterRun:
        return replace(artifact, key=key, created_at=now(), named_at="")

    def _encode(self, artifact: ClusterRun) -> tuple[dict[str, Any], Arrays]:
        tree = {name: value for name, value in vars(artifact).items() if name != _CENTRES}
        nodes = [asdict(node) for node in artifact.nodes.values()]
        return {**tree, "nodes": nodes}, {_CENTRES: artifact.centres.astype("float32")}

    def _decode(self, tree: dict[str, Any], arrays: Arrays) -> ClusterRun:
        nodes = [
            Node(**node | {name: tuple(node[name]) for name in ("representatives", "children")})
            for node in tree.pop("nodes")
        ]
        return ClusterRun(centres=arrays[_CENTRES], nodes={node.id: node for node in nodes}, **tree)

    def resolve(self, category: str, conditions: Conditions) -> Conditions:
        """Return the conditions with keys in service in place of run names. ``NotFound`` (run or node)."""
        if not conditions.clusters:
            return conditions
        runs = {name: self.get(category, name) for name in conditions.clusters}
        keys = {runs[name].key: runs[name].node(id).id for name, id in conditions.clusters.items()}
        return conditions.model_copy(update={"clusters": keys})

    def rename(
        self, category: str, run: ClusterRun, nodes: Mapping[str, Node], parameters: Mapping[str, Any]
    ) -> ClusterRun:
        """Give the nodes of a run in service other names, and its parameters other values, in one write.

        Returns the run as it is then. ``NotFound`` if it was replaced or renamed meanwhile; nothing
        has changed then.
        """

        def rename(present: ClusterRun) -> ClusterRun:
            if present.written_at != run.written_at:
                raise NotFound(
                    f"The cluster run {run.run!r} was replaced meanwhile: name its nodes again.", run=run.run
                )
            return replace(present, nodes=dict(nodes), parameters=dict(parameters), named_at=now())

        return self.update(category, run.key, rename)

    def rename_node(self, category: str, key: str, id: str, name: str, named_by: str) -> ClusterRun:
        """Give one node of the run in service under ``key`` another name, in one write, and return the run as
        it is then. ``NotFound``."""

        def rename(present: ClusterRun) -> ClusterRun:
            node = replace(present.node(id), name=name, named_by=named_by)
            return replace(present, nodes={**present.nodes, id: node}, named_at=now())

        return self.update(category, key, rename)


def assign_leaves(nodes: Mapping[str, Branch], centres: Embeddings, x: Embeddings) -> list[str]:
    """Return the leaf of each row of ``x`` (n, dim): down from the root, each time to the child with the
    nearest centre, as in training.

    A row that is farther from the centre of its leaf than any member goes to noise, if the run has a node of
    that.
    """
    import numpy as np

    row_of = {id: row for row, id in enumerate(nodes)}
    found = np.zeros(len(x), np.int64)
    level = [(ROOT, np.arange(len(x)))]
    while level:
        id, rows = level.pop()
        children = [child for child in nodes[id].children if child != NOISE]
        found[rows] = row_of[id]
        if not children or not len(rows):
            continue
        nearest = _nearest(x, rows, centres[[row_of[child] for child in children]])
        level += [(child, rows[nearest == number]) for number, child in enumerate(children)]
    if NOISE in nodes:
        radii = np.array(
            [_NO_RADIUS if node.radius is None else node.radius for node in nodes.values()], np.float32
        )
        lengths = np.linalg.norm(centres, axis=1)
        lengths[lengths == 0] = 1
        similar = np.einsum("ij,ij->i", x, centres[found]) / lengths[found]
        found[similar < radii[found] - 1e-5] = row_of[NOISE]
    ids = list(nodes)
    return [ids[row] for row in found.tolist()]


def _nearest(x: Embeddings, rows: NDArray[np.int64], centres: Embeddings) -> NDArray[np.int64]:
    """Return the number of the centre with the least Euclidean distance to each row, ties to the lower."""
    import numpy as np

    half = 0.5 * np.einsum("ij,ij->i", centres, centres)
    nearest = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _CHUNK):
        nearest[start : start + _CHUNK] = (x[rows[start : start + _CHUNK]] @ centres.T - half).argmax(axis=1)
    return nearest


def path_of(id: str) -> tuple[str, ...]:
    """Return the ids from the root down to a node.

    >>> path_of("root-14-3")
    ('root', 'root-14', 'root-14-3')
    """
    parts = id.split("-")
    return tuple("-".join(parts[:end]) for end in range(1, len(parts) + 1))


def membership(path: Iterable[str]) -> Payload:
    """Return what the payload has under ``clusters.<key>``: the path, and by ``id`` which child of the root
    it is in.

    >>> membership(("root", "root-14", "root-14-3"))
    {'id': '14', 'path': ['root', 'root-14', 'root-14-3']}
    """
    nodes = list(path)
    return {"id": nodes[1].removeprefix(f"{ROOT}-") if len(nodes) > 1 else ROOT, "path": nodes}


def leaf_of(payload: Mapping[str, Any], key: str) -> str:
    """Return the leaf that a payload has under a key; "" if it has none."""
    path = payload.get("clusters", {}).get(key, {}).get("path", ())
    return str(path[-1]) if path else ""


def path_field(key: str) -> str:
    """Return the payload field of the paths under a key."""
    return field_path("clusters", key, "path")
