from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import COLOURS, picture
from vitrine.api.schemas.search import SearchesOut, SearchOut
from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.runtime import Runtime

SEARCH = "/v1/categories/colours/search"
ABSENT = "00000000-0000-5000-8000-000000000000"


def found(client: TestClient, body: dict[str, Any]) -> list[str]:
    """Filenames of the hits without their extension."""
    answer = client.post(SEARCH, json=body)
    assert answer.status_code == 200, answer.text
    SearchOut.model_validate(answer.json())  # what OpenAPI promises
    return [hit["payload"]["filename"].removesuffix(".png") for hit in answer.json()["hits"]]


def refusal(client: TestClient, body: Any) -> tuple[int, str]:
    answer = client.post(SEARCH, json=body)
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def test_every_way_to_ask(shared: TestClient, shared_ids: dict[str, str]) -> None:
    vector = shared.get(f"/v1/categories/colours/images/{shared_ids['blue']}?with_vectors=true").json()[
        "vectors"
    ]["colour"]
    assert found(shared, {"text": "green", "limit": 1}) == ["green"]
    assert found(shared, {"id": shared_ids["red"], "limit": 1}) == ["orange"]
    assert found(shared, {"vector": [7 * x for x in vector], "limit": 1}) == ["blue"]
    assert found(shared, {"image": base64.b64encode(picture(COLOURS["black"])).decode(), "limit": 1}) == [
        "black"
    ]
    assert found(shared, {"positive": [shared_ids["red"]], "negative": [shared_ids["blue"]], "limit": 1}) == [
        "orange"
    ]
    assert sorted(found(shared, {})) == sorted(COLOURS)


def test_the_answer_says_what_answered_and_how_long_it_took(client: TestClient, ids: dict[str, str]) -> None:
    answer = client.post(SEARCH, json={"text": "red", "limit": 1}).json()
    assert answer["encoder"] == {
        "name": "colour",
        "model": "vitrine/colour",
        "revision": "colour-1-64",
        "dim": 64,
    }
    assert (
        answer["timing"]["total_ms"] >= answer["timing"]["search_ms"] > 0
        and answer["timing"]["encode_ms"] > 0
    )
    hit = answer["hits"][0]
    assert hit["id"] == ids["red"] and 0.9 < hit["similarity"] <= 1.0
    assert hit["urls"]["file"] == f"/v1/categories/colours/images/{ids['red']}/file"
    assert "object_key" not in hit["payload"] and "vectors" not in hit
    for url in hit["urls"].values():
        assert client.get(url).status_code == 200


def test_payloads_are_as_stored_but_for_where_the_file_is_kept(
    client: TestClient, runtime: Runtime, ids: dict[str, str]
) -> None:
    image = f"/v1/categories/colours/images/{ids['red']}"
    columns = {"object_key": "mine", '5" disk': 'a "quoted" ü', "price": 12.5, "new": True}
    assert client.patch(image, json={"metadata": columns}).status_code == 200
    stored = runtime.searcher.image("colours", ids["red"]).payload
    expected = {name: value for name, value in stored.items() if name != "object_key"}
    assert "object_key" in stored and expected["metadata"].items() >= columns.items()
    asks: list[dict[str, Any]] = [
        {"text": "red", "limit": 1},
        {"text": "red", "limit": 1, "collapse": True},
        {"text": "red", "limit": 1, "diversity": 0.1},
        {"filter": {"ids": [ids["red"]]}},
    ]
    answers = [client.post(SEARCH, json=ask).json()["hits"][0]["payload"] for ask in asks]
    answers.append(client.get(image).json()["payload"])
    assert answers == [expected] * len(answers)


def test_options_narrow_reorder_and_page(shared: TestClient, shared_ids: dict[str, str]) -> None:
    assert found(shared, {"text": "red", "filter": {"class": ["cool"]}, "limit": 5}).count("red") == 0
    assert found(shared, {"text": "red", "min_similarity": 0.9}) == ["red"]
    everything = found(shared, {"id": shared_ids["red"]})
    assert found(shared, {"id": shared_ids["red"], "offset": 1, "limit": 2}) == everything[1:3]
    assert sorted(found(shared, {"id": shared_ids["red"], "diversity": 0.9})) == sorted(everything)
    assert found(shared, {"id": shared_ids["red"], "exact": True}) == everything
    hit = shared.post(SEARCH, json={"id": shared_ids["red"], "with_vectors": True, "limit": 1}).json()[
        "hits"
    ][0]
    assert len(hit["vectors"]["colour"]) == 64


def test_listings_filter_order_sample_and_page(client: TestClient, ids: dict[str, str]) -> None:
    by_year = {"order_by": {"field": "metadata.year", "descending": True}, "limit": 2}
    seen: list[str] = []
    cursor = None
    while True:
        page = client.post(SEARCH, json={**by_year, "cursor": cursor}).json()
        assert page["encoder"] is None and all(hit["similarity"] is None for hit in page["hits"])
        seen += [hit["id"] for hit in page["hits"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == list(ids.values())[::-1]
    assert (
        found(client, {"filter": {"metadata": {"year": {"gte": 1993}}}, "order_by": {"field": "width"}}) != []
    )
    assert len(set(found(client, {"random": True, "limit": 3}))) == 3


def test_a_picture_in_a_form_with_simple_fields_and_json(
    shared: TestClient, shared_ids: dict[str, str]
) -> None:
    files = {"file": ("query.png", picture(COLOURS["blue"]))}
    simple = shared.post(
        SEARCH, files=files, data={"limit": "1", "using": "colour", "filter": '{"class": ["cool"]}'}
    )
    assert [hit["id"] for hit in simple.json()["hits"]] == [shared_ids["blue"]]
    options = json.dumps({"limit": 3, "filter": {"tags_none": ["blue"]}, "min_similarity": -1})
    asked = shared.post(SEARCH, files=files, data={"query": options, "limit": "2"})
    assert len(asked.json()["hits"]) == 2 and shared_ids["blue"] not in [
        hit["id"] for hit in asked.json()["hits"]
    ]
    words = shared.post(SEARCH, files={"limit": (None, "1")}, data={"text": "red"})
    assert words.status_code == 200 and words.json()["hits"][0]["id"] == shared_ids["red"]


@pytest.mark.parametrize(
    ("files", "data", "status", "code"),
    [
        ({"file": ("x.txt", b"plain words")}, {}, 415, "unsupported_format"),
        ({"file": ("x.png", picture()[:60])}, {}, 422, "damaged_image"),
        ({"file": ("x.png", b"")}, {}, 422, "empty_file"),
        ({"file": ("x.png", picture())}, {"text": "red"}, 422, "bad_request"),
        ({"file": ("x.png", picture())}, {"image": "aaaa"}, 422, "bad_request"),
        ({"file": ("x.png", picture())}, {"random": "true"}, 422, "bad_request"),
        ({"file": ("x.png", picture())}, {"limit": "many"}, 422, "bad_request"),
        ({"file": ("x.png", picture())}, {"min_similarity": "nan"}, 422, "bad_request"),
        ({"file": ("x.png", picture())}, {"query": "{"}, 422, "bad_request"),
        ({"file": ("x.png", picture())}, {"query": "[1]"}, 422, "bad_request"),
        ({"file": ("x.png", picture())}, {"filter": "no json"}, 422, "bad_request"),
        ({"file": ("x.png", picture())}, {"colour": "red"}, 422, "bad_request"),
        ({"file": ("x.png", picture())}, {"limit": ["1", "2"]}, 422, "bad_request"),
        ({"picture": ("x.png", picture())}, {}, 422, "bad_request"),
        ([("file", ("a.png", picture())), ("file", ("b.png", picture()))], {}, 422, "bad_request"),
    ],
)
def test_bad_forms_are_refused(shared: TestClient, files: Any, data: Any, status: int, code: str) -> None:
    answer = shared.post(SEARCH, files=files, data=data)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_fusion_over_two_encoders(client: TestClient, runtime: Runtime, ids: dict[str, str]) -> None:
    spec = EncoderSpec(
        "second", "org/second", "r1", 2, ("image",), Preprocessing(8, None, (0, 0, 0), (1, 1, 1))
    )
    runtime.catalog.add_encoder("colours", spec)
    import numpy as np

    angles = np.linspace(0, 1, len(ids))
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    runtime.vectors.update_vectors("colours", list(ids.values()), "second", vectors)
    assert found(client, {"id": ids["red"], "using": ["colour", "second"], "limit": 1}) == ["orange"]
    assert found(client, {"id": ids["red"], "using": "second", "limit": 4}) == [
        "orange",
        "green",
        "blue",
        "black",
    ]
    assert refusal(client, {"id": ids["red"], "using": ["colour"]}) == (422, "bad_request")
    assert refusal(client, {"id": ids["red"], "using": ["colour", "colour"]}) == (422, "bad_request")
    assert refusal(client, {"id": ids["red"], "using": ["colour", "none"]}) == (422, "unknown_vector")
    assert refusal(client, {"text": "red", "using": ["colour", "second"]}) == (422, "bad_request")
    assert refusal(client, {"text": "red", "using": "second"}) == (422, "unsupported_query")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"text": "red", "vector": [1.0]}, 422, "bad_request"),
        ({"text": "  "}, 422, "bad_request"),
        ({"text": "x" * 10_001}, 422, "bad_request"),
        ({"id": ABSENT}, 404, "not_found"),
        ({"id": "../../etc/passwd"}, 404, "not_found"),
        ({"id": "x" * 65}, 422, "bad_request"),
        ({"positive": [ABSENT]}, 404, "not_found"),
        ({"negative": [ABSENT]}, 422, "bad_request"),
        ({"text": "red", "positive": [ABSENT]}, 404, "not_found"),
        ({"text": "", "negative": [ABSENT]}, 422, "bad_request"),
        ({"id": ABSENT, "negative": [ABSENT]}, 422, "bad_request"),
        ({"text": "red", "vector": [1.0], "positive": [ABSENT]}, 422, "bad_request"),
        ({"vector": [1.0, 2.0]}, 422, "bad_vector"),
        ({"vector": [0.0] * 64}, 422, "bad_vector"),
        ({"vector": []}, 422, "bad_vector"),
        ({"vector": ["a"]}, 422, "bad_request"),
        ({"vector": None, "image": "no base64!"}, 422, "bad_request"),
        ({"image": base64.b64encode(b"text").decode()}, 415, "unsupported_format"),
        ({"text": "red", "using": "none"}, 422, "unknown_vector"),
        ({"text": "red", "limit": 0}, 422, "bad_request"),
        ({"text": "red", "limit": 10_001}, 422, "bad_request"),
        ({"text": "red", "limit": 10**30}, 422, "bad_request"),
        ({"text": "red", "limit": 9_000, "offset": 9_000}, 422, "bad_request"),
        ({"text": "red", "offset": -1}, 422, "bad_request"),
        ({"text": "red", "min_similarity": 2}, 422, "bad_request"),
        ({"text": "red", "diversity": -0.1}, 422, "bad_request"),
        ({"text": "red", "filter": {"metadata": {"weight": 3}}}, 422, "unknown_field"),
        ({"text": "red", "filter": {"colour": "red"}}, 422, "bad_request"),
        ({"text": "red", "filter": {"quality": {}}}, 422, "bad_request"),
        ({"text": "red", "filter": {"scores": {"cat": {"gte": 0.5}}}}, 422, "unknown_field"),
        (
            {"text": "red", "filter": {"where": {"must": [{"key": "caption", "match": {"value": 1}}]}}},
            422,
            "unknown_field",
        ),
        ({"text": "red", "filter": {"where": {"no": 1}}}, 422, "bad_request"),
        ({"text": "red", "order_by": {"field": "quality"}}, 422, "bad_request"),
        ({"order_by": {"field": "caption"}}, 422, "unknown_field"),
        ({"order_by": {"field": "class"}}, 422, "unknown_field"),
        ({"random": True, "cursor": "x"}, 422, "bad_request"),
        ({"min_similarity": 0.5}, 422, "bad_request"),
        ({"cursor": "no cursor"}, 422, "bad_request"),
        ({"unknown": 1}, 422, "bad_request"),
        ([], 422, "bad_request"),
        ("text", 422, "bad_request"),
    ],
)
def test_bad_questions_are_refused(shared: TestClient, body: Any, status: int, code: str) -> None:
    assert refusal(shared, body) == (status, code)


@pytest.mark.parametrize(
    "text",
    [
        '{"vector": [NaN, 1]}',
        '{"vector": [Infinity]}',
        '{"vector": [1e999]}',
        '{"text": "\\ud800"}',
        "{",
        '{"filter": ' + '{"where": ' * 30 + "{}" + "}" * 31,
        "[" * 100_000,
    ],
)
def test_what_is_no_json_is_refused(shared: TestClient, text: str) -> None:
    answer = shared.post(SEARCH, content=text, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")


def test_other_content_types_are_refused(shared: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "nonsense"):
        answer = shared.post(SEARCH, content=b'{"text": "red"}', headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type"), kind
    for kind in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=x"):
        answer = shared.post(SEARCH, content=b"garbage", headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_request"), kind


def test_searching_where_nothing_is(client: TestClient) -> None:
    for name in ("nothing", "..%2f..", "%00", "A"):
        answer = client.post(f"/v1/categories/{name}/search", json={"text": "red"})
        assert answer.status_code == 404, name
    client.post("/v1/categories", json={"name": "empty"})
    assert client.post("/v1/categories/empty/search", json={"text": "red"}).json()["hits"] == []


def test_a_search_behind_a_proxy_with_a_path_of_its_own(
    shared: TestClient, shared_ids: dict[str, str]
) -> None:
    """There FastAPI finds the route; elsewhere the request goes straight to it."""
    behind = TestClient(shared.app, base_url=str(shared.base_url), root_path="/pictures")
    body = {"id": shared_ids["red"], "limit": 3}
    hits = shared.post(SEARCH, json=body).json()["hits"]
    assert len(hits) == 3 and behind.post(f"/pictures{SEARCH}", json=body).json()["hits"] == hits
    for client, address in ((shared, SEARCH), (behind, f"/pictures{SEARCH}")):
        assert client.post(address, json={"limit": 0}).json()["code"] == "bad_request"
        assert client.post(address.replace("colours", "a%2Fb"), json=body).json()["code"] == "not_found"
        assert client.get(address).headers["allow"] == "POST"


def test_several_searches_in_one_call_answer_as_each_alone(
    shared: TestClient, shared_ids: dict[str, str]
) -> None:
    bodies: list[dict[str, Any]] = [
        {"text": "green", "limit": 2},
        {"id": shared_ids["red"], "limit": 3, "filter": {"tags_none": ["nothing"]}},
        {"image": base64.b64encode(picture(COLOURS["black"])).decode(), "limit": 1, "with_vectors": True},
        {"positive": [shared_ids["red"]], "negative": [shared_ids["blue"]], "diversity": 0.4},
        {"id": shared_ids["blue"], "collapse": True, "limit": 1},
    ]
    answer = shared.post(f"{SEARCH}es", json={"searches": bodies})
    assert answer.status_code == 200, answer.text
    SearchesOut.model_validate(answer.json())
    assert answer.json()["timing"]["encode_ms"] > 0
    for body, one in zip(bodies, answer.json()["answers"], strict=True):
        alone = shared.post(SEARCH, json=body).json()
        assert one == {name: alone[name] for name in ("hits", "encoder", "similar") if name in alone}


@pytest.mark.parametrize(
    ("body", "code", "word"),
    [
        ({}, "bad_request", "searches"),
        ({"searches": []}, "bad_request", "at least 1"),
        ({"searches": [{"text": "red"}] * 101}, "bad_request", "at most 100"),
        ({"searches": [{"text": "red"}, {"limit": 3}]}, "bad_request", "search 2 of 2"),
        ({"searches": [{"text": "red", "limit": 6_000}] * 2}, "bad_request", "10,000"),
        ({"searches": [{"text": "red", "colour": 1}]}, "bad_request", "searches.0.colour"),
        ({"searches": [{"text": "red"}, {"id": ABSENT}]}, "not_found", ABSENT),
        ({"searches": [{"text": "red", "using": "other"}]}, "unknown_vector", "other"),
    ],
)
def test_several_searches_of_which_one_is_wrong(
    shared: TestClient, body: dict[str, Any], code: str, word: str
) -> None:
    answer = shared.post(f"{SEARCH}es", json=body).json()
    assert answer["code"] == code and word in answer["detail"]
