from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import client_on, picture, runtime_in, settings_in
from vitrine.api.route import MAX_FILES, MAX_FORM_FIELDS, MAX_JSON_BYTES

LIMIT = 1 << 20
SEARCH = "/v1/categories/colours/search"
IMAGES = "/v1/categories/colours/images"


class Endless:
    """A body without an end; notes how much of it was taken."""

    def __init__(self, head: bytes = b"") -> None:
        self.head = head
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        while self.taken < 50 * LIMIT:
            self.taken += 10_000
            yield b"x" * 10_000


def test_a_declared_length_over_the_limit_is_refused_at_once(client: TestClient) -> None:
    for length in (str(LIMIT + 1), "9" * 30):
        answer = client.post(
            SEARCH, content=b"{}", headers={"Content-Length": length, "Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.json()["details"]["limit_bytes"] == LIMIT
    for length in ("-1", "many", "1_0"):
        odd = client.post(SEARCH, content=b"{}", headers={"Content-Length": length})
        assert odd.status_code == 422


@pytest.mark.parametrize(
    ("path", "kind", "head"),
    [
        (SEARCH, "application/json", b'{"text": "'),
        (
            SEARCH,
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n',
        ),
        (
            IMAGES,
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n',
        ),
        ("/v1/categories", "application/json", b'{"name": "'),
    ],
)
def test_a_body_without_a_length_is_cut_off_at_the_limit(
    client: TestClient, path: str, kind: str, head: bytes
) -> None:
    client.post("/v1/categories", json={"name": "colours"})
    answer = client.post(path, content=iter(Endless(head)), headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_body_of_just_the_limit_is_taken(client: TestClient) -> None:
    head = b'{"text": "red"'
    body = head + b" " * (LIMIT - len(head) - 1) + b"}"
    assert len(body) == LIMIT
    answer = client.post(SEARCH, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 404  # no such category: it was read
    assert (
        client.post(SEARCH, content=body + b" ", headers={"Content-Type": "application/json"}).status_code
        == 413
    )


def test_json_has_a_limit_of_its_own(tmp_path: Path) -> None:
    with runtime_in(settings_in(tmp_path)) as runtime, client_on(runtime) as client:
        body = b'{"text": "red"' + b" " * MAX_JSON_BYTES + b"}"
        answer = client.post(SEARCH, content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert answer.json()["details"]["limit_bytes"] == MAX_JSON_BYTES


def test_too_many_parts_are_refused(client: TestClient) -> None:
    client.post("/v1/categories", json={"name": "colours"})
    many = [("files", (f"{n}.png", b"x")) for n in range(MAX_FILES + 1)]
    answer = client.post(IMAGES, files=many)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    fields = client.post(
        IMAGES,
        files={"files": ("a.png", picture())},
        data={"tags": [str(n) for n in range(MAX_FORM_FIELDS + 1)]},
    )
    assert (fields.status_code, fields.json()["code"]) == (413, "too_large")
