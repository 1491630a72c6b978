"""Fields, totals and groups of searches and lists."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import COLOURS

SEARCH = "/v1/categories/colours/search"
IMAGES = "/v1/categories/colours/images"


def search(client: TestClient, **body: Any) -> Any:
    answer = client.post(SEARCH, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("way", [{"text": "red"}, {}, {"text": "red", "collapse": True}, {"random": True}])
def test_an_answer_has_the_fields_that_are_asked_for(
    shared: TestClient, shared_ids: dict[str, str], way: dict[str, Any]
) -> None:
    for fields, keys in (
        (["class", "tags"], {"class", "tags"}),
        ([], set()),
        (["metadata.year"], {"metadata"}),
        (["metadata"], {"metadata"}),
    ):
        hits = search(shared, **way, fields=fields)["hits"]
        assert hits and all(hit["payload"].keys() == keys for hit in hits)
        assert all(hit["urls"]["file"].endswith(f"{hit['id']}/file") for hit in hits)
    whole = search(shared, **way)["hits"]
    assert all({"class", "width", "filename"} <= hit["payload"].keys() for hit in whole)


def test_lists_have_the_fields_that_are_asked_for(shared: TestClient, shared_ids: dict[str, str]) -> None:
    for fields, keys in (("class, tags", {"class", "tags"}), ("", set()), ("metadata.year", {"metadata"})):
        for more in ({}, {"random": True}, {"order_by": "width"}):
            hits = shared.get(IMAGES, params={"fields": fields, **more}).json()["hits"]
            assert hits and all(hit["payload"].keys() == keys for hit in hits)


def test_each_of_several_searches_has_its_own_fields(shared: TestClient, shared_ids: dict[str, str]) -> None:
    searches = [{"text": "red", "fields": ["class"]}, {"text": "red", "fields": []}, {"text": "red"}]
    answer = shared.post(f"{SEARCH}es", json={"searches": searches}).json()["answers"]
    assert [set(one["hits"][0]["payload"]) for one in answer[:2]] == [{"class"}, set()]
    assert "width" in answer[2]["hits"][0]["payload"]


def test_a_total_is_of_the_whole_query(shared: TestClient, shared_ids: dict[str, str]) -> None:
    everything = len(COLOURS)
    assert "total" not in search(shared, text="red")
    assert search(shared, total=True, limit=1)["total"] == everything
    assert search(shared, total=True, limit=1, filter={"class": ["warm"]})["total"] == 2
    assert search(shared, random=True, total=True, limit=1)["total"] == everything
    assert search(shared, text="red", total=True, limit=1)["total"] == everything
    assert search(shared, text="red", total=True, limit=1, filter={"class": ["cool"]})["total"] == 3
    assert search(shared, id=shared_ids["red"], total=True, limit=1)["total"] == everything - 1
    best = search(shared, text="red", limit=1)["hits"][0]["similarity"]
    assert search(shared, text="red", total=True, limit=1, min_similarity=best)["total"] == 1
    assert search(shared, text="red", total=True, limit=1, collapse=True)["total"] == everything
    listed = shared.get(IMAGES, params={"total": True, "limit": 1, "class": "warm"}).json()
    assert listed["total"] == 2 and len(listed["hits"]) == 1
    assert "total" not in shared.get(IMAGES).json()


def test_hits_come_in_groups(shared: TestClient, shared_ids: dict[str, str]) -> None:
    everything = search(shared, text="red", fields=["class"])["hits"]
    found = search(shared, text="red", group_by="class", fields=["class"])
    best = {hit["payload"]["class"]: hit["id"] for hit in reversed(everything)}
    assert [hit["id"] for hit in found["hits"]] == [best["warm"], best["cool"]]
    assert found["groups"] == [{"value": "warm", "hits": 1}, {"value": "cool", "hits": 1}]
    assert "total" not in found
    several = search(shared, text="red", group_by="class", group_size=2, total=True, fields=["class"])
    assert several["groups"] == [{"value": "warm", "hits": 2}, {"value": "cool", "hits": 2}]
    assert [hit["payload"]["class"] for hit in several["hits"]] == ["warm", "warm", "cool", "cool"]
    assert several["total"] == len(COLOURS)
    later = search(shared, text="red", group_by="class", offset=1, limit=1)
    assert later["groups"] == [{"value": "cool", "hits": 1}]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"fields": ["object_key"]}, "unknown_field"),
        ({"fields": ["nothing"]}, "unknown_field"),
        ({"fields": ["cluster.none"]}, "not_found"),
        ({"fields": "class"}, "bad_request"),
        ({"fields": ["class"] * 65}, "bad_request"),
        ({"group_by": "class"}, "bad_request"),
        ({"text": "red", "group_size": 2}, "bad_request"),
        ({"text": "red", "group_by": "class", "diversity": 0.5}, "bad_request"),
        ({"text": "red", "group_by": "class", "group_size": 101}, "bad_request"),
        ({"text": "red", "group_by": "quality"}, "unknown_field"),
        ({"text": "red", "group_by": "cluster.none"}, "not_found"),
    ],
)
def test_what_cannot_be_asked_is_refused(shared: TestClient, body: dict[str, Any], code: str) -> None:
    assert shared.post(SEARCH, json=body).json()["code"] == code


def test_totals_and_groups_belong_to_a_single_search(shared: TestClient) -> None:
    for more in ({"total": True}, {"group_by": "class"}):
        answer = shared.post(f"{SEARCH}es", json={"searches": [{"text": "red", **more}]})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
    assert shared.get(IMAGES, params={"fields": "nothing"}).json()["code"] == "unknown_field"
