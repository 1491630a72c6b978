from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import BASE, READ, WRITE, client_on, picture, runtime_in, settings_in
from vitrine.api.app import create_app
from vitrine.api.auth import KeyRing, RefusedToStart, is_loopback, refuse_open_bind
from vitrine.services.settings import Settings

REQUESTS = [
    ("GET", "/v1/categories", "read"),
    ("POST", "/v1/categories", "write"),
    ("GET", "/v1/categories/pets", "read"),
    ("PATCH", "/v1/categories/pets", "write"),
    ("DELETE", "/v1/categories/pets", "write"),
    ("POST", "/v1/categories/pets/search", "read"),
    ("POST", "/v1/categories/pets/searches", "read"),
    ("POST", "/v1/search", "read"),
    ("POST", "/v1/categories/pets/summary", "read"),
    ("GET", "/v1/categories/pets/columns", "read"),
    ("GET", "/v1/categories/pets/columns/ids", "read"),
    ("POST", "/v1/categories/pets/columns/mask", "read"),
    ("GET", "/v1/categories/pets/saved", "read"),
    ("PUT", "/v1/categories/pets/saved/red mugs", "write"),
    ("DELETE", "/v1/categories/pets/saved/red mugs", "write"),
    ("GET", "/v1/categories/pets/images", "read"),
    ("POST", "/v1/categories/pets/images", "write"),
    ("POST", "/v1/categories/pets/images/known", "read"),
    ("GET", "/v1/categories/pets/images/x", "read"),
    ("PATCH", "/v1/categories/pets/images/x", "write"),
    ("DELETE", "/v1/categories/pets/images/x", "write"),
    ("GET", "/v1/categories/pets/images/x/file", "read"),
    ("GET", "/v1/categories/pets/images/x/thumbnail", "read"),
    ("POST", "/v1/categories/pets/images/batch", "write"),
    ("GET", "/v1/categories/pets/bin", "read"),
    ("DELETE", "/v1/categories/pets/bin", "write"),
    ("POST", "/v1/undo/x", "write"),
    ("POST", "/v1/pictures", "read"),
    ("GET", "/v1/pictures/x/thumbnail", "read"),
    ("POST", "/v1/categories/pets/metadata", "write"),
    ("GET", "/v1/categories/pets/facets/class", "read"),
    ("GET", "/v1/categories/pets/histograms/width", "read"),
    ("GET", "/v1/taggers", "read"),
    ("GET", "/v1/categories/pets/taggers", "read"),
    ("POST", "/v1/categories/pets/taggers/score", "read"),
    ("GET", "/v1/categories/pets/taggers/red mug", "read"),
    ("POST", "/v1/categories/pets/taggers/red mug/score", "read"),
    ("GET", "/v1/categories/pets/taggers/red mug/uncertain", "read"),
    ("GET", "/v1/categories/pets/taggers/red mug/ranking", "read"),
    ("POST", "/v1/categories/pets/taggers/red mug/labels", "write"),
    ("POST", "/v1/categories/pets/taggers/red mug/train", "write"),
    ("GET", "/v1/categories/pets/clusters", "read"),
    ("GET", "/v1/categories/pets/clusters/compare", "read"),
    ("GET", "/v1/categories/pets/clusters/look/nodes/root", "read"),
    ("PATCH", "/v1/categories/pets/clusters/look/nodes/root", "write"),
    ("DELETE", "/v1/categories/pets/clusters/look", "write"),
    ("DELETE", "/v1/categories/pets/maps/umap", "write"),
    ("DELETE", "/v1/categories/pets/taggers/red mug", "write"),
    ("GET", "/v1/categories/pets/maps", "read"),
    ("GET", "/v1/categories/pets/maps/umap/points", "read"),
    ("GET", "/v1/categories/pets/duplicates", "read"),
    ("GET", "/v1/categories/pets/duplicates/groups", "read"),
    ("GET", "/v1/categories/pets/duplicates/groups/1-1", "read"),
    ("POST", "/v1/categories/pets/duplicates/decisions", "write"),
    ("GET", "/v1/categories/pets/reports", "read"),
    ("GET", "/v1/categories/pets/reports/look/report.md", "read"),
    ("GET", "/get_models", "read"),
    ("POST", "/image_finder", "read"),
    ("POST", "/api/search/pets", "read"),
    ("GET", "/get_images_in_tag_score_range", "read"),
    ("GET", "/get_random_img", "read"),
    ("GET", "/v1/jobs", "read"),
    ("POST", "/v1/jobs", "write"),
    ("GET", "/v1/jobs/kinds", "read"),
    ("GET", "/v1/jobs/events", "read"),
    ("GET", "/v1/jobs/x", "read"),
    ("DELETE", "/v1/jobs/x", "write"),
    ("POST", "/v1/jobs/x/retry", "write"),
    ("GET", "/v1/jobs/x/log", "read"),
    ("GET", "/v1/jobs/x/file", "read"),
    ("GET", "/v1/encoders", "read"),
    ("GET", "/metrics", "read"),
]
OPEN = ("/healthz", "/readyz", "/health", "/api/ping")
SESSION = {(method, "/v1/session") for method in ("GET", "POST", "DELETE")}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[TestClient]:
    settings = settings_in(tmp_path, keys=(f"read:{READ}", f"write:{WRITE}"), host="0.0.0.0")
    with runtime_in(settings) as runtime, client_on(runtime, host="http://images.example.org") as client:
        yield client


@pytest.mark.parametrize(("method", "path", "scope"), REQUESTS)
def test_every_route_asks_for_its_scope(guarded: TestClient, method: str, path: str, scope: str) -> None:
    for headers in (
        {},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"X-API-Key": "kéy".encode()},
        {"Authorization": f"Bearer {WRITE}"},
    ):
        refused = guarded.request(method, path, headers=headers)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
        assert "www-authenticate" in refused.headers
    reading = guarded.request(method, path, headers={"X-API-Key": READ})
    assert (reading.status_code == 403) == (scope == "write")
    if scope == "write":
        assert reading.json()["code"] == "forbidden"
    writing = guarded.request(method, path, headers={"X-API-Key": WRITE})
    assert writing.status_code not in (401, 403)


def test_every_route_of_the_app_is_in_this_table(guarded: TestClient) -> None:
    paths = guarded.get("/openapi.json").json()["paths"]
    routes = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    names = {
        "{category}": "pets",
        "{id}": "x",
        "{tag}": "red mug",
        "{run}": "look",
        "{node}": "root",
        "{map}": "umap",
        "{sha256}": "x",
        "{name}": "red mugs",
        "{token}": "x",
        "{group}": "1-1",
        "{encoder}": "look",
        "{file}": "report.md",
    }
    listed = set()
    for method, path in routes:
        for name, value in names.items():
            path = path.replace(name, value)
        listed.add(
            (
                method,
                path.replace("facets/{field}", "facets/class").replace(
                    "histograms/{field}", "histograms/width"
                ),
            )
        )
    opened = {("GET", path) for path in OPEN} | SESSION
    assert listed - opened == {(method, path) for method, path, _ in REQUESTS}


def test_health_and_documentation_are_open(guarded: TestClient) -> None:
    for path in (*OPEN, "/openapi.json"):
        assert guarded.get(path).status_code == 200
    for path in ("/", "/c/shop/search", "/docs", "/docs/search", "/page/icon.svg"):
        assert guarded.get(path).status_code not in (401, 403)  # 503 and 404 where the page is not built


def test_a_key_is_asked_for_before_the_body_is_looked_at(guarded: TestClient) -> None:
    answer = guarded.post("/v1/categories/pets/images", files={"files": ("a.png", picture())})
    assert answer.status_code == 401
    assert guarded.post("/v1/categories", content=b"{").status_code == 401


def test_with_keys_pages_of_other_sites_may_call_but_get_no_permission(guarded: TestClient) -> None:
    answer = guarded.get("/v1/categories", headers={"X-API-Key": READ, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert guarded.options("/v1/categories", headers={"Origin": "https://evil.example"}).status_code == 405


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "",
        "[::1",
        "192.168.1.5",
        "localhost@evil",
    ],
)
def test_without_keys_other_host_names_are_refused(client: TestClient, host: str) -> None:
    refused = client.get("/v1/categories", headers={"Host": host})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8000"]
)
def test_without_keys_this_machine_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/v1/categories", headers={"Host": host}).status_code == 200


def test_without_keys_pages_of_other_sites_change_nothing(client: TestClient) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999", "http://[bad", "file://"):
        refused = client.post("/v1/categories", json={"name": "pets"}, headers={"Origin": origin})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), origin
    assert client.get("/v1/categories").json() == {"categories": [], "others": []}
    assert client.post("/v1/categories", json={"name": "pets"}, headers={"Origin": BASE}).status_code == 201


@pytest.mark.parametrize(
    "entry", ["secret", "admin:secret", "read:", ":secret", "write:two words", "write:kéy", "WRITE:x"]
)
def test_malformed_keys_refuse_to_start_without_being_shown(tmp_path: Path, entry: str) -> None:
    settings = settings_in(tmp_path, keys=("read:good", entry))
    for start in (KeyRing.of, refuse_open_bind, create_app):
        with pytest.raises(RefusedToStart, match="refused to start: entry 2 of VITRINE_API_KEYS") as caught:
            start(settings)
        assert "secret" not in str(caught.value) and "kéy" not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "images.example.org", ""])
def test_an_open_address_without_keys_refuses_to_start(tmp_path: Path, host: str) -> None:
    with pytest.raises(RefusedToStart, match="Set VITRINE_API_KEYS"):
        create_app(settings_in(tmp_path, host=host))
    refuse_open_bind(settings_in(tmp_path, host=host, keys=("write:x",)))


def test_loopback_addresses() -> None:
    assert all(
        is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]", "LOCALHOST")
    )
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "", "localhost.evil", "10.0.0.1"))


def test_keys_come_from_the_environment_and_write_includes_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRINE_API_KEYS", "read:a:b, write:c ,read:c")
    keys = KeyRing.of(Settings(_env_file=None))  # type: ignore[call-arg]
    assert [keys.scope_of(key) for key in ("a:b", "c", "a", "")] == ["read", "write", None, None]
