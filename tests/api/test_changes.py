from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from tests.api.helpers import COLOURS, READ, WRITE, client_on, fill, picture, runtime_in, settings_in, upload
from vitrine.api.schemas import changes as schemas
from vitrine.api.schemas.changes import BatchOut, BinOut, ChangedOut, DeletedOut, UndoneOut
from vitrine.api.warmup import warm_up
from vitrine.services.category.editor import Editor
from vitrine.services.runtime import Runtime

CATEGORY = "/v1/categories/colours"
IMAGES = f"{CATEGORY}/images"
ABSENT = "00000000-0000-5000-8000-000000000000"


def batch(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post(f"{IMAGES}/batch", json=body)
    assert answer.status_code == 200, answer.text
    tree: dict[str, Any] = answer.json()
    BatchOut.model_validate(tree)
    return tree


def undo(client: TestClient, tree: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(f"/v1/undo/{tree['undo']['token']}")
    assert answer.status_code == 200, answer.text
    UndoneOut.model_validate(answer.json())
    found: dict[str, Any] = answer.json()
    return found


def tagged(client: TestClient, tag: str) -> set[str]:
    hits = client.get(IMAGES, params={"tag": tag}).json()["hits"]
    return {hit["payload"]["filename"].removesuffix(".png") for hit in hits}


def test_an_edit_is_undone_and_made_again_by_tokens(client: TestClient, ids: dict[str, str]) -> None:
    path = f"{IMAGES}/{ids['red']}"
    changed = client.patch(path, json={"add_tags": ["mine"], "class": None, "metadata": {"place": "Oslo"}})
    ChangedOut.model_validate(changed.json())
    done = undo(client, changed.json())
    assert (done["undone"], done["kept"]) == (1, [])
    payload = client.get(path).json()["payload"]
    assert payload["tags"] == ["red", "flat"] and payload["class"] == "warm"
    assert payload["metadata"] == {"year": 1990}
    undo(client, done)
    assert client.get(path).json()["payload"] == changed.json()["payload"]
    used = client.post(f"/v1/undo/{done['undo']['token']}")
    assert (used.status_code, used.json()["code"]) == (404, "not_found")
    assert client.patch(path, json={"add_tags": ["mine"]}).json()["undo"] is None


def test_a_batch_by_ids_says_what_became_of_each(client: TestClient, ids: dict[str, str]) -> None:
    first = batch(client, action="change", changes={"add_tags": ["red"]}, ids=[*ids.values(), ABSENT])
    counts = [first[name] for name in ("matched", "changed", "unchanged", "missing")]
    assert counts == [5, 4, 1, [ABSENT]]
    assert tagged(client, "red") == set(COLOURS)
    assert undo(client, first)["undone"] == 4
    assert tagged(client, "red") == {"red"}
    many = {"metadata": {f"column {number}": 1 for number in range(80)}}
    noted = batch(client, action="change", changes=many, ids=[ids["red"]])
    assert "no filter" in noted["notes"][0]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, set(COLOURS)),
        ({"filter": {"class": ["warm"]}}, {"red", "orange"}),
        ({"order_by": {"field": "metadata.year", "descending": True}, "limit": 2}, {"black", "blue"}),
        ({"id": "red", "limit": 1}, {"orange"}),
        ({"positive": ["red"], "filter": {"class": ["warm"]}}, {"orange"}),
        ({"id": "red", "min_similarity": 0.999999}, set()),
    ],
)
def test_a_batch_by_query_takes_all_images_of_it(
    client: TestClient, ids: dict[str, str], query: dict[str, Any], found: set[str]
) -> None:
    named = {**query}
    if "id" in named:
        named["id"] = ids[named["id"]]
    if "positive" in named:
        named["positive"] = [ids[name] for name in named["positive"]]
    done = batch(client, action="change", changes={"add_tags": ["sale"]}, query=named)
    assert (done["matched"], done["missing"]) == (len(found), [])
    assert tagged(client, "sale") == found


def test_a_random_sample_of_a_size_is_a_query_and_a_page_is_none(
    client: TestClient, ids: dict[str, str]
) -> None:
    assert batch(client, action="delete", query={"random": True, "limit": 2})["changed"] == 2
    for query in ({"random": True}, {"cursor": "x"}):
        refused = client.post(f"{IMAGES}/batch", json={"action": "delete", "query": query})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_request")


@pytest.mark.parametrize(
    "body",
    [
        {"action": "change", "ids": [ABSENT]},
        {"action": "delete", "ids": [ABSENT], "changes": {}},
        {"action": "delete"},
        {"action": "delete", "ids": [ABSENT], "query": {}},
        {"action": "restore", "query": {}},
        {"action": "burn", "ids": [ABSENT]},
        {"action": "change", "ids": [ABSENT], "changes": {"quality": 2}},
        {"action": "change", "ids": [ABSENT], "changes": {"add_tags": ["a"]}, "query": {"colour": 1}},
    ],
)
def test_batches_that_make_no_sense_are_refused(shared: TestClient, body: dict[str, Any]) -> None:
    refused = shared.post(f"{IMAGES}/batch", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_request"), refused.text


def test_what_is_deleted_waits_in_the_bin_outside_of_every_answer(
    client: TestClient, ids: dict[str, str], runtime: Runtime
) -> None:
    path = f"{IMAGES}/{ids['red']}"
    before = client.get(path).json()
    gone = client.delete(path)
    DeletedOut.model_validate(gone.json())
    assert gone.json()["deleted"] == 1 and runtime.catalog.get("colours").images == 4
    assert client.get(path).status_code == client.get(f"{path}/file").status_code == 404
    assert len(client.get(IMAGES).json()["hits"]) == 4 and tagged(client, "red") == set()
    facets = client.get(f"{CATEGORY}/facets/class").json()["values"]
    assert {facet["value"]: facet["count"] for facet in facets} == {"cool": 3, "warm": 1}
    listed = client.get(f"{CATEGORY}/bin").json()
    BinOut.model_validate(listed)
    (binned,) = listed["images"]
    assert (listed["total"], binned["id"], binned["payload"]) == (1, ids["red"], before["payload"])
    assert client.get(binned["urls"]["thumbnail"]).status_code == 200
    restored = batch(client, action="restore", ids=[ids["red"], ids["blue"], ABSENT])
    assert [restored[name] for name in ("matched", "changed", "unchanged")] == [2, 1, 1]
    assert restored["missing"] == [ABSENT] and "left as they are" in restored["notes"][0]
    assert client.get(path).json() == before
    found = client.post(f"{CATEGORY}/search", json={"id": ids["red"], "limit": 1}).json()
    assert found["hits"][0]["id"] == ids["orange"]
    assert client.get(f"{CATEGORY}/bin").json() == {"images": [], "total": 0}


def test_an_emptied_bin_gives_nothing_back(client: TestClient, ids: dict[str, str]) -> None:
    gone = batch(client, action="delete", query={"filter": {"class": ["cool"]}})
    assert gone["changed"] == 3
    assert client.delete(f"{CATEGORY}/bin").json() == {"removed": 3}
    answer = client.post(f"/v1/undo/{gone['undo']['token']}")
    assert answer.status_code == 404 and "for good" in answer.json()["detail"]
    assert client.get(f"{IMAGES}/{ids['blue']}/thumbnail").status_code == 404
    again = upload(client, "colours", ("blue.png", picture(COLOURS["blue"])))
    assert again.json()["items"][0]["outcome"] == "added"


def test_labels_are_undone(client: TestClient, ids: dict[str, str]) -> None:
    labels = f"{CATEGORY}/taggers/shiny/labels"
    said = client.post(labels, json={"accept": [ids["red"]], "reject": [ids["blue"]]}).json()
    assert undo(client, said)["undone"] == 2
    after = client.post(labels, json={}).json()
    assert (after["labels"], after["undo"]) == ({"accepted": 0, "rejected": 0}, None)


def test_many_who_tag_one_image_at_once_lose_nothing(client: TestClient, ids: dict[str, str]) -> None:
    path = f"{IMAGES}/{ids['red']}"

    def tag(number: int) -> dict[str, Any]:
        found: dict[str, Any] = client.patch(path, json={"add_tags": [f"tag-{number}"]}).json()
        return found

    with ThreadPoolExecutor(12) as pool:
        done = list(pool.map(tag, range(40)))
        tags = set(client.get(path).json()["payload"]["tags"])
        assert tags == {"red", "flat", *(f"tag-{number}" for number in range(40))}
        taken = list(pool.map(lambda tree: undo(client, tree)["undone"], done[::2]))
    assert taken == [1] * 20
    tags = set(client.get(path).json()["payload"]["tags"])
    assert tags == {"red", "flat", *(f"tag-{number}" for number in range(1, 40, 2))}


def test_changes_need_a_key_that_may_write(tmp_path: Any) -> None:
    keys = (f"read:{READ}", f"write:{WRITE}")
    with runtime_in(settings_in(tmp_path, keys=keys)) as runtime, client_on(runtime) as client:
        client.headers["X-API-Key"] = WRITE
        ids = fill(client)
        gone = client.delete(f"{IMAGES}/{ids['red']}").json()
        client.headers["X-API-Key"] = READ
        assert client.get(f"{CATEGORY}/bin").json()["total"] == 1
        for method, path in (
            ("POST", f"{IMAGES}/batch"),
            ("POST", f"/v1/undo/{gone['undo']['token']}"),
            ("DELETE", f"{CATEGORY}/bin"),
        ):
            assert client.request(method, path, json={}).status_code == 403


def test_the_examples_of_the_document_are_valid() -> None:
    for model in vars(schemas).values():
        extra = (
            getattr(model, "model_config", {}).get("json_schema_extra") if isinstance(model, type) else None
        )
        for example in (extra or {}).get("examples", ()):
            TypeAdapter(model).validate_python(example)


def test_the_server_empties_the_bin_when_it_starts(
    client: TestClient, ids: dict[str, str], runtime: Runtime
) -> None:
    past = datetime.now(UTC) - timedelta(hours=25)
    parts = runtime.catalog, runtime.vectors, runtime.objects, runtime.thumbnails
    key = runtime.searcher.image("colours", ids["red"]).payload["object_key"]
    Editor(*parts, clock=lambda: past).delete("colours", [ids["red"]])
    assert runtime.objects.stat(key) is not None
    warm_up(runtime, threading.Event())
    assert runtime.objects.stat(key) is None and list(runtime.objects.list("_bin/")) == []
