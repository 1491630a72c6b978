from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import COLOURS, picture
from vitrine.api.schemas.findings.taggers import ScoresOut, TaggerDetailOut, TaggersOut
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.fields import QUALITY
from vitrine.services.domain import Embedding, EncoderSpec, Preprocessing
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.runtime import Runtime

TAGGERS = "/v1/categories/colours/taggers"
REVISION = ColourEncoder().spec.revision
OTHER = EncoderSpec("other", "org/other", "r1", 4, ("image",), Preprocessing(8, None, (0, 0, 0), (1, 1, 1)))


def seen(colour: str) -> Embedding:
    from io import BytesIO

    from PIL import Image

    embedding: Embedding = ColourEncoder().encode_images(
        [Image.open(BytesIO(picture(COLOURS[colour]))).convert("RGB")]
    )[0]
    return embedding


def head(tag: str, colour: str = "red", **changed: Any) -> TagHead:
    """Scores high what looks like a flat picture of that colour."""
    fields = {
        "tag": tag,
        "kind": "by-hand",
        "using": "colour",
        "encoder_revision": REVISION,
        "weight": seen(colour),
        "bias": -0.9,
        "slope": 40.0,
        "metrics": {"average_precision": 0.9, "curve": [1, 2]},
        **changed,
    }
    return TagHead(**fields)


@pytest.fixture
def taught(runtime: Runtime, ids: dict[str, str]) -> Runtime:
    """Two taggers, whose scores two images carry."""
    saved = runtime.taggers.save("colours", [head("reddish", threshold=0.6), head("deep blue", "blue")])
    runtime.catalog.ensure_indexes("colours", {"scores.reddish": "float", 'scores."deep blue"': "float"})
    rows = {"red": (0.95, 0.05), "blue": (0.02, 0.9), "black": (0.3, 0.4)}
    who = {one.tag: one.signature for one in saved}
    payloads = {
        ids[name]: {"scores": {"reddish": red, "deep blue": blue}, "scored_by": who}
        for name, (red, blue) in rows.items()
    }
    runtime.vectors.set_payload("colours", payloads)
    return runtime


def test_the_taggers_of_all_categories_and_of_one(client: TestClient, taught: Runtime) -> None:
    client.post("/v1/categories", json={"name": "empty"})
    everywhere = client.get("/v1/taggers").json()
    assert TaggersOut.model_validate(everywhere)
    assert [(tagger["category"], tagger["tag"]) for tagger in everywhere["taggers"]] == [
        ("colours", "deep blue"),
        ("colours", "reddish"),
    ]
    assert client.get(TAGGERS).json() == everywhere
    assert client.get("/v1/categories/empty/taggers").json() == {"taggers": []}
    assert client.get("/v1/categories/nothing/taggers").status_code == 404
    tagger = everywhere["taggers"][0]
    assert (tagger["field"], tagger["fits"]) == ('scores."deep blue"', True)
    assert tagger["metrics"] == {"average_precision": 0.9}  # lists of taggers leave out curves


def test_one_tagger_tells_all_of_itself(client: TestClient, taught: Runtime) -> None:
    answer = client.get(f"{TAGGERS}/{quote('deep blue')}")
    told = answer.json()
    assert TaggerDetailOut.model_validate(told) and told["metrics"]["curve"] == [1, 2]
    assert told["stored"] == {"images": 5, "scored": 3, "stale": False, "complete": False}
    assert told["labels"] == {"accepted": 0, "rejected": 0}
    assert [version["in_service"] for version in told["history"]] == [True]
    taught.taggers.save("colours", [head("deep blue", "blue", threshold=0.7)], scored=["deep blue"])
    told = client.get(f"{TAGGERS}/{quote('deep blue')}").json()
    assert [(version["threshold"], version["in_service"]) for version in told["history"]] == [
        (0.7, True),
        (0.5, False),
    ]
    assert told["stored"]["stale"] and not told["stored"]["complete"]
    missing = client.get(f"{TAGGERS}/green")
    assert missing.status_code == 404 and "deep blue, reddish" in missing.json()["detail"]


def test_a_picture_is_scored_and_not_stored(client: TestClient, taught: Runtime) -> None:
    before = client.get("/v1/categories/colours").json()["images"]
    file = {"file": ("query.png", picture(COLOURS["red"], size=(60, 50)))}
    told = client.post(f"{TAGGERS}/score", files=file).json()
    assert ScoresOut.model_validate(told) and told["left_out"] == []
    assert [row["tag"] for row in told["scores"]] == ["reddish", "deep blue"]
    assert told["scores"][0]["above"] and told["scores"][0]["score"] > 0.9 and not told["scores"][1]["above"]
    body = {"image": base64.b64encode(file["file"][1]).decode()}
    assert client.post(f"{TAGGERS}/score", json=body).json() == told
    alone = client.post(f"{TAGGERS}/deep%20blue/score", json=body).json()
    assert alone["scores"] == told["scores"][1:]
    assert client.get("/v1/categories/colours").json()["images"] == before


def test_scores_are_those_of_the_stored_vector(
    client: TestClient, taught: Runtime, ids: dict[str, str]
) -> None:
    told = client.post(
        f"{TAGGERS}/reddish/score", files={"file": ("x.png", picture(COLOURS["orange"]))}
    ).json()["scores"][0]
    hit = taught.vectors.retrieve("colours", [ids["orange"]], with_vectors=("colour",))[0]
    assert hit is not None
    stored = taught.taggers.get("colours", "reddish").scores(hit.vectors["colour"][None])[0]
    assert told["score"] == pytest.approx(float(stored), abs=1e-5)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"files": {"file": ("x.txt", b"plain words")}}, 415, "unsupported_format"),
        ({"files": {"file": ("x.png", picture()[:60])}}, 422, "damaged_image"),
        ({"files": {"file": ("x.png", b"")}}, 422, "empty_file"),
        ({"files": {"picture": ("x.png", picture())}}, 422, "bad_request"),
        ({"files": [("file", ("a.png", picture())), ("file", ("b.png", picture()))]}, 422, "bad_request"),
        ({"files": {"file": ("x.png", picture())}, "data": {"limit": "1"}}, 422, "bad_request"),
        ({"json": {"image": "no base64!"}}, 422, "bad_request"),
        ({"json": {"image": base64.b64encode(b"words").decode()}}, 415, "unsupported_format"),
        ({"json": {}}, 422, "bad_request"),
        ({"json": {"text": "red"}}, 422, "bad_request"),
        ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type"),
    ],
)
def test_what_is_no_picture_is_refused(
    client: TestClient, taught: Runtime, request_: dict[str, Any], status: int, code: str
) -> None:
    for path in (f"{TAGGERS}/score", f"{TAGGERS}/reddish/score"):
        answer = client.post(path, **request_)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_a_tagger_of_another_encoder_is_left_out_or_refused(client: TestClient, taught: Runtime) -> None:
    taught.taggers.save("colours", [head("old", encoder_revision="colour-0"), head("gone", using="former")])
    file = {"file": ("x.png", picture())}
    told = client.post(f"{TAGGERS}/score", files=file).json()
    assert [row["tag"] for row in told["scores"]] == ["reddish", "deep blue"]
    assert [(row["tag"], row["code"]) for row in told["left_out"]] == [
        ("gone", "tagger_mismatch"),
        ("old", "tagger_mismatch"),
    ]
    for tag in ("old", "gone"):
        refused = client.post(f"{TAGGERS}/{tag}/score", files=file)
        assert (refused.status_code, refused.json()["code"]) == (409, "tagger_mismatch"), refused.text
        assert "train it again" in refused.json()["detail"]
        assert client.get(f"{TAGGERS}/{tag}").json()["fits"] is False
    for tag in ("reddish", "deep blue"):
        taught.taggers.delete("colours", tag)
    refused = client.post(f"{TAGGERS}/score", files=file)
    assert (refused.status_code, refused.json()["code"]) == (409, "tagger_mismatch")


def test_taggers_on_several_encoders_are_asked_together(
    client: TestClient, runtime: Runtime, ids: dict[str, str]
) -> None:
    second = ColourEncoder("second", 16)
    runtime.encoders.register(second)
    runtime.catalog.add_encoder("colours", second.spec)
    small = head(
        "small", using="second", encoder_revision=second.spec.revision, weight=np.eye(16, dtype=np.float32)[0]
    )
    runtime.taggers.save("colours", [small])
    runtime.taggers.save("colours", [head("reddish")])
    told = client.post(f"{TAGGERS}/score", files={"file": ("x.png", picture())}).json()
    assert {row["tag"] for row in told["scores"]} == {"small", "reddish"}


def test_a_category_without_taggers(client: TestClient, ids: dict[str, str]) -> None:
    assert client.post(f"{TAGGERS}/score", files={"file": ("x.png", picture())}).json() == {
        "scores": [],
        "left_out": [],
    }
    assert client.post(f"{TAGGERS}/red/score", files={"file": ("x.png", picture())}).status_code == 404
    assert (
        client.post("/v1/categories/none/taggers/score", files={"file": ("x.png", picture())}).status_code
        == 404
    )


def test_tags_are_percent_encoded_whatever_they_hold(
    client: TestClient, runtime: Runtime, ids: dict[str, str]
) -> None:
    tags = ["red mug", "a/b", "50 %", "ärger?", "score", "c#"]
    runtime.taggers.save("colours", [head(tag) for tag in tags])
    for tag in tags:
        path = f"{TAGGERS}/{quote(tag, safe='')}"
        assert client.get(path).json()["tag"] == tag
        assert (
            client.post(f"{path}/score", files={"file": ("x.png", picture())}).json()["scores"][0]["tag"]
            == tag
        )
        assert client.get(f"{path}/ranking").json()["tag"] == tag


def test_quality_is_a_tagger_that_fills_its_own_field(
    client: TestClient, taught: Runtime, ids: dict[str, str]
) -> None:
    taught.taggers.save("colours", [head(QUALITY)])
    taught.vectors.set_payload("colours", {id: {"quality": 0.5} for id in ids.values()})
    told = client.get(f"{TAGGERS}/quality").json()
    assert told["field"] == "quality" and told["stored"]["scored"] == 5


def test_ranges_of_several_scores_sorted_and_counted(
    client: TestClient, taught: Runtime, ids: dict[str, str]
) -> None:
    """Two taggers' ranges at once, in a listing, in a search, and in a histogram."""
    images = "/v1/categories/colours/images"
    ranges = {"score.reddish.gte": 0.01, "score.deep blue.gte": 0.3, "score.deep blue.lte": 1}
    query = {**ranges, "order_by": 'scores."deep blue"', "descending": "true"}
    listed = client.get(images, params=query).json()["hits"]
    assert [hit["id"] for hit in listed] == [ids["blue"], ids["black"]]
    paged = client.get(images, params={**query, "limit": 1}).json()
    second = client.get(images, params={**query, "limit": 1, "cursor": paged["cursor"]}).json()
    assert [hit["id"] for hit in paged["hits"] + second["hits"]] == [ids["blue"], ids["black"]]
    chosen = {"scores": {"reddish": {"gte": 0.01}, "deep blue": {"gte": 0.3, "lte": 1}}}
    order = {"field": "scores.reddish", "descending": True}
    body = client.post("/v1/categories/colours/search", json={"filter": chosen, "order_by": order}).json()
    assert [hit["id"] for hit in body["hits"]] == [ids["black"], ids["blue"]]
    near = client.post(
        "/v1/categories/colours/search", json={"filter": chosen, "text": "blue", "limit": 1}
    ).json()
    assert near["hits"][0]["id"] == ids["blue"]
    counted = client.get(
        "/v1/categories/colours/histograms/scores.reddish", params={"bins": 2, "score.deep blue.gte": 0.3}
    ).json()
    assert [bin["count"] for bin in counted["bins"]] == [2, 0]


def test_a_promoted_encoder_answers_to_its_alias(
    client: TestClient, runtime: Runtime, ids: dict[str, str]
) -> None:
    for name in ("look-1", "look-2"):
        trained = ColourEncoder(name, 16)
        runtime.encoders.register(trained)
        runtime.catalog.add_encoder("colours", trained.spec)
        for colour, id in ids.items():
            from io import BytesIO

            from PIL import Image

            image = Image.open(BytesIO(picture(COLOURS[colour]))).convert("RGB")
            runtime.vectors.update_vectors("colours", [id], name, trained.encode_images([image]))
        runtime.catalog.promote("colours", "look", name)
    told = client.get("/v1/categories/colours").json()
    assert (told["promoted"], told["default"]) == ({"look": ["look-2", "look-1"]}, "look")
    search = "/v1/categories/colours/search"
    for using in ("look", "look-2", None):
        body = {"id": ids["red"], "limit": 1} | ({"using": using} if using else {})
        answer = client.post(search, json=body).json()
        assert (answer["encoder"]["name"], answer["hits"][0]["id"]) == ("look-2", ids["orange"])
    assert (
        client.post(search, json={"text": "green", "using": "look", "limit": 1}).json()["hits"][0]["id"]
        == ids["green"]
    )
    fused = client.post(search, json={"id": ids["red"], "using": ["look", "colour"], "limit": 1})
    assert fused.status_code == 200 and fused.json()["hits"][0]["id"] == ids["orange"], fused.text
    rows = client.get("/v1/encoders").json()["categories"]
    assert [(row["name"], row["promoted_as"], row["in_service"]) for row in rows] == [
        ("colour", None, True),
        ("look-1", "look", False),
        ("look-2", "look", True),
    ]
    runtime.taggers.save(
        "colours", [head("t", using="look-1", encoder_revision="colour-1-16", weight=np.ones(16, np.float32))]
    )
    assert (
        client.get(f"{TAGGERS}/t").json()["fits"] is True
    )  # the vector that it was trained on is still there


def test_a_tagger_is_deleted_with_its_scores(
    client: TestClient, taught: Runtime, ids: dict[str, str]
) -> None:
    answer = client.delete(f"{TAGGERS}/{quote('deep blue')}")
    assert answer.status_code == 200 and answer.json() == {"tag": "deep blue", "images": 3}
    assert [tagger["tag"] for tagger in client.get(TAGGERS).json()["taggers"]] == ["reddish"]
    payload = client.get(f"/v1/categories/colours/images/{ids['red']}").json()["payload"]
    assert payload["scores"] == {"reddish": 0.95} and payload["tags"] == ["red", "flat"]
    for path in (f"{TAGGERS}/{quote('deep blue')}", "/v1/categories/nothing/taggers/reddish"):
        again = client.delete(path)
        assert (again.status_code, again.json()["code"]) == (404, "not_found"), path
    assert client.delete(f"{TAGGERS}/reddish?scores=keep").status_code == 422
    assert client.get(f"{TAGGERS}/reddish").status_code == 200
