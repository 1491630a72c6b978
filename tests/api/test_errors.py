from __future__ import annotations

import inspect
import logging
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from vitrine.api import errors as api_errors
from vitrine.api.errors import STATUS, dump_json, problem
from vitrine.services import errors as domain
from vitrine.services.runtime import Runtime

ALL = [cls for _, cls in inspect.getmembers(domain, inspect.isclass) if issubclass(cls, domain.VitrineError)]


@pytest.mark.parametrize("cls", ALL)
def test_every_domain_error_has_a_status(cls: type[domain.VitrineError]) -> None:
    assert cls.code in STATUS


@pytest.mark.parametrize("reason", sorted(domain.REFUSALS))
def test_a_refused_image_has_its_reason_as_the_code(reason: str) -> None:
    answer = problem(domain.ImageRefused(reason, "No."), "id")
    assert answer.status_code == (415 if reason == "unsupported_format" else 422)
    assert f'"code":"{reason}"'.encode() in answer.body


@pytest.mark.parametrize(
    ("error", "status", "code", "told"),
    [
        (domain.NotFound("There is no such thing.", id="x"), 404, "not_found", True),
        (domain.EncoderMismatch("Another revision."), 409, "encoder_mismatch", True),
        (domain.StoreLocked("Held by 17 on /srv/data."), 409, "store_locked", False),
        (domain.ModelUnavailable("Fill /srv/models/clip."), 503, "model_unavailable", False),
        (domain.Unavailable("http://qdrant:6333 is silent."), 503, "unavailable", False),
        (domain.StorageFull("No space on /srv/data."), 503, "storage_full", False),
        (domain.StoreDamaged("/srv/data is short."), 503, "store_damaged", False),
        (domain.MissingCredentials("Set MINIO_SECRET_KEY."), 503, "missing_credentials", False),
        (domain.MissingExtra("This needs torch: vitrine[train]."), 503, "missing_extra", True),
        (RuntimeError("the password is 1234"), 500, "internal", False),
        (KeyError("/srv/data"), 500, "internal", False),
    ],
)
def test_errors_of_the_stores_become_problems_and_keep_the_servers_places_in_the_log(
    client: TestClient,
    runtime: Runtime,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    code: str,
    told: bool,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(runtime.catalog, "list", fail)
    with caplog.at_level(logging.ERROR, "vitrine.api"):
        answer = client.get("/v1/categories", headers={"X-Request-ID": "mine-1"})
    body = answer.json()
    assert (answer.status_code, body["code"], body["status"]) == (status, code, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["request_id"] == answer.headers["x-request-id"] == "mine-1"
    assert body["type"] == f"urn:vitrine:problem:{code}" and body["title"]
    words = str(error.args[0])
    assert (words in body["detail"]) == told
    assert told or (
        words in caplog.text
        and "mine-1" in caplog.text
        and "/srv" not in answer.text
        and "1234" not in answer.text
    )


def test_unknown_addresses_and_methods_are_problems(client: TestClient) -> None:
    for path in ("/v1", "/v1/categories/", "/v1/nothing", "/../etc/passwd", "/%00"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    wrong = client.put("/v1/categories")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, HEAD, POST"


def test_every_address_names_all_its_methods_and_answers_head_as_it_answers_get(
    shared: TestClient, shared_ids: dict[str, str]
) -> None:
    values = {"category": "colours", "id": shared_ids["red"], "field": "width"}
    answered = 0
    for path, operations in shared.get("/openapi.json").json()["paths"].items():
        address = re.sub(r"{(\w+)}", lambda found: values.get(found[1], "x"), path)
        refused = shared.request("TRACE", address)
        assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed"), path
        allowed = refused.headers["allow"].split(", ")
        assert {method.upper() for method in operations} <= set(allowed), path
        head, got = shared.head(address), shared.get(address)
        assert (head.status_code, head.content) == (got.status_code, b""), path
        assert ("GET" in allowed, "HEAD" in allowed) == (got.status_code != 405,) * 2, path
        assert _lasting(head) == _lasting(got), path
        answered += got.is_success
    assert answered > 15


def _lasting(answer: Response) -> dict[str, str]:
    """Headers but for what differs from one request to the next: its id, and the length of an answer that
    tells times."""
    length = () if answer.headers["content-type"].startswith("image/") else ("content-length",)
    return {name: value for name, value in answer.headers.items() if name not in ("x-request-id", *length)}


def test_head_of_a_file_has_its_length_and_its_tag_and_knows_what_did_not_change(
    shared: TestClient, shared_ids: dict[str, str]
) -> None:
    address = f"/v1/categories/colours/images/{shared_ids['red']}/file"
    head = shared.head(address)
    assert int(head.headers["content-length"]) == len(shared.get(address).content) > 0
    same = shared.head(address, headers={"If-None-Match": head.headers["etag"]})
    assert (same.status_code, same.headers["etag"]) == (304, head.headers["etag"])
    assert shared.head(address + "x").status_code == 404
    metrics = shared.get("/metrics").text
    assert 'method="HEAD",route="/v1/categories/{category}/images/{id}/file",status="304"' in metrics


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-1.2_3", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("a b", False),
        ("a\tb", False),
        ("é", False),
    ],
)
def test_request_ids_are_kept_if_sane(client: TestClient, given: str, kept: bool) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given.encode("latin-1")})  # type: ignore[dict-item]
    assert (answer.headers["x-request-id"] == given) == kept
    assert 1 <= len(answer.headers["x-request-id"]) <= 64
    assert client.get("/healthz").headers["x-request-id"] != client.get("/healthz").headers["x-request-id"]


def test_query_parameters_name_the_field(client: TestClient) -> None:
    answer = client.get("/v1/categories/pets/images?limit=x")
    assert answer.json()["details"]["errors"][0]["field"] == "limit" and "limit" in answer.json()["detail"]


def test_json_of_the_unusual() -> None:
    assert dump_json({"a": float("nan")}) == b'{"a":null}'
    assert b"\\ud800" in dump_json({"a": "\ud800"})
    assert (
        api_errors.invalid(
            [{"loc": ("body",), "type": "value_error", "msg": "Value error, no"}], "body"
        ).message
        == "The body is not valid: no."
    )
