"""Cluster runs: which there are, and their nodes. Images of a node are found by the filter
``cluster.<run>=<node>``."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query
from starlette.responses import Response

from vitrine.api.auth import READ, WRITE
from vitrine.api.deps import LimitParameter, RuntimeDep, no_other_parameters
from vitrine.api.openapi import body_of
from vitrine.api.responses import image_urls
from vitrine.api.route import Json, json_body
from vitrine.api.route import router as new_router
from vitrine.api.schemas.changes import UndoOut
from vitrine.api.schemas.common import numbers_of
from vitrine.api.schemas.findings.clusters import (
    ClusterDetailOut,
    ClusterNodeOut,
    ClusterRunOut,
    ClusterRunsOut,
    ComparisonOut,
    NodeBody,
    RenamedOut,
)
from vitrine.indexer.enrich.clusters.agree import agree
from vitrine.indexer.enrich.clusters.runs import delete_run
from vitrine.services.artifacts.cluster_changes import rename_node
from vitrine.services.artifacts.clusters import ClusterRun
from vitrine.services.search.cluster_nodes import MAX_FIELDS, VALUES, NodeView, children
from vitrine.services.vector_store.base import MAX_LIMIT

router = new_router("clusters", "/v1/categories/{category}/clusters")


@router.get("", dependencies=[READ, Depends(no_other_parameters())])
def cluster_runs(category: str, runtime: RuntimeDep) -> ClusterRunsOut:
    """List the cluster runs of a category, by name. 404 ``not_found``."""
    runtime.catalog.get(category)
    return ClusterRunsOut(runs=[_shown(run) for run in runtime.clusters.in_service(category)])


@router.get(
    "/compare",
    responses={200: {"model": ComparisonOut}},
    dependencies=[READ, Depends(no_other_parameters("a", "b", "level", "limit"))],
)
def compare_clusters(
    category: str,
    runtime: RuntimeDep,
    a: Annotated[str, Query(description="A run.")],
    b: Annotated[str, Query(description="The run to compare it with.")],
    level: Annotated[
        int | None, Query(ge=1, description="Below the root: 1 compares its children; default: the leaves.")
    ] = None,
    limit: LimitParameter = MAX_LIMIT,
) -> Response:
    """Compare two runs on the images that both have in a cluster: how far they agree, and where the images
    of each node went.

    404 ``not_found`` for an unknown category or run; 422 ``bad_request`` for a level that neither has, and
    where no image is in both.
    """
    found = agree(runtime, category, a, b, level=level, kept=True)
    return Json(
        {
            "a": a,
            "b": b,
            "level": level,
            "images": found.images,
            "noise": found.noise,
            "ari": found.ari,
            "nmi": found.nmi,
            "flows": [vars(flow) for flow in found.flows[:limit]],
            "total": len(found.flows),
        }
    )


@router.get("/{run}/nodes/{node}", dependencies=[READ, Depends(no_other_parameters("groupings", "values"))])
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


@router.delete("/{run}", status_code=204, dependencies=[WRITE, Depends(no_other_parameters())])
def delete_cluster_run(category: str, run: str, runtime: RuntimeDep) -> Response:
    """Delete a run: first for queries, then on the images, which stay themselves. Nothing brings it back.

    Answers when that is done; the same request again completes one that was interrupted. 404 ``not_found``.
    """
    delete_run(runtime, category, run)
    return Response(status_code=204)


@router.patch("/{run}/nodes/{node}", openapi_extra=body_of(NodeBody), dependencies=[WRITE])
def change_cluster_node(
    category: str,
    run: str,
    node: str,
    runtime: RuntimeDep,
    body: Annotated[NodeBody, Depends(json_body(NodeBody))],
) -> RenamedOut:
    """Give a node another name, which a list of words does not replace. 404 ``not_found``."""
    record = runtime.editor.record(category)
    rename_node(runtime.clusters, category, run, node, body.name, record=record)
    view = children(runtime.searcher, runtime.clusters, category, run, node).view
    return RenamedOut(**vars(_shown_node(category, view)), undo=UndoOut.of(record.undo))


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
