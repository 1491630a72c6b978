"""Browsing a cluster run: the children of a node with the images they hold now, and what those have in
common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vitrine.services.artifacts.clusters import ClusterRun, Node
from vitrine.services.category.filters import Conditions
from vitrine.services.domain import Facet
from vitrine.services.errors import BadRequest
from vitrine.services.search.counts import count_values
from vitrine.services.vector_store.base import MAX_LIMIT

if TYPE_CHECKING:
    from vitrine.services.artifacts.clusters import ClusterStore
    from vitrine.services.search.searcher import Searcher

MAX_FIELDS = 10
VALUES = 10
"""The most frequent values of each field that are shown."""


@dataclass(frozen=True)
class NodeView:
    """A node with the images it holds now. The medoid and representatives of ``node`` are those that still
    exist. ``count``: its images. ``groupings``: by field, the most frequent values among them."""

    node: Node
    count: int
    groupings: Mapping[str, tuple[Facet, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeDetail:
    """A node, the nodes above it from the root down, and its children in order of number."""

    run: ClusterRun
    view: NodeView
    above: tuple[Node, ...]
    children: tuple[NodeView, ...]


def children(
    searcher: Searcher,
    clusters: ClusterStore,
    category: str,
    run: str,
    node: str,
    group_by: Sequence[str] = (),
    *,
    values: int = VALUES,
) -> NodeDetail:
    """Return a node of a run with its children. ``group_by``: indexed keyword, integer or bool fields, at
    most ten, whose values are counted in each node.

    Counted by the engine over the path's index, whatever the size of the category. ``NotFound`` (category,
    run, node), ``UnknownField`` for a field that cannot be counted by value.
    """
    fields = tuple(dict.fromkeys(group_by))
    if len(fields) > MAX_FIELDS:
        raise BadRequest(f"{len(fields)} fields are too many to group by at once: name up to {MAX_FIELDS}.")
    searcher.catalog.get(category)
    found = clusters.get(category, run)
    chosen = found.node(node)
    chosen, *below = _with_images_there(
        searcher, category, [chosen, *(found.nodes[id] for id in chosen.children)]
    )
    counts = _counts(searcher, category, found, [chosen, *below])

    def view(one: Node) -> NodeView:
        inside = Conditions(clusters={run: one.id})
        groupings = {
            name: tuple(count_values(searcher, category, name, inside, limit=values)) for name in fields
        }
        return NodeView(one, counts[one.id], groupings)

    above = tuple(found.nodes[id] for id in chosen.path[:-1])
    return NodeDetail(found, view(chosen), above, tuple(view(one) for one in below))


def _with_images_there(searcher: Searcher, category: str, nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes without the representatives that were deleted since, by one request for all of
    them."""
    asked = list(dict.fromkeys(id for node in nodes for id in node.representatives))
    hits = searcher.vectors.retrieve(category, asked, with_payload=False)
    there = {hit.id for hit in hits if hit is not None}
    left = [tuple(id for id in node.representatives if id in there) for node in nodes]
    return [
        replace(node, medoid=ids[0] if ids else None, representatives=ids)
        for node, ids in zip(nodes, left, strict=True)
    ]


def _counts(searcher: Searcher, category: str, found: ClusterRun, nodes: Sequence[Node]) -> dict[str, int]:
    """Return the number of images of each node; the first node is the parent of the others."""
    inside = Conditions(clusters={found.run: nodes[0].id})
    counted = {
        facet.value: facet.count
        for facet in count_values(searcher, category, found.payload_field, inside, limit=MAX_LIMIT)
    }
    if len(counted) == MAX_LIMIT:  # a child may have been left out for more frequent descendants of others
        return {
            node.id: searcher.count(category, Conditions(clusters={found.run: node.id})) for node in nodes
        }
    return {node.id: counted.get(node.id, 0) for node in nodes}
