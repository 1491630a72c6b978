"""Searches over several categories."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import COLOURS, fill, picture, upload
from vitrine.api.schemas.several import SeveralOut
from vitrine.services.domain import Embeddings, EncoderSpec, Preprocessing
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.runtime import Runtime

SEARCH = "/v1/search"
OLD = EncoderSpec("old", "org/old", "r1", 4, (), Preprocessing(8, None, (0, 0, 0), (1, 1, 1)))


@pytest.fixture
def three(client: TestClient, runtime: Runtime) -> TestClient:
    """``colours`` and ``shop``, of one encoder; ``tints``, of the same under another name."""
    fill(client)
    client.post("/v1/categories", json={"name": "shop"})
    shop = [(f"shop-{name}.png", picture(colour, (60, 60))) for name, colour in COLOURS.items()]
    assert upload(client, "shop", *shop, metadata='{"price": 5}').status_code == 201
    tint = ColourEncoder("tint")
    runtime.encoders.register(tint)
    runtime.catalog.create("tints", [tint.spec])
    upload(client, "tints", ("tint.png", picture(COLOURS["blue"], (30, 40))))
    return client


@pytest.fixture
def mixed(three: TestClient, runtime: Runtime) -> TestClient:
    """Two categories more: ``small``, of another encoder, and ``old``, of vectors from elsewhere."""
    small = ColourEncoder("small", 16)
    runtime.encoders.register(small)
    runtime.catalog.create("small", [small.spec])
    upload(three, "small", ("small.png", picture(COLOURS["red"])))
    runtime.catalog.create("old", [OLD])
    return three


def asked(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post(SEARCH, json=body)
    assert answer.status_code == 200, answer.text
    SeveralOut.model_validate(answer.json())
    told: dict[str, Any] = answer.json()
    return told


def merged_by_hand(client: TestClient, names: Sequence[str], **body: Any) -> list[tuple[str, str, float]]:
    """What searches of each category alone give, by similarity."""
    hits = [
        (name, hit["id"], hit["similarity"])
        for name in names
        for hit in client.post(f"/v1/categories/{name}/search", json=body).json()["hits"]
    ]
    return sorted(hits, key=lambda hit: (-hit[2], hit[0], hit[1]))


def shown(told: dict[str, Any]) -> list[tuple[str, str, float]]:
    return [(hit["category"], hit["id"], hit["similarity"]) for hit in told["hits"]]


def test_hits_are_merged_by_similarity(three: TestClient) -> None:
    every = merged_by_hand(three, ("colours", "shop", "tints"), text="red", limit=50)
    told = asked(three, text="red", limit=50)
    assert shown(told) == every and len(every) == 11
    assert told["categories"] == [
        {"category": "colours", "hits": 5},
        {"category": "shop", "hits": 5},
        {"category": "tints", "hits": 1},
    ]
    assert (told["left_out"], told["encoder"]["revision"]) == ([], "colour-1-64")
    page = asked(three, text="red", limit=3, offset=2)
    assert shown(page) == every[2:5] and sum(share["hits"] for share in page["categories"]) == 3
    some = asked(three, text="red", limit=50, categories=["shop", "tints", "shop"])
    assert shown(some) == [hit for hit in every if hit[0] != "colours"]
    for hit in told["hits"]:
        assert hit["urls"]["self"] == f"/v1/categories/{hit['category']}/images/{hit['id']}"
        assert hit["payload"]["filename"] and "object_key" not in hit["payload"]


def test_every_way_to_ask(three: TestClient) -> None:
    blue = picture(COLOURS["blue"])
    sent = three.post("/v1/pictures", files={"file": ("blue.png", blue)}).json()["picture"]
    hits = three.get("/v1/categories/colours/images").json()["hits"]
    ids = {hit["payload"]["filename"].removesuffix(".png"): hit["id"] for hit in hits}
    stored = f"/v1/categories/colours/images/{ids['blue']}?with_vectors=true"
    vector = three.get(stored).json()["vectors"]["colour"]
    names = ("colours", "shop", "tints")
    for body in (
        {"image": base64.b64encode(blue).decode()},
        {"vector": vector},
        {"positive": [f"picture:{sent}"]},
        {"text": "green", "positive": [f"picture:{sent}"]},
    ):
        ranked = shown(asked(three, **body, limit=6))
        by_hand = merged_by_hand(three, names, **body, limit=50)
        assert [hit[2] for hit in ranked] == pytest.approx([hit[2] for hit in by_hand[:6]], abs=1e-5), body
    form = {"limit": "2", "categories": '["shop", "tints"]'}
    answer = three.post(SEARCH, files={"file": ("blue.png", blue)}, data=form)
    assert {hit["category"] for hit in answer.json()["hits"]} == {"shop", "tints"}
    like = asked(three, id=ids["blue"], category="colours", limit=50)
    assert ("colours", ids["blue"]) not in [hit[:2] for hit in shown(like)] and len(like["hits"]) == 10
    elsewhere = asked(three, id=ids["blue"], category="colours", categories=["shop", "tints"], limit=2)
    assert {hit["payload"]["filename"] for hit in elsewhere["hits"]} == {"shop-blue.png", "tint.png"}
    unlike = asked(three, positive=[ids["red"]], negative=[ids["blue"]], category="colours", limit=1)
    assert unlike["hits"][0]["payload"]["filename"] == "shop-red.png"


def test_the_same_picture_in_another_category_is_a_hit(three: TestClient) -> None:
    [twin] = upload(three, "shop", ("twin.png", picture(COLOURS["blue"]))).json()["items"]
    found = asked(three, id=twin["id"], category="colours", limit=1)
    assert shown(found)[0][:2] == ("shop", twin["id"]), "ids come from the bytes: both have this one"


def test_options_hold_in_each_category(three: TestClient) -> None:
    priced = asked(three, text="red", filter={"tags_any": ["red"]}, total=True, fields=["tags"])
    assert [hit["payload"] for hit in priced["hits"]] == [{"tags": ["red", "flat"]}]
    assert priced["total"] == 1 and [share["total"] for share in priced["categories"]] == [1, 0, 0]
    near = asked(three, text="red", min_similarity=0.9, total=True, limit=1, with_vectors=True)
    assert near["total"] == len(merged_by_hand(three, ("colours", "shop"), text="red", min_similarity=0.9))
    assert [list(hit["vectors"]) for hit in near["hits"]] == [["colour"]]
    collapsed = asked(three, text="red", collapse=True, categories=["shop"])
    assert collapsed["categories"] == [{"category": "shop", "hits": 5, "similar": {}}]


def test_the_query_is_encoded_once(
    three: TestClient, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(runtime.encoders.get("colour"))
    encode, seen = kind.encode_texts, list[str]()

    def counted(self: Any, texts: Sequence[str]) -> Embeddings:
        seen.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(kind, "encode_texts", counted)
    assert len(asked(three, text="a blue thing", limit=50)["hits"]) == 11 and seen == ["a blue thing"]


def test_categories_that_cannot_answer_are_left_out_by_name(mixed: TestClient) -> None:
    told = asked(mixed, text="red", limit=50)
    assert {one["category"]: one["code"] for one in told["left_out"]} == {
        "small": "encoder_mismatch", "old": "unsupported_query",
    }  # fmt: skip
    assert {share["category"] for share in told["categories"]} == {"colours", "shop", "tints"}
    priced = asked(mixed, text="red", filter={"metadata": {"price": 5}})
    codes = {one["category"]: one["code"] for one in priced["left_out"]}
    assert codes["colours"] == codes["tints"] == "unknown_field" and len(priced["hits"]) == 5
    only = asked(mixed, text="red", using="small")
    assert [share["category"] for share in only["categories"]] == ["small"]
    assert {one["code"] for one in only["left_out"]} == {"unknown_vector"}
    vector = asked(mixed, vector=[1.0, 0, 0, 0])
    assert [share["category"] for share in vector["categories"]] == ["old"] and vector["hits"] == []


def test_an_encoder_in_common_is_found_where_it_is_not_the_default(
    mixed: TestClient, runtime: Runtime
) -> None:
    runtime.catalog.add_encoder("small", ColourEncoder().spec)
    told = asked(mixed, text="red", categories=["small", "colours"])
    assert (
        told["encoder"]["name"] == "colour" and len(told["hits"]) == 5
    )  # the image of small has no such vector


def test_named_categories_answer_all_or_none(mixed: TestClient) -> None:
    expected: list[tuple[dict[str, Any], int, str]] = [
        ({"text": "red", "categories": ["colours", "small"]}, 422, "bad_request"),
        ({"text": "red", "categories": ["colours", "old"]}, 422, "unsupported_query"),
        ({"text": "red", "categories": ["colours", "nothing"]}, 404, "not_found"),
        ({"text": "red", "categories": ["colours", "shop"], "using": "tint"}, 422, "unknown_vector"),
        ({"text": "red", "categories": ["colours", "shop"], "filter": {"metadata": {"price": 5}}}, 422,
         "unknown_field"),
        ({"vector": [1.0, 2.0], "categories": ["colours"]}, 422, "bad_vector"),
        ({"vector": [0.0] * 64, "categories": ["colours"]}, 422, "bad_vector"),
    ]  # fmt: skip
    for body, status, code in expected:
        answer = mixed.post(SEARCH, json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body
    told = mixed.post(SEARCH, json=expected[0][0]).json()["detail"]
    assert "'small'" in told and "similarities of different encoders cannot be compared" in told


def test_what_makes_no_sense_is_refused(three: TestClient) -> None:
    id = three.get("/v1/categories/colours/images").json()["hits"][0]["id"]
    for body in (
        {},
        {"filter": {"tags_any": ["red"]}},
        {"text": "red", "categories": []},
        {"text": "red", "categories": [f"c{n}" for n in range(17)]},
        {"text": "red", "categories": "colours"},
        {"text": "red", "diversity": 0.3},
        {"text": "red", "group_by": "class"},
        {"text": "red", "category": "colours"},
        {"id": id},
        {"positive": [id]},
        {"id": id, "category": "colours", "using": ["colour", "tint"]},
        {"text": "red", "limit": 9_000, "offset": 2_000},
        {"text": " "},
        {"text": "red", "id": id, "category": "colours"},
    ):
        answer = three.post(SEARCH, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_request"), body
    for body in (
        {"id": id, "category": "nothing"},
        {"id": id, "category": "shop"},
        {"positive": ["picture:" + "0" * 64]},
    ):
        answer = three.post(SEARCH, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), body


def test_without_any_category_there_is_nothing_to_search(client: TestClient) -> None:
    answer = client.post(SEARCH, json={"text": "red"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "create one" in answer.json()["detail"]
