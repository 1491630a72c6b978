from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import client_on, picture, upload
from vitrine.api.readiness import Readiness
from vitrine.services.errors import StorageFull, Unavailable
from vitrine.services.runtime import Runtime


def test_alive_and_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz")
    parts = {"vectors": "ok", "objects": "ok"}
    assert ready.status_code == 200
    assert ready.json() == {
        "ready": True,
        "search": True,
        "parts": parts,
        "known_as_of": None,
        "damaged": 0,
        "damaged_categories": [],
    }


def test_a_store_that_is_away_makes_it_unready_without_telling_where(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise StorageFull("No space on /srv/data.")

    monkeypatch.setattr(runtime.objects, "check", fail)
    with client_on(runtime) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        parts = {"vectors": "ok", "objects": "storage_full"}
        assert answer.json().items() >= {"ready": False, "search": True, "parts": parts}.items()
        assert client.get("/readyz?need=search").status_code == 200
        assert client.get("/healthz").status_code == 200


def test_readiness_asks_at_most_once_a_second() -> None:
    asked: list[int] = []

    def part() -> None:
        asked.append(1)
        raise Unavailable("away")

    readiness = Readiness({"part": part}, dict)
    assert [readiness.check() for _ in range(5)] == [{"part": "unavailable"}] * 5
    assert len(asked) == 1


def test_metrics_count_by_route_and_not_by_what_clients_write(
    client: TestClient, ids: dict[str, str]
) -> None:
    client.post("/v1/categories/colours/search", json={"text": "red"})
    upload(client, "colours", ("a.txt", b"words"), ("red.png", picture((9, 9, 9))))
    for n in range(3):
        client.get(f"/secret-{n}")
    text = client.get("/metrics").text
    assert (
        'vitrine_http_requests_total{method="POST",route="/v1/categories/{category}/search",status="200"} 1.0'
        in text
    )
    assert 'vitrine_http_requests_total{method="GET",route="unmatched",status="404"} 3.0' in text
    assert (
        'vitrine_images_total{outcome="added"} 6.0' in text
        and 'vitrine_images_total{outcome="refused"} 1.0' in text
    )
    assert "vitrine_encode_seconds_count 1.0" in text and "vitrine_search_seconds_count 1.0" in text
    assert "vitrine_http_request_seconds_bucket" in text and "secret" not in text


def test_apps_do_not_share_their_metrics(runtime: Runtime) -> None:
    with client_on(runtime) as one, client_on(runtime) as other:
        one.get("/healthz")
        assert 'route="/healthz"' in one.get("/metrics").text
        assert 'route="/healthz"' not in other.get("/metrics").text
