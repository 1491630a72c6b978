"""Cluster runs: which there are, and their nodes. Images of a node are found by the filter
``cluster.<run>=<node>``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from vitrine.api.auth import require
from vitrine.api.deps import RuntimeDep, no_other_parameters
from vitrine.api.responses import as_json, image_urls
from vitrine.api.schemas.clusters import ClusterDetailOut, ClusterRunsOut
from vitrine.services.artifacts.clusters import ClusterRun
from vitrine.services.search.cluster_nodes import MAX_FIELDS, VALUES, NodeView, children

router = APIRouter(
    prefix="/v1/categories/{category}/clusters", tags=["clusters"], dependencies=[Depends(require("read"))]
)
_TOLD = ("run", "method", "using", "encoder_revision", "images", "seed", "parameters", "created_at")


@router.get(
    "",
    responses={200: {"model": ClusterRunsOut}},
    response_class=Response,
    dependencies=[Depends(no_other_parameters())],
)
def cluster_runs(category: str, runtime: RuntimeDep) -> Response:
    """The cluster runs of a category, by name. 404 ``not_found``."""
    runtime.catalog.get(category)
    return as_json({"runs": [_run_json(run) for run in runtime.clusters.in_service(category)]})


@router.get(
    "/{run}/nodes/{node}",
    responses={200: {"model": ClusterDetailOut}},
    response_class=Response,
    dependencies=[Depends(no_other_parameters("groupings", "values"))],
)
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
) -> Response:
    """A node, such as ``root`` or ``root-14-3``, and its children: images, name, representatives, groupings.

    404 ``not_found`` for an unknown category, run or node; 422 ``unknown_field`` for a field that cannot be
    counted by value.
    """
    found = children(runtime.searcher, runtime.clusters, category, run, node, groupings or (), values=values)
    return as_json(
        {
            "run": run,
            "above": [one.id for one in found.above],
            "node": _node_json(category, found.view),
            "children": [_node_json(category, child) for child in found.children],
        }
    )


def _run_json(run: ClusterRun) -> dict[str, Any]:
    tree = {name: getattr(run, name) for name in _TOLD}
    numbers = {name: value for name, value in run.metrics.items() if isinstance(value, int | float)}
    return {
        **tree,
        "metrics": numbers,
        "nodes": len(run.nodes),
        "leaves": len(run.leaves),
        "depth": run.depth,
    }


def _node_json(category: str, view: NodeView) -> dict[str, Any]:
    node = view.node
    return {
        "id": node.id,
        "name": node.name,
        "depth": node.depth,
        "count": view.count,
        "radius": node.radius,
        "medoid": node.medoid,
        "representatives": [{"id": id, "urls": image_urls(category, id)} for id in node.representatives],
        "child_count": len(node.children),
        "groupings": {
            name: [{"value": facet.value, "count": facet.count} for facet in facets]
            for name, facets in view.groupings.items()
        },
    }
