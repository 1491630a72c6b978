from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from tests.api.helpers import READ, WRITE, client_on, fill, runtime_in, settings_in
from vitrine.api.schemas.saved import SavedBody, SavedListOut, SavedOut
from vitrine.services.category import saved as module
from vitrine.services.runtime import Runtime

CATEGORY = "/v1/categories/colours"
SAVED = f"{CATEGORY}/saved"
QUERY: dict[str, Any] = {
    "filter": {"class": ["warm"], "metadata": {"year": {"lte": 1990}}},
    "order_by": {"field": "metadata.year"},
    "limit": 3,
}


def names(client: TestClient) -> list[str]:
    tree = client.get(SAVED).json()
    SavedListOut.model_validate(tree)
    return [saved["name"] for saved in tree["saved"]]


def test_a_search_is_saved_found_again_replaced_and_deleted(client: TestClient, ids: dict[str, str]) -> None:
    assert names(client) == []
    made = client.put(f"{SAVED}/Warm%20%2F%20old", json={"query": QUERY, "view": "?class=warm"})
    assert made.status_code == 200
    SavedOut.model_validate(made.json())
    assert (made.json()["name"], made.json()["view"]) == ("Warm / old", "?class=warm")
    (saved,) = client.get(SAVED).json()["saved"]
    assert saved == made.json() and saved["query"] == QUERY
    hits = client.post(f"{CATEGORY}/search", json=saved["query"]).json()["hits"]
    assert [hit["id"] for hit in hits] == [ids["red"]]
    client.put(f"{SAVED}/Warm%20%2F%20old", json={"query": {}})
    client.put(f"{SAVED}/A", json={"query": {"id": ids["red"]}})
    assert names(client) == ["A", "Warm / old"]
    assert client.get(SAVED).json()["saved"][1]["query"] == {}
    assert client.delete(f"{SAVED}/Warm%20%2F%20old").status_code == 204
    assert names(client) == ["A"]
    assert client.delete(f"{SAVED}/Warm%20%2F%20old").json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x", {}),
        ("x", {"query": {"colour": 1}}),
        ("x", {"query": {}, "view": "v" * 10_001}),
        ("%20", {"query": {}}),
        ("n" * 201, {"query": {}}),
        ("x", {"query": {"image": "A" * 70_000}}),
    ],
)
def test_what_is_no_search_or_too_large_is_not_saved(
    client: TestClient, ids: dict[str, str], name: str, body: dict[str, Any]
) -> None:
    refused = client.put(f"{SAVED}/{name}", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "bad_request")
    assert names(client) == []


def test_of_many_who_save_at_once_all_are_kept_up_to_the_limit(
    client: TestClient, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SAVED", 20)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: client.put(f"{SAVED}/{n:02}", json={"query": {}}), range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert names(client) == [f"{number:02}" for number in range(20)]
    assert client.put(f"{SAVED}/one more", json={"query": {}}).status_code == 422
    assert client.put(f"{SAVED}/07", json={"query": {}, "view": "new"}).status_code == 200


def test_saved_searches_go_with_the_category(
    client: TestClient, ids: dict[str, str], runtime: Runtime
) -> None:
    client.put(f"{SAVED}/A", json={"query": {}})
    runtime.catalog.delete("colours", keep_images=True)
    runtime.catalog.create("colours", [runtime.encoders.get("colour").spec])
    assert names(client) == ["A"]  # as the pictures are: to be used again
    runtime.catalog.delete("colours")
    assert list(runtime.objects.list("_saved/")) == []
    assert client.get(SAVED).status_code == 404


def test_saving_needs_a_key_that_may_write(tmp_path: Any) -> None:
    keys = (f"read:{READ}", f"write:{WRITE}")
    with runtime_in(settings_in(tmp_path, keys=keys)) as runtime, client_on(runtime) as client:
        client.headers["X-API-Key"] = WRITE
        fill(client)
        client.headers["X-API-Key"] = READ
        assert client.get(SAVED).status_code == 200
        assert client.put(f"{SAVED}/A", json={"query": {}}).status_code == 403
        assert client.delete(f"{SAVED}/A").status_code == 403


def test_the_examples_of_the_document_are_valid() -> None:
    for model in (SavedBody, SavedOut, SavedListOut):
        for example in model.model_config["json_schema_extra"]["examples"]:  # type: ignore[index,call-overload,union-attr]
            TypeAdapter(model).validate_python(example)
