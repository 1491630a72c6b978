"""Cluster runs: which there are, and their nodes. Images of a node are found by the filter
``cluster.<run>=<node>``."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from vitrine.api.deps import RuntimeDep, no_other_parameters
from vitrine.api.responses import image_urls
from vitrine.api.route import router as new_router
from vitrine.api.schemas.clusters import ClusterDetailOut, ClusterNodeOut, ClusterRunOut, ClusterRunsOut
from vitrine.api.schemas.common import numbers_of
from vitrine.services.artifacts.clusters import ClusterRun
from vitrine.services.search.cluster_nodes import MAX_FIELDS, VALUES, NodeView, children

router = new_router("clusters", "/v1/categories/{category}/clusters", "read")


@router.get("", dependencies=[Depends(no_other_parameters())])
def cluster_runs(category: str, runtime: RuntimeDep) -> ClusterRunsOut:
    """List the cluster runs of a category, by name. 404 ``not_found``."""
    runtime.catalog.get(category)
    return ClusterRunsOut(runs=[_shown(run) for run in runtime.clusters.in_service(category)])


@router.get("/{run}/nodes/{node}", dependencies=[Depends(no_other_parameters("groupings", "values"))])
def cluster_node(
    category: str,
    run: str,
    node: str,
    runtime: RuntimeDep,
    groupings: Annotated[
        list[str] | None,
        Query(
            max_length=MAX_FIELDS,
            description="Count the values of this keyword, integer or bool field, or of "
            "`cluster.RUN`, in each; again: more.",
        ),
    ] = None,
    values: Annotated[int, Query(ge=1, le=100, description="Most frequent values of each field.")] = VALUES,
) -> ClusterDetailOut:
    """Return a node, such as ``root`` or ``root-14-3``, and its children: images, name, representatives,
    groupings.

    404 ``not_found`` for an unknown category, run or node; 422 ``unknown_field`` for a field that cannot be
    counted by value.
    """
    found = children(runtime.searcher, runtime.clusters, category, run, node, groupings or (), values=values)
    return ClusterDetailOut(
        run=run,
        above=[one.id for one in found.above],
        node=_shown_node(category, found.view),
        children=[_shown_node(category, child) for child in found.children],
    )


def _shown(run: ClusterRun) -> ClusterRunOut:
    counts = {"nodes": len(run.nodes), "leaves": len(run.leaves), "depth": run.depth}
    return ClusterRunOut.model_validate({**vars(run), **counts, "metrics": numbers_of(run.metrics)})


def _shown_node(category: str, view: NodeView) -> ClusterNodeOut:
    node = view.node
    return ClusterNodeOut.model_validate(
        {
            **vars(node),
            "count": view.count,
            "representatives": [{"id": id, "urls": image_urls(category, id)} for id in node.representatives],
            "child_count": len(node.children),
            "groupings": view.groupings,
        }
    )
