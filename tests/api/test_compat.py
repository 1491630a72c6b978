from __future__ import annotations

import re
from datetime import datetime

import pytest
from fastapi.testclient import TestClient

from tests.api.findings.test_taggers import head, taught  # noqa: F401  (a fixture)
from tests.api.helpers import COLOURS, picture
from vitrine.api.schemas.findings.taggers import OldHealthOut, OldHitOut, OldImageOut
from vitrine.services.runtime import Runtime

RANGE = "/get_images_in_tag_score_range"


LOGISTIC = "model-ovr-logistic-regression-tag-reddish"
JSON = {"Accept": "application/json"}


def test_the_models_have_the_names_that_their_clients_know(client: TestClient, taught: Runtime) -> None:  # noqa: F811
    taught.taggers.save("colours", [head("reddish", kind="converted-logistic-regression")])
    taught.catalog.ensure_indexes("colours", {"scores.close_up": "float"})
    models = client.get("/get_models").json()
    assert list(models) == ["model-scores-tag-close_up", "model-by-hand-tag-deep blue", LOGISTIC]
    assert models[LOGISTIC] | {"train_start_time": None} == {
        "model_type": "ovr-logistic-regression",
        "train_start_time": None,
        "tag": "reddish",
    }
    assert datetime.strptime(models[LOGISTIC]["train_start_time"], "%Y-%m-%d, %H:%M:%S")
    assert client.get("/get_models", params={"category": "colours"}).json() == models
    for name in ("model-by-hand-tag-deep blue", "deep blue", "model-ovr-svm-tag-deep blue"):
        found = client.get(RANGE, params={"model_name": name}).json()
        assert [image["score"] for image in found] == [0.9, 0.4, 0.05], name
        assert {(image["model_name"], image["tag"]) for image in found} == {(name, "deep blue")}


@pytest.mark.usefixtures("taught")
def test_images_in_a_range_come_highest_first(client: TestClient, ids: dict[str, str]) -> None:
    answer = client.get(RANGE, params={"model_name": "reddish", "score_gte": 0.1, "score_lte": 1})
    found = answer.json()
    assert [image["id"] for image in found] == [ids["red"], ids["black"]]
    assert OldImageOut.model_validate(found[0]) and set(found[0]) == set(OldImageOut.model_fields)
    assert (found[0]["score"], found[0]["model_name"], found[0]["filename"]) == (0.95, "reddish", "red.png")
    assert client.get(found[0]["url"]).headers["content-type"] == "image/png"
    assert client.get(found[0]["thumbnail_url"]).status_code == 200
    every = client.get(RANGE, params={"model_name": "deep blue"}).json()
    assert [image["score"] for image in every] == [0.9, 0.4, 0.05]
    assert len(client.get(RANGE, params={"model_name": "deep blue", "limit": 1}).json()) == 1
    assert client.get(RANGE, params={"model_name": "reddish", "score_gte": 0.96}).json() == []


@pytest.mark.usefixtures("taught")
def test_a_random_image_of_all_or_of_a_range(client: TestClient, ids: dict[str, str]) -> None:
    seen = {client.get("/get_random_img", headers=JSON).json()["filename"] for _ in range(40)}
    assert seen <= {f"{name}.png" for name in COLOURS} and len(seen) > 1
    one = client.get(
        "/get_random_img", params={"model_name": "reddish", "score_gte": 0.9}, headers=JSON
    ).json()
    assert (one["id"], one["score"]) == (ids["red"], 0.95)
    moved = client.get(
        "/get_random_img", params={"model_name": "reddish", "score_gte": 0.9, "redirect": True}
    )
    assert moved.headers["content-type"] == "image/png"  # the client followed
    moved = client.get("/get_random_img", params={"redirect": True}, follow_redirects=False)
    assert moved.status_code == 307 and moved.headers["cache-control"] == "no-store"
    none = client.get("/get_random_img", params={"model_name": "reddish", "score_gte": 0.96})
    assert (none.status_code, none.json()["code"]) == (404, "not_found")


@pytest.mark.usefixtures("taught")
def test_bad_questions_are_refused(client: TestClient, runtime: Runtime) -> None:
    runtime.taggers.save("colours", [head("unscored")])
    for params, status, code in (
        ({}, 422, "bad_request"),
        ({"model_name": "nothing"}, 404, "not_found"),
        ({"model_name": "unscored"}, 422, "unknown_field"),
        ({"model_name": "reddish", "score_gte": "x"}, 422, "bad_request"),
        ({"model_name": "reddish", "score_gte": "nan"}, 422, "bad_request"),
        ({"model_name": "reddish", "score_lte": 2}, 422, "bad_request"),
        ({"model_name": "reddish", "limit": 0}, 422, "bad_request"),
        ({"model_name": "reddish", "category": "none"}, 404, "not_found"),
    ):
        answer = client.get(RANGE, params=params)
        assert (answer.status_code, answer.json()["code"]) == (status, code), params
    alone = client.get("/get_random_img", params={"score_gte": 0.5})
    assert (alone.status_code, alone.json()["code"]) == (422, "bad_request")
    assert client.get("/get_random_img", params={"model_name": "nothing"}).status_code == 404


def test_the_category_may_be_left_out_only_where_there_is_one(client: TestClient) -> None:
    none = client.get("/get_models")
    assert (none.status_code, none.json()["code"]) == (422, "bad_request")
    for name in ("a", "b"):
        client.post("/v1/categories", json={"name": name})
    for path in ("/get_models", f"{RANGE}?model_name=x", "/get_random_img"):
        refused = client.get(path)
        assert refused.status_code == 422 and refused.json()["details"]["categories"] == ["a", "b"], path
    assert client.get("/get_models", params={"category": "b"}).json() == {}
    assert client.get("/get_random_img", params={"category": "b"}).status_code == 404


def test_they_are_marked_as_deprecated(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    old = {
        path
        for path, operations in paths.items()
        if any(operation.get("deprecated") for operation in operations.values())
    }
    assert old == {
        "/get_models",
        RANGE,
        "/get_random_img",
        "/image_finder",
        "/health",
        "/api/search/{category}",
        "/api/ping",
    }


@pytest.mark.usefixtures("taught")
def test_a_random_image_is_a_page_that_shows_it(
    client: TestClient, ids: dict[str, str], runtime: Runtime
) -> None:
    runtime.vectors.set_payload("colours", {ids["red"]: {"filename": "<b>&.png"}})
    params = {"model_name": "reddish", "score_gte": "0.9", "db_path": "./output/file_cache.sqlite"}
    page = client.get("/get_random_img", params=params)
    assert (
        page.headers["content-type"].startswith("text/html") and page.headers["cache-control"] == "no-store"
    )
    assert "&lt;b&gt;&amp;.png" in page.text and "<b>" not in page.text
    (source,) = re.findall(r'<img src="([^"]+)"', page.text)
    assert client.get(source).headers["content-type"] == "image/png"


def test_the_most_similar_images_of_a_picture(client: TestClient, ids: dict[str, str]) -> None:
    found = client.post("/image_finder", files={"file": ("red.png", picture(COLOURS["red"]))})
    similar = found.json()
    assert next(iter(similar)) == ids["red"] and len(similar) == 5
    assert list(similar.values()) == sorted(similar.values(), reverse=True) and similar[ids["red"]] > 0.999
    assert len(client.post("/image_finder?top_k=2", files={"file": picture()}).json()) == 2
    none = client.post("/image_finder", data={"text": "x"})
    assert (none.status_code, none.headers["content-type"]) == (415, "application/problem+json")


def test_a_search_of_one_category_has_class_file_and_label(
    client: TestClient, ids: dict[str, str], runtime: Runtime
) -> None:
    runtime.vectors.set_payload("colours", {ids["blue"]: {"class": "cold", "metadata": {"label": 7}}})
    (hit,) = client.post("/api/search/colours?limit=1", files={"file": picture(COLOURS["blue"])}).json()
    assert OldHitOut.model_validate(hit)
    assert (hit["id"], hit["version"], hit["score"] > 0.999) == (ids["blue"], 0, True)
    assert hit["payload"] == {"class_": "cold", "file": "blue.png", "label": 7}
    assert client.post("/api/search/nothing", files={"file": picture()}).status_code == 404


def test_pings_are_answered(client: TestClient) -> None:
    assert client.get("/api/ping").json() == {"msg": "pong"}
    health = client.get("/health").json()
    assert OldHealthOut.model_validate(health) and health["model_version"] == "colour"
