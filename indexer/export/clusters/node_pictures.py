"""What pictures of a cluster run are made from: images of each node as they are now, and small versions of
some of them."""

from __future__ import annotations

from vitrine.services.artifacts.clusters import ROOT, ClusterRun, Node
from vitrine.services.category.filters import Conditions
from vitrine.services.runtime import Runtime
from vitrine.services.search.counts import count_values
from vitrine.services.vector_store.base import MAX_LIMIT


def node_counts(
    runtime: Runtime, category: str, run: ClusterRun, conditions: Conditions, levels: int | None = None
) -> dict[str, int]:
    """Images by node as they are now, of those that meet the conditions, down to ``levels`` below the root
    (None: all)."""
    wanted = [id for id, node in run.nodes.items() if levels is None or node.depth <= levels]
    inside = _within(conditions, run, ROOT)
    found = {
        facet.value: facet.count
        for facet in count_values(runtime.searcher, category, run.payload_field, inside, limit=MAX_LIMIT)
    }
    if len(found) < MAX_LIMIT:
        return {id: found.get(id, 0) for id in wanted}
    # a facet names only so many nodes: the others are counted one by one
    return {
        id: found[id] if id in found else runtime.searcher.count(category, _within(conditions, run, id))
        for id in wanted
    }


def members(
    runtime: Runtime,
    category: str,
    run: ClusterRun,
    node: Node,
    conditions: Conditions,
    limit: int,
    *,
    more: bool = False,
) -> list[str]:
    """Return the ids of at most ``limit`` images to show a node by: the medoid, the other representatives,
    and with ``more`` some of the rest. With conditions only images that meet them, so that a node may have
    none."""
    chosen = _there(
        runtime,
        category,
        list(dict.fromkeys(filter(None, (node.medoid, *node.representatives))))[:limit],
        conditions,
    )
    if len(chosen) < (limit if more or conditions != Conditions() else 1):
        # ids are hashes of the content: the lowest are as good as drawn at random, and the same each time
        others = runtime.searcher.listing(category, _within(conditions, run, node.id), limit=limit).hits
        chosen = list(dict.fromkeys([*chosen, *(hit.id for hit in others)]))[:limit]
    return chosen


def _there(runtime: Runtime, category: str, ids: list[str], conditions: Conditions) -> list[str]:
    """Return the images that still exist and meet the conditions."""
    if conditions == Conditions():
        return [
            hit.id for hit in runtime.vectors.retrieve(category, ids, with_payload=False) if hit is not None
        ]
    asked = [id for id in ids if not conditions.ids or id in conditions.ids] or [_NOBODY]
    page = runtime.searcher.listing(
        category, conditions.model_copy(update={"ids": tuple(asked)}), limit=len(asked)
    )
    there = {hit.id for hit in page.hits}
    return [id for id in ids if id in there]


def _within(conditions: Conditions, run: ClusterRun, node: str) -> Conditions:
    """Return the conditions narrowed to this node. A person's own ``--where cluster.RUN=...`` must agree: it
    names a node below or above."""
    asked = conditions.clusters.get(run.run)
    if asked is not None and not _on_one_path(asked, node):
        return conditions.model_copy(update={"ids": (_NOBODY,)})
    deeper = node if asked is None or len(node) >= len(asked) else asked
    return conditions.model_copy(update={"clusters": {**conditions.clusters, run.run: deeper}})


_NOBODY = "00000000-0000-0000-0000-000000000000"


def _on_one_path(one: str, other: str) -> bool:
    return f"{one}-".startswith(f"{other}-") or f"{other}-".startswith(f"{one}-")
