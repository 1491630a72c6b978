"""Near-duplicates over HTTP: answered on upload, left out of searches."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.api.helpers import upload
from tests.indexer.enrich.duplicates.pages import page
from tests.indexer.enrich.duplicates.scenes import scene
from tests.indexer.pictures import file_of
from vitrine.api.schemas.images import UploadOut
from vitrine.api.schemas.search import SearchOut
from vitrine.indexer.enrich.duplicates.find import find_duplicates
from vitrine.services.artifacts.duplicates import FIELD
from vitrine.services.runtime import Runtime

IMAGES, SEARCH = "/v1/categories/shop/images", "/v1/categories/shop/search"


def copy_of(number: int, quality: int = 60) -> bytes:
    return file_of(scene(number), "JPEG", quality)


@pytest.fixture
def shop(client: TestClient) -> dict[str, str]:
    """A category of three scenes; their ids by file name."""
    client.post("/v1/categories", json={"name": "shop"})
    answer = upload(client, "shop", *((f"{n}.png", file_of(scene(n))) for n in range(3)))
    assert all(item["near_duplicate_of"] is None for item in answer.json()["items"])
    return {item["filename"]: item["id"] for item in answer.json()["items"]}


def test_a_copy_is_added_and_told(client: TestClient, shop: dict[str, str]) -> None:
    answer = upload(
        client, "shop", ("copy.jpg", copy_of(0)), ("new.png", file_of(scene(5))), ("0.png", file_of(scene(0)))
    )
    UploadOut.model_validate(answer.json())
    copy, new, known = answer.json()["items"]
    assert answer.status_code == 201 and copy["outcome"] == "added" and copy["id"]
    near = copy["near_duplicate_of"]
    assert (near["id"], near["kind"]) == (shop["0.png"], "resized") and 0.8 < near["similarity"] <= 1
    assert client.get(near["urls"]["file"]).content == file_of(scene(0))
    assert new["near_duplicate_of"] is None and (known["outcome"], known["near_duplicate_of"]) == (
        "known",
        None,
    )


def test_a_copy_can_be_left_out(client: TestClient, shop: dict[str, str], runtime: Runtime) -> None:
    files = (
        ("half.png", file_of(scene(1).resize((100, 75), Image.Resampling.LANCZOS))),
        ("twin.jpg", copy_of(1)),
    )
    answer = upload(client, "shop", *files, near_duplicates="skip", tags="mine", caption="A copy")
    UploadOut.model_validate(answer.json())
    assert answer.status_code == 200 and answer.json()["counts"] == {"duplicate": 2}
    for item in answer.json()["items"]:
        assert (item["outcome"], item["id"], item["urls"]) == ("duplicate", None, None)
        assert item["near_duplicate_of"]["id"] == shop["1.png"]
    stored = client.get(f"{IMAGES}/{shop['1.png']}").json()["payload"]
    assert "caption" not in stored and stored["tags"] == [], "what is said of it is not taken over"
    assert client.get("/v1/categories/shop").json()["images"] == 3
    mixed = upload(
        client, "shop", ("copy.jpg", copy_of(2)), ("new.png", file_of(scene(6))), near_duplicates="skip"
    )
    assert mixed.status_code == 201 and mixed.json()["counts"] == {"duplicate": 1, "added": 1}
    assert 'vitrine_images_total{outcome="duplicate"} 3.0' in client.get("/metrics").text
    assert not any(FIELD in hit["payload"] for hit in client.get(IMAGES).json()["hits"]), (
        "groups change by find alone"
    )


def test_another_form_and_odd_pictures_are_never_left_out(client: TestClient, shop: dict[str, str]) -> None:
    forms = [(f"form-{number}.png", file_of(page(3, f"No {number}"))) for number in (4711, 4712, 9083)]
    again = ("again.jpg", file_of(page(3, "No 4712"), "JPEG", 92))
    odd = [
        (f"{width}x{height}.png", file_of(scene(9, (width, height))))
        for width, height in ((1, 1), (400, 2), (1000, 4))
    ]
    answer = upload(client, "shop", *forms, *odd, again, near_duplicates="skip")
    assert answer.status_code == 201 and answer.json()["counts"] == {"added": 6, "duplicate": 1}
    assert [item["outcome"] for item in answer.json()["items"]][-1] == "duplicate"


def test_nothing_is_compared_where_that_is_not_wanted(client: TestClient, shop: dict[str, str]) -> None:
    ignored = upload(client, "shop", ("copy.jpg", copy_of(0)), near_duplicates="ignore").json()["items"][0]
    assert (ignored["outcome"], ignored["near_duplicate_of"]) == ("added", None)
    for word in ("refuse", "TELL", "x" * 500):
        refused = upload(client, "shop", ("copy.jpg", copy_of(0)), near_duplicates=word)
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_request")


def searched(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post(SEARCH, json=body)
    assert answer.status_code == 200, answer.text
    SearchOut.model_validate(answer.json())
    found: dict[str, Any] = answer.json()
    return found


def test_searches_give_one_of_each_group(client: TestClient, shop: dict[str, str], runtime: Runtime) -> None:
    copies = [("a.jpg", copy_of(0)), ("b.jpg", copy_of(0, 40)), ("c.jpg", copy_of(1))]
    ids = shop | {
        item["filename"]: item["id"] for item in upload(client, "shop", *copies, tags="copy").json()["items"]
    }
    before = searched(client, id=ids["2.png"], limit=10, collapse=True)
    assert len(before["hits"]) == 5 and before["similar"] == {}, "nobody has looked for duplicates yet"
    groups = find_duplicates(runtime, "shop").groups
    assert [len(group.ids) for group in groups] == [3, 2]

    whole = searched(client, id=ids["2.png"], limit=10)
    assert len(whole["hits"]) == 5 and whole.get("similar") is None
    found = searched(client, id=ids["2.png"], limit=10, collapse=True)
    first = {id: group.id for group in groups for id in group.ids}
    best = {first[hit["id"]]: hit["id"] for hit in reversed(whole["hits"])}  # of each group the most similar
    assert {hit["id"] for hit in found["hits"]} == set(best.values())
    assert found["similar"] == {best[group.id]: len(group.ids) - 1 for group in groups}

    mine = searched(client, id=ids["a.jpg"], limit=10, collapse=True)
    assert sorted(mine["similar"].values()) == [1, 1], "the image that asks is left out, and not counted"
    some = searched(client, id=ids["2.png"], limit=10, collapse=True, filter={"tags_any": ["copy"]})
    assert len(some["hits"]) == 2 and list(some["similar"].values()) == [1], "others that meet the filter"
    second = searched(client, id=ids["2.png"], limit=1, offset=1, collapse=True)
    assert [hit["id"] for hit in second["hits"]] == [found["hits"][1]["id"]]
    form = client.post(
        SEARCH, files={"file": ("x.png", file_of(scene(0)))}, data={"query": json.dumps({"collapse": True})}
    )
    assert form.status_code == 200 and len(form.json()["hits"]) == 3 and form.json()["similar"]
    facets = client.post(SEARCH, json={"filter": {"duplicate_group": [groups[0].id]}})
    assert {hit["id"] for hit in facets.json()["hits"]} == set(groups[0].ids)
