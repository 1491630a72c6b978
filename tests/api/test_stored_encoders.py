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
from vitrine.api.schemas.findings.reports import ReportsOut
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


def test_reports_come_with_a_promoted_encoder(client: TestClient, runtime: Runtime, tmp_path: Path) -> None:
    folder = trained_folder(tmp_path / "again", 9)
    (folder / "curves.png").write_bytes(picture())
    (folder / "report.html").write_text("<script>alert(1)</script>")
    promote(runtime, CATEGORY, folder, name="look")
    reports = f"/v1/categories/{CATEGORY}/reports"
    told = client.get(reports).json()
    ReportsOut.model_validate(told)
    files = {(one["encoder"], one["file"]): one for one in told["reports"]}
    assert list(files) == [("look-1", "report.md"), ("look-2", "report.md"), ("look-2", "curves.png")]
    curves = client.get(files["look-2", "curves.png"]["url"])
    assert (curves.content, curves.headers["content-type"]) == (picture(), "image/png")
    assert files["look-2", "curves.png"]["bytes"] == len(picture())
    text = client.get(f"{reports}/look/report.md")
    assert text.text == "# Report\n" and text.headers["content-type"].startswith("text/markdown")
    part = client.get(f"{reports}/look/report.md", headers={"Range": "bytes=2-7"})
    assert (part.status_code, part.text) == (206, "Report")
    kept = client.get(f"{reports}/look/report.md", headers={"If-None-Match": text.headers["etag"]})
    assert kept.status_code == 304 and "immutable" not in kept.headers["cache-control"]


def test_nothing_else_of_an_encoder_is_a_report(client: TestClient, runtime: Runtime) -> None:
    reports = f"/v1/categories/{CATEGORY}/reports"
    others = ("look/config.json", "look/embedder.safetensors", "look/split.json", "look/curves.png",
              "look/..%2Fconfig.json", "colour/report.md")  # fmt: skip
    for path in others:
        answer = client.get(f"{reports}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    unknown = client.get(f"{reports}/mine/report.md")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_vector")
    assert client.get("/v1/categories/nothing/reports").status_code == 404
    assert client.get(f"{reports}?encoder=look").status_code == 422
