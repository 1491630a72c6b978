from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from tests.api.helpers import picture, upload
from vitrine.api.schemas import clusters as cluster_schemas
from vitrine.api.schemas.clusters import ClusterDetailOut, ClusterRunsOut
from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.runs import cluster, fit_tree
from vitrine.services.runtime import Runtime

CLUSTERS = "/v1/categories/colours/clusters"
IMAGES = "/v1/categories/colours/images"


@pytest.fixture
def clustered(client: TestClient, runtime: Runtime, ids: dict[str, str]) -> TestClient:
    """Five pictures in a tree of single images."""
    cluster(runtime, "colours", "look", fit_tree(TreeOptions(2, 1, 2)))
    return client


def test_the_runs_of_a_category(clustered: TestClient) -> None:
    told = clustered.get(CLUSTERS).json()
    assert ClusterRunsOut.model_validate(told)
    [run] = told["runs"]
    assert (run["run"], run["method"], run["using"], run["images"], run["depth"]) == (
        "look",
        "tree",
        "colour",
        5,
        2,
    )
    assert "key" not in run
    clustered.post("/v1/categories", json={"name": "empty"})
    assert clustered.get("/v1/categories/empty/clusters").json() == {"runs": []}
    assert clustered.get("/v1/categories/nothing/clusters").status_code == 404


def test_a_node_its_children_and_their_groupings(clustered: TestClient, ids: dict[str, str]) -> None:
    told = clustered.get(
        f"{CLUSTERS}/look/nodes/root", params={"groupings": ["class", "metadata.year"]}
    ).json()
    assert ClusterDetailOut.model_validate(told)
    assert (told["above"], told["node"]["count"], told["node"]["child_count"]) == ([], 5, 2)
    assert [child["id"] for child in told["children"]] == ["root-0", "root-1"]
    assert sum(child["count"] for child in told["children"]) == 5
    classes = [group for child in told["children"] for group in child["groupings"]["class"]]
    assert sum(group["count"] for group in classes if group["value"] == "warm") == 2
    shown = told["children"][0]["representatives"][0]
    assert shown["id"] in ids.values() and clustered.get(shown["urls"]["thumbnail"]).status_code == 200
    below = clustered.get(f"{CLUSTERS}/look/nodes/root-0").json()
    assert below["above"] == ["root"] and below["node"] == {**told["children"][0], "groupings": {}}


def test_membership_is_a_filter_everywhere(clustered: TestClient) -> None:
    count = clustered.get(f"{CLUSTERS}/look/nodes/root-0").json()["node"]["count"]
    assert len(clustered.get(IMAGES, params={"cluster.look": "root-0"}).json()["hits"]) == count
    body = {"text": "red", "limit": 10, "filter": {"clusters": {"look": "root-0"}}}
    assert len(clustered.post("/v1/categories/colours/search", json=body).json()["hits"]) == count
    facets = clustered.get("/v1/categories/colours/facets/class", params={"cluster.look": "root-0"}).json()
    assert sum(value["count"] for value in facets["values"]) == count


def test_uploaded_pictures_are_in_a_node_at_once(clustered: TestClient) -> None:
    assert upload(clustered, "colours", ("pink.png", picture((240, 90, 140)))).status_code == 201
    assert clustered.get(f"{CLUSTERS}/look/nodes/root").json()["node"]["count"] == 6


def test_what_there_is_not(clustered: TestClient) -> None:
    for path in ("mood/nodes/root", "look/nodes/root-9", "look/nodes/%22", "look-1/nodes/root"):
        answer = clustered.get(f"{CLUSTERS}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert clustered.get("/v1/categories/nothing/clusters/look/nodes/root").status_code == 404
    unknown = clustered.get(f"{CLUSTERS}/look/nodes/root", params={"groupings": "caption"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_field")
    assert (
        clustered.get(f"{CLUSTERS}/look/nodes/root", params={"groupings": ["class"] * 11}).status_code == 422
    )
    assert clustered.get(IMAGES, params={"cluster.mood": "root"}).status_code == 404


def test_examples_are_valid() -> None:
    for model in vars(cluster_schemas).values():
        extra = (
            getattr(model, "model_config", {}).get("json_schema_extra") if isinstance(model, type) else None
        )
        for example in (extra or {}).get("examples", ()):
            TypeAdapter(model).validate_python(example)


def test_runs_are_counted_by_name(clustered: TestClient) -> None:
    counted = clustered.get("/v1/categories/colours/facets/cluster.look").json()
    assert counted["field"] == "cluster.look" and counted["values"][0] == {"value": "root", "count": 5}
    node = clustered.get(f"{CLUSTERS}/look/nodes/root-0", params={"groupings": "cluster.look"}).json()["node"]
    assert {"value": "root-0", "count": node["count"]} in node["groupings"]["cluster.look"]
    told = clustered.get("/v1/categories/colours/facets/caption").json()["detail"]
    assert "cluster.look" in told and "clusters." not in told


@pytest.mark.parametrize("path", ["", "/look/nodes/root"])
def test_parameters_that_are_none_are_refused(clustered: TestClient, path: str) -> None:
    told = clustered.get(f"{CLUSTERS}{path}", params={"grouping": "class"})
    assert (told.status_code, told.json()["code"]) == (422, "bad_request") and "'grouping'" in told.json()[
        "detail"
    ]
