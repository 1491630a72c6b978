"""Promoted encoders over HTTP: called by their vectors' names, and no other object of the store can be named
as an encoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import client_on, picture, upload
from tests.indexer.enrich.vectors.trained import trained_folder, trained_runtime
from tests.indexer.pictures import CATEGORY
from vitrine.indexer.enrich.vectors.promote import promote
from vitrine.services.encoders.families.stored import save_stored, stored_prefix
from vitrine.services.runtime import Runtime


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    made = trained_runtime(tmp_path / "data")
    yield made
    made.encoders.close()


@pytest.fixture
def client(runtime: Runtime, tmp_path: Path) -> Iterator[TestClient]:
    """A server whose category has one picture and the promoted encoder ``look``."""
    with client_on(runtime) as opened:
        assert upload(opened, CATEGORY, ("red.png", picture())).status_code == 201
        promote(runtime, CATEGORY, trained_folder(tmp_path / "look"), name="look")
        yield opened


def test_stored_models_cannot_be_named(client: TestClient, runtime: Runtime, tmp_path: Path) -> None:
    model = save_stored(
        runtime.objects, trained_folder(tmp_path / "other", 7), stored_prefix("elsewhere", "other")
    )
    for name in (
        model,
        f"mine={model}",
        f"store:{CATEGORY}/images",
        f"look-1={model}",
        runtime.catalog.get(CATEGORY).encoder().model,
    ):
        for answer in (
            client.post("/v1/categories", json={"name": "new", "encoders": [name]}),
            client.patch(f"/v1/categories/{CATEGORY}", json={"add_encoder": name}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
    assert [category.name for category in runtime.catalog.list()] == [CATEGORY]


def test_an_alias_and_its_vector_are_searched_and_shared_by_name(
    client: TestClient, runtime: Runtime
) -> None:
    found = client.post(f"/v1/categories/{CATEGORY}/search", json={"vector": [1.0] * 32, "using": "look"})
    assert found.status_code == 200 and found.json()["encoder"]["name"] == "look-1"
    assert str(runtime.settings.data) not in found.text and "_encoders" not in found.text
    assert client.post("/v1/categories", json={"name": "new", "encoders": ["look-1"]}).status_code == 201
    assert client.delete(f"/v1/categories/{CATEGORY}", params={"confirm": CATEGORY}).status_code == 204
    assert (
        upload(client, "new", ("red.png", picture())).status_code == 201
    )  # the encoder outlives the category it was trained for
    assert list(runtime.objects.list("_encoders/"))
