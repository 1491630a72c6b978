from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from tests.api.helpers import picture, upload
from vitrine.api.schemas.findings import clusters as cluster_schemas
from vitrine.api.schemas.findings.clusters import (
    ClusterDetailOut,
    ClusterRunsOut,
    ComparisonOut,
    RenamedOut,
)
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


@pytest.fixture
def two_runs(clustered: TestClient, runtime: Runtime) -> TestClient:
    """A second run, flat, of which one image has no node."""
    cluster(runtime, "colours", "flat", fit_tree(TreeOptions(3, 1, 1)))
    hit = runtime.vectors.scroll("colours", limit=1).hits[0]
    runtime.vectors.delete_payload("colours", [hit.id], ["clusters.flat-1"])
    return clustered


def compared(client: TestClient, query: str) -> Any:
    answer = client.get(f"{CLUSTERS}/compare?{query}")
    assert answer.status_code == 200, answer.text
    ComparisonOut.model_validate(answer.json())
    return answer.json()


def test_where_the_images_of_each_node_went(two_runs: TestClient) -> None:
    paths = [hit["payload"]["clusters"] for hit in two_runs.get(IMAGES).json()["hits"]]
    pairs = Counter(
        (path["look-1"]["path"][1], path["flat-1"]["path"][1]) for path in paths if "flat-1" in path
    )
    found = compared(two_runs, "a=look&b=flat&level=1")
    assert {(flow["a"], flow["b"]): flow["count"] for flow in found["flows"]} == pairs
    counts = [flow["count"] for flow in found["flows"]]
    assert counts == sorted(counts, reverse=True) and found["total"] == len(counts)
    assert (found["a"], found["b"], found["level"], found["images"], found["noise"]) == (
        "look", "flat", 1, 4, 0,
    )  # fmt: skip
    turned = compared(two_runs, "a=flat&b=look&level=1")
    assert (turned["ari"], turned["nmi"]) == (found["ari"], found["nmi"])
    leaves = compared(two_runs, "a=look&b=flat")
    assert leaves["level"] is None and max(flow["a"].count("-") for flow in leaves["flows"]) == 2
    assert compared(two_runs, "a=look&b=flat&limit=1")["flows"] == leaves["flows"][:1]
    same = compared(two_runs, "a=look&b=look&level=2")
    assert (same["ari"], same["nmi"], same["images"]) == (1, 1, 5)


def test_a_comparison_knows_what_changed_just_now(two_runs: TestClient) -> None:
    before = compared(two_runs, "a=look&b=flat")
    assert upload(two_runs, "colours", ("pink.png", picture((240, 90, 140)))).status_code == 201
    assert compared(two_runs, "a=look&b=flat")["images"] == before["images"] + 1


def test_what_cannot_be_compared(two_runs: TestClient) -> None:
    for query in ("a=look&b=mood&level=1", "a=mood&b=look", "a=look-1&b=flat"):
        answer = two_runs.get(f"{CLUSTERS}/compare?{query}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), query
    assert two_runs.get("/v1/categories/nothing/clusters/compare?a=look&b=flat").status_code == 404
    queries = ("", "a=look", "a=look&b=flat&level=0", "a=look&b=flat&level=9", "a=look&b=flat&depth=1",
               "a=look&b=flat&limit=0")  # fmt: skip
    for query in queries:
        answer = two_runs.get(f"{CLUSTERS}/compare?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_request"), query


def rename(client: TestClient, name: str, node: str = "root-0") -> Any:
    answer = client.patch(f"{CLUSTERS}/look/nodes/{node}", json={"name": name})
    assert answer.status_code == 200, answer.text
    RenamedOut.model_validate(answer.json())
    return answer.json()


def name_of(client: TestClient, node: str = "root-0") -> Any:
    return client.get(f"{CLUSTERS}/look/nodes/{node}").json()["node"]["name"]


def undo(client: TestClient, done: dict[str, Any]) -> Any:
    answer = client.post(f"/v1/undo/{done['undo']['token']}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_node_gets_a_name_which_can_be_taken_back(clustered: TestClient) -> None:
    before = clustered.get(f"{CLUSTERS}/look/nodes/root-0").json()["node"]
    done = rename(clustered, "  Warm\n tones ")
    token = done.pop("undo")
    assert done == {**before, "name": "Warm tones"} and name_of(clustered) == "Warm tones"
    assert rename(clustered, "Warm tones")["undo"] is None
    back = undo(clustered, {"undo": token})
    assert (back["undone"], back["kept"]) == (1, []) and name_of(clustered) == before["name"]
    undo(clustered, back)
    assert name_of(clustered) == "Warm tones"
    assert clustered.post(f"/v1/undo/{token['token']}").status_code == 404


def test_a_name_that_was_changed_again_stays(clustered: TestClient, runtime: Runtime) -> None:
    first, other = rename(clustered, "one"), rename(clustered, "other", "root-1")
    rename(clustered, "two")
    assert undo(clustered, first) == {"undone": 0, "kept": ["root-0"], "undo": None}
    assert (name_of(clustered), name_of(clustered, "root-1")) == ("two", "other")
    assert undo(clustered, other)["undone"] == 1, "each node for itself"
    latest = rename(clustered, "")
    assert name_of(clustered) == ""
    cluster(runtime, "colours", "look", fit_tree(TreeOptions(2, 1, 2)))
    renewed = name_of(clustered)
    assert undo(clustered, latest)["kept"] == ["root-0"] and name_of(clustered) == renewed


def test_names_that_are_refused(clustered: TestClient) -> None:
    for path in ("look/nodes/root-9", "mood/nodes/root"):
        answer = clustered.patch(f"{CLUSTERS}/{path}", json={"name": "x"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert (
        clustered.patch("/v1/categories/no/clusters/look/nodes/root", json={"name": "x"}).status_code == 404
    )
    for body in ({}, {"name": None}, {"name": 7}, {"name": "x" * 201}, {"name": "x", "title": "y"}):
        answer = clustered.patch(f"{CLUSTERS}/look/nodes/root-0", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_request"), body


def test_a_run_is_deleted_and_its_images_stay(two_runs: TestClient) -> None:
    assert two_runs.delete(f"{CLUSTERS}/look").status_code == 204
    assert [run["run"] for run in two_runs.get(CLUSTERS).json()["runs"]] == ["flat"]
    hits = two_runs.get(IMAGES).json()["hits"]
    assert len(hits) == 5 and not any("look-1" in hit["payload"].get("clusters", {}) for hit in hits)
    for path in (
        f"{CLUSTERS}/look/nodes/root",
        f"{IMAGES}?cluster.look=root",
        f"{CLUSTERS}/compare?a=look&b=flat",
    ):
        assert two_runs.get(path).status_code == 404, path
    for path in (f"{CLUSTERS}/look", f"{CLUSTERS}/mood", "/v1/categories/nothing/clusters/flat"):
        answer = two_runs.delete(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert two_runs.delete(f"{CLUSTERS}/flat?confirm=flat").status_code == 422
    assert two_runs.get(f"{CLUSTERS}/flat/nodes/root").status_code == 200
