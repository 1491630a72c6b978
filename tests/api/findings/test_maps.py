from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from tests.api.helpers import picture, upload
from vitrine.api.schemas.findings import maps as map_schemas
from vitrine.api.schemas.findings.maps import MapPointsOut, MapsOut
from vitrine.indexer.enrich.maps.make import make_map
from vitrine.indexer.enrich.maps.options import MapOptions
from vitrine.services.runtime import Runtime

MAPS = "/v1/categories/colours/maps"
IMAGES = "/v1/categories/colours/images"


@pytest.fixture
def mapped(client: TestClient, runtime: Runtime, ids: dict[str, str]) -> TestClient:
    make_map(runtime, "colours", "flat", MapOptions("pca"))
    return client


def test_the_maps_of_a_category(mapped: TestClient) -> None:
    told = mapped.get(MAPS).json()
    assert MapsOut.model_validate(told)
    [one] = told["maps"]
    assert (one["name"], one["method"], one["images"], one["missing"]) == (
        "flat",
        "pca",
        5,
        0,
    ) and "key" not in one
    assert upload(mapped, "colours", ("pink.png", picture((240, 90, 140)))).status_code == 201
    assert mapped.get(MAPS).json()["maps"][0]["missing"] == 1
    mapped.post("/v1/categories", json={"name": "empty"})
    assert mapped.get("/v1/categories/empty/maps").json() == {"maps": []}


def test_points_come_page_by_page(mapped: TestClient, ids: dict[str, str]) -> None:
    whole = mapped.get(f"{MAPS}/flat/points", params={"by": "class"}).json()
    assert MapPointsOut.model_validate(whole)
    assert set(whole["ids"]) == set(ids.values()) and whole["cursor"] is None and whole["by"] == "class"
    assert all(0 <= value <= 1 for value in (*whole["x"], *whole["y"]))
    classes = {hit["id"]: hit["payload"].get("class") for hit in mapped.get(IMAGES).json()["hits"]}
    assert dict(zip(whole["ids"], whole["values"], strict=True)) == classes
    pages, cursor = list[dict[str, list[object]]](), None
    while not pages or cursor:
        page = mapped.get(
            f"{MAPS}/flat/points", params={"limit": 2, **({"cursor": cursor} if cursor else {})}
        ).json()
        assert page["values"] is None and len(page["ids"]) <= 2
        pages, cursor = [*pages, page], page["cursor"]
    for name in ("ids", "x", "y"):
        assert [value for page in pages for value in page[name]] == whole[name]


def test_a_box_is_a_condition_here_and_everywhere(mapped: TestClient) -> None:
    whole = mapped.get(f"{MAPS}/flat/points").json()
    inside = {id for id, x in zip(whole["ids"], whole["x"], strict=True) if x < 0.5}
    assert 0 < len(inside) < 5
    assert set(mapped.get(f"{MAPS}/flat/points", params={"map.flat.x.lt": 0.5}).json()["ids"]) == inside
    assert {hit["id"] for hit in mapped.get(IMAGES, params={"map.flat.x.lt": 0.5}).json()["hits"]} == inside
    body = {"text": "red", "limit": 10, "filter": {"maps": {"flat": {"x": {"lt": 0.5}}}}}
    assert {
        hit["id"] for hit in mapped.post("/v1/categories/colours/search", json=body).json()["hits"]
    } == inside


def test_what_there_is_not(mapped: TestClient) -> None:
    for path in ("/v1/categories/nothing/maps", f"{MAPS}/round/points", f"{MAPS}/flat-1/points"):
        answer = mapped.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert mapped.get(f"{MAPS}/flat/points", params={"by": "cluster:mood"}).status_code == 404
    for field in ("object_key", "sha256", "nothing", "metadata", "scores."):
        answer = mapped.get(f"{MAPS}/flat/points", params={"by": field})
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_field"), field
    for wrong in (
        {"limit": 0},
        {"limit": 10_001},
        {"depth": 0},
        {"nothing": 1},
        {"map.flat.z.gte": 1},
        {"cursor": "x"},
    ):
        assert mapped.get(f"{MAPS}/flat/points", params=wrong).status_code == 422, wrong
    assert mapped.get(IMAGES, params={"map.round.x.gte": 0}).status_code == 404


def test_examples_are_valid() -> None:
    for model in vars(map_schemas).values():
        extra = (
            getattr(model, "model_config", {}).get("json_schema_extra") if isinstance(model, type) else None
        )
        for example in (extra or {}).get("examples", ()):
            TypeAdapter(model).validate_python(example)


@pytest.mark.parametrize("path", ["", "/flat/points"])
def test_parameters_that_are_none_are_refused(mapped: TestClient, path: str) -> None:
    told = mapped.get(f"{MAPS}{path}", params={"colour": "class"})
    assert (told.status_code, told.json()["code"]) == (422, "bad_request") and "'colour'" in told.json()[
        "detail"
    ]


def test_a_map_is_deleted_and_its_images_stay(mapped: TestClient) -> None:
    assert mapped.delete(f"{MAPS}/flat?images=keep").status_code == 422
    assert mapped.delete(f"{MAPS}/flat").status_code == 204
    assert mapped.get(MAPS).json() == {"maps": []}
    assert mapped.get(f"{MAPS}/flat/points").status_code == 404
    hits = mapped.get(IMAGES).json()["hits"]
    assert len(hits) == 5 and not any(hit["payload"].get("maps") for hit in hits)
    for path in (f"{MAPS}/flat", "/v1/categories/nothing/maps/flat"):
        answer = mapped.delete(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
