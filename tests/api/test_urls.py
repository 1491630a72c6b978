from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import client_on, picture, runtime_in, settings_in
from tests.raw_http import RawServer, answer, raw_server
from vitrine.services.errors import BadRequest

IMAGES = "/v1/categories/shop/images"


@pytest.fixture
def server() -> Iterator[RawServer]:
    def speak(path: str, connection: socket.socket) -> None:
        found = {"/red.png": picture(), "/blue.png": picture((0, 0, 200))}.get(path)
        connection.sendall(answer(b"", status="404 Not Found") if found is None else answer(found))

    with raw_server(speak) as server:
        yield server


@pytest.fixture
def client(tmp_path: Path, server: RawServer) -> Iterator[TestClient]:
    with ExitStack() as stack:
        yield started(
            stack, tmp_path, urls_over_http=True, url_networks=("127.0.0.1",), url_ports=(str(server.port),)
        )


def started(stack: ExitStack, folder: Path, **settings: Any) -> TestClient:
    client = stack.enter_context(client_on(stack.enter_context(runtime_in(settings_in(folder, **settings)))))
    client.post("/v1/categories", json={"name": "shop"})
    return client


def form(client: TestClient, *urls: str, **fields: str) -> Any:
    parts = [("urls", (None, url)) for url in urls] + [(name, (None, text)) for name, text in fields.items()]
    return client.post(IMAGES, files=parts)


def test_pictures_are_named_by_url(client: TestClient, server: RawServer) -> None:
    sent = form(client, server.url("/red.png"), server.url("/gone.png"), "http://10.0.0.1/a.png", tags="mug")
    assert sent.status_code == 201
    items = sent.json()["items"]
    assert [(item["outcome"], item["reason"]) for item in items] == [
        ("added", None), ("refused", "url_dead"), ("refused", "url_not_allowed"),
    ]  # fmt: skip
    payload = client.get(items[0]["urls"]["self"]).json()["payload"]
    assert payload["urls"] == [server.url("/red.png")] and payload["tags"] == ["mug"]
    assert payload["source"] == "upload" and payload["filename"] == "127.0.0.1/red.png"
    found = client.get(IMAGES, params={"url": server.url("/red.png")}).json()["hits"]
    assert [hit["id"] for hit in found] == [items[0]["id"]]


def test_the_same_url_again_is_not_asked(client: TestClient, server: RawServer) -> None:
    urls = json.dumps([server.url("/red.png"), server.url("/blue.png")])
    assert form(client, urls=urls).json()["counts"] == {"added": 2}
    again = form(client, urls=urls, caption="A thing")
    assert (again.status_code, again.json()["counts"]) == (200, {"updated": 2})
    assert len(server.paths) == 2


def test_a_setting_that_cannot_be_read_stops_the_server(tmp_path: Path) -> None:
    with ExitStack() as stack, pytest.raises(BadRequest, match="VITRINE_URL_NETWORKS"):
        started(stack, tmp_path, urls_over_http=True, url_networks=("somewhere",))


def test_files_and_urls_go_together(client: TestClient, server: RawServer) -> None:
    parts = [("urls", (None, server.url("/red.png"))), ("files", ("own.png", picture((9, 9, 9))))]
    items = client.post(IMAGES, files=parts).json()["items"]
    assert [item["filename"] for item in items] == ["own.png", "127.0.0.1/red.png"]


def test_a_url_that_is_refused_is_a_problem(client: TestClient) -> None:
    answered = form(client, "http://169.254.169.254/latest/meta-data/")
    assert (answered.status_code, answered.json()["code"]) == (422, "url_not_allowed")
    answered = form(client, *["http://10.0.0.1/"] * 101)
    assert (answered.status_code, answered.json()["code"]) == (422, "bad_request")


def test_nothing_is_downloaded_unless_a_setting_says_so(tmp_path: Path, server: RawServer) -> None:
    with ExitStack() as stack:
        client = started(stack, tmp_path, url_networks=("127.0.0.1",), url_ports=(str(server.port),))
        answered = form(client, server.url("/red.png"))
        assert (answered.status_code, answered.json()["code"]) == (403, "urls_off")
        assert client.get(IMAGES).json()["hits"] == []
    assert server.accepted == 0
