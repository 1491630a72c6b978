from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.findings.test_taggers import head
from tests.api.helpers import picture, upload
from vitrine.api.schemas.findings.taggers import LabelsOut, RankingOut, TrainedOut, UncertainOut
from vitrine.services.runtime import Runtime

LOOP = "/v1/categories/shades/taggers/very%20red"


@pytest.fixture
def shades(client: TestClient) -> dict[str, str]:
    """Ids by name of twelve pictures, red ones and blue ones."""
    client.post("/v1/categories", json={"name": "shades"})
    colours = {f"red{n}": (250 - 6 * n, 20 + 4 * n, 20) for n in range(6)} | {
        f"blue{n}": (20, 20 + 4 * n, 250 - 6 * n) for n in range(6)
    }
    items = upload(
        client, "shades", *((f"{name}.png", picture(colour)) for name, colour in colours.items())
    ).json()["items"]
    return {item["filename"].removesuffix(".png"): item["id"] for item in items}


def label(client: TestClient, **body: Any) -> Any:
    return client.post(f"{LOOP}/labels", json=body)


def test_a_loop_from_two_examples_to_a_new_ranking(client: TestClient, shades: dict[str, str]) -> None:
    empty = client.get(f"{LOOP}/uncertain")
    assert (empty.status_code, empty.json()["code"]) == (422, "too_few_examples")
    said = label(client, accept=[shades["red0"], shades["red1"]]).json()
    assert LabelsOut.model_validate(said) and said.pop("undo")
    assert said == {"tag": "very red", "labels": {"accepted": 2, "rejected": 0}}
    early = client.post(f"{LOOP}/train")
    assert (early.status_code, early.json()["code"]) == (422, "too_few_examples")
    first = client.get(f"{LOOP}/uncertain", params={"limit": 4}).json()
    assert UncertainOut.model_validate(first) and first["by"] == "similarity" and len(first["hits"]) == 4
    label(client, reject=[shades["blue0"], shades["blue1"]])
    trained = client.post(f"{LOOP}/train", json={"limit": 6})
    tree = trained.json()
    assert TrainedOut.model_validate(tree) and tree["labels"] == {"accepted": 2, "rejected": 2}
    assert {hit["payload"]["filename"][:3] for hit in tree["ranking"]} == {"red"}
    assert tree["tagger"]["examples"]["positives"] == 2 and tree["tagger"]["fits"]
    following = client.get(f"{LOOP}/uncertain", params={"limit": 8}).json()
    assert following["by"] == "score" and not {hit["id"] for hit in following["hits"]} & {
        shades[name] for name in ("red0", "red1", "blue0", "blue1")
    }
    ranked = client.get(f"{LOOP}/ranking", params={"limit": 3, "labelled": False}).json()
    assert RankingOut.model_validate(ranked) and ranked["trained_at"] == tree["tagger"]["trained_at"]
    assert len(ranked["hits"]) == 3 and not {hit["id"] for hit in ranked["hits"]} & {
        shades["red0"],
        shades["red1"],
    }
    assert client.get(LOOP).json()["labels"] == {"accepted": 2, "rejected": 2}
    assert client.post(f"{LOOP}/train", json={"limit": 0}).json()["ranking"] == []


def test_rejecting_takes_the_tag_away_and_shows_on_the_image(
    client: TestClient, shades: dict[str, str]
) -> None:
    label(client, accept=[shades["red0"]])
    assert label(client, reject=[shades["red0"]]).json()["labels"] == {"accepted": 0, "rejected": 1}
    payload = client.get(f"/v1/categories/shades/images/{shades['red0']}").json()["payload"]
    assert payload["tags"] == [] and payload["rejected_tags"] == ["very red"]
    path = f"/v1/categories/shades/images/{shades['red0']}"
    assert client.patch(path, json={"rejected_tags": []}).json()["payload"]["rejected_tags"] == []
    assert client.patch(path, json={"reject_tags": ["x"], "add_tags": ["x"]}).status_code == 422
    counted = client.get("/v1/categories/shades/facets/rejected_tags")
    assert counted.status_code == 200 and counted.json()["values"] == []


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("labels", {"accept": ["00000000-0000-5000-8000-000000000000"]}, 404, "not_found"),
        ("labels", {"accept": ["../x"]}, 404, "not_found"),
        ("labels", {"accept": ["x" * 65]}, 422, "bad_request"),
        ("labels", {"accept": "x"}, 422, "bad_request"),
        ("labels", {"yes": []}, 422, "bad_request"),
        ("labels", {"accept": ["x"] * 1_001}, 422, "bad_request"),
        ("train", {"using": "none"}, 422, "unknown_vector"),
        ("train", {"limit": 201}, 422, "bad_request"),
        ("train", {"limit": -1}, 422, "bad_request"),
    ],
)
def test_bad_bodies_are_refused(
    client: TestClient, shades: dict[str, str], path: str, body: dict[str, Any], status: int, code: str
) -> None:
    answer = client.post(f"{LOOP}/{path}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_a_tag_must_be_one_that_a_tagger_can_have(client: TestClient, shades: dict[str, str]) -> None:
    for tag in ("quality", "%00", "%20", "x" * 201):
        for method, path in (("POST", "labels"), ("POST", "train"), ("GET", "uncertain")):
            refused = client.request(method, f"/v1/categories/shades/taggers/{tag}/{path}")
            assert (refused.status_code, refused.json()["code"]) == (422, "bad_request"), (tag, path)
    for method, path in (("POST", "labels"), ("POST", "train"), ("GET", "uncertain"), ("GET", "ranking")):
        assert client.request(method, f"/v1/categories/none/taggers/x/{path}").status_code == 404
    assert client.get("/v1/categories/shades/taggers/x/ranking").status_code == 404
    for limit in ("0", "201", "x"):
        assert client.get(f"{LOOP}/uncertain", params={"limit": limit}).status_code == 422


def test_a_tagger_whose_encoder_has_changed_is_to_be_trained_again(
    client: TestClient, runtime: Runtime, shades: dict[str, str]
) -> None:
    runtime.taggers.save("shades", [head("very red", encoder_revision="colour-0")])
    for path in ("uncertain", "ranking"):
        refused = client.get(f"{LOOP}/{path}")
        assert (refused.status_code, refused.json()["code"]) == (409, "tagger_mismatch")
    label(client, accept=[shades["red0"], shades["red1"]], reject=[shades["blue0"], shades["blue1"]])
    assert client.post(f"{LOOP}/train").json()["tagger"]["fits"]
    assert client.get(f"{LOOP}/uncertain").status_code == 200
