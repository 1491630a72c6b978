"""Sessions: a key that is given once becomes a cookie."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import READ, WRITE, client_on, fill, picture, runtime_in, settings_in
from vitrine.api.auth import digest_of
from vitrine.api.session import COOKIE, LIFETIME_SECONDS, Sessions, shared_secret
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import Runtime

HOST = "http://images.example.org"
KEYS = (f"read:{READ}", f"write:{WRITE}")
NOBODY = {"needed": True, "scope": None, "csrf": None, "expires_at": None}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Runtime]:
    with runtime_in(settings_in(tmp_path, keys=KEYS, host="0.0.0.0")) as runtime:
        yield runtime


@pytest.fixture
def client(guarded: Runtime) -> Iterator[TestClient]:
    with client_on(guarded, host=HOST) as client:
        yield client


def sign_in(client: TestClient, key: str) -> dict[str, str]:
    """Sign in; returns the header that changes need."""
    answer = client.post("/v1/session", json={"key": key})
    assert answer.status_code == 200, answer.text
    return {"X-CSRF-Token": answer.json()["csrf"]}


def cookie_of(guarded: Runtime, key: str, begun: float) -> str:
    """The cookie that this server would have given for a key at a time."""
    digest = digest_of(key)
    return Sessions([digest], lambda: shared_secret(guarded.objects)).begin(digest, begun).cookie


def test_pictures_load_by_the_cookie_alone(guarded: Runtime, client: TestClient) -> None:
    client.headers["X-API-Key"] = WRITE
    id = fill(client)["red"]
    del client.headers["X-API-Key"]
    file = f"/v1/categories/colours/images/{id}/file"
    assert client.get(file).status_code == 401
    sign_in(client, READ)
    assert client.get(file).content == client.get(file).content == picture()
    assert client.head(file).status_code == 200


def test_the_session_says_who_is_signed_in(client: TestClient) -> None:
    assert client.get("/v1/session").json() == NOBODY
    for key, scope in ((READ, "read"), (WRITE, "write")):
        answer = client.post("/v1/session", json={"key": key})
        assert answer.json() == client.get("/v1/session").json()
        assert answer.json()["scope"] == scope and answer.json()["needed"] is True
        assert answer.headers["cache-control"] == "no-store"


def test_changes_repeat_the_token(client: TestClient) -> None:
    token = sign_in(client, WRITE)
    for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "wrong"}, {"X-CSRF-Token": "é".encode()}):
        refused = client.post("/v1/categories", json={"name": "pets"}, headers=headers)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert "X-CSRF-Token" in refused.json()["detail"]
    assert client.post("/v1/categories", json={"name": "pets"}, headers=token).status_code == 201
    other = client.post("/v1/session", json={"key": WRITE}).json()["csrf"]
    assert other != token["X-CSRF-Token"]  # of another session
    assert client.delete("/v1/categories/pets?confirm=pets", headers=token).status_code == 403


def test_a_search_by_cookie_repeats_the_token_too(client: TestClient) -> None:
    client.headers["X-API-Key"] = WRITE
    fill(client)
    del client.headers["X-API-Key"]
    token = sign_in(client, READ)
    path = "/v1/categories/colours/search"
    assert client.post(path, json={"text": "red"}).status_code == 403
    assert client.post(path, json={"text": "red"}, headers=token).json()["hits"]


def test_a_key_that_may_read_changes_nothing_by_its_cookie(client: TestClient) -> None:
    token = sign_in(client, READ)
    assert client.get("/v1/categories").status_code == 200
    refused = client.post("/v1/categories", json={"name": "pets"}, headers=token)
    assert (refused.status_code, refused.json()["details"]) == (403, {"scope": "read"})


def test_a_key_in_the_header_counts_before_the_cookie(client: TestClient) -> None:
    sign_in(client, READ)
    made = client.post("/v1/categories", json={"name": "pets"}, headers={"X-API-Key": WRITE})
    assert made.status_code == 201  # and needs no token
    assert client.get("/v1/categories", headers={"X-API-Key": "wrong"}).status_code == 401


def test_signing_out_takes_the_cookie_away(client: TestClient) -> None:
    token = sign_in(client, WRITE)
    assert client.delete("/v1/session").status_code == 403
    assert client.get("/v1/session").json()["scope"] == "write"
    assert client.delete("/v1/session", headers=token).status_code == 204
    assert client.get("/v1/session").json() == NOBODY and COOKIE not in client.cookies
    assert client.get("/v1/categories").status_code == 401
    assert client.delete("/v1/session").status_code == 204  # nobody is signed in


@pytest.mark.parametrize(("host", "secure"), [(HOST, False), (HOST.replace("http", "https"), True)])
def test_the_flags_of_the_cookie(guarded: Runtime, host: str, secure: bool) -> None:
    with client_on(guarded, host=host) as client:
        begun = client.post("/v1/session", json={"key": WRITE}).headers["set-cookie"].lower()
        token = {"X-CSRF-Token": client.get("/v1/session").json()["csrf"]}
        ended = client.delete("/v1/session", headers=token).headers["set-cookie"].lower()
    for cookie in (begun, ended):
        flags = {part.strip() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/"} <= flags
        assert ("secure" in flags) == secure and "domain" not in cookie
    assert f"max-age={LIFETIME_SECONDS};" in begun and "max-age=0;" in ended


def test_a_session_ends_after_twelve_hours(guarded: Runtime, client: TestClient) -> None:
    for begun, status in ((-LIFETIME_SECONDS + 60, 200), (-LIFETIME_SECONDS - 1, 401)):
        client.cookies.set(COOKIE, cookie_of(guarded, READ, time.time() + begun))
        assert client.get("/v1/categories").status_code == status
    assert client.get("/v1/session").json() == NOBODY


def test_a_session_outlasts_a_restart_and_ends_with_its_key(guarded: Runtime, tmp_path: Path) -> None:
    with client_on(guarded, host=HOST) as client:
        sign_in(client, WRITE)
        cookie = client.cookies[COOKIE]
    for keys, status in ((KEYS, 200), (("write:other", *KEYS[:1]), 401), ((f"read:{WRITE}",), 200)):
        with (
            runtime_in(settings_in(tmp_path, keys=keys, host="0.0.0.0")) as runtime,
            client_on(runtime, host=HOST) as client,
        ):
            client.cookies.set(COOKIE, cookie)
            assert client.get("/v1/categories").status_code == status
            if status == 200:  # the scope is what the key's is now
                assert client.get("/v1/session").json()["scope"] == keys[-1].partition(":")[0]


def test_servers_of_one_store_share_the_secret_and_others_do_not(tmp_path: Path) -> None:
    one, same = (LocalObjectStore(tmp_path / "one", min_free_mb=0) for _ in range(2))
    assert shared_secret(one) == shared_secret(same) != shared_secret(LocalObjectStore(tmp_path / "two"))
    one.put("_sessions/secret", b"")  # half of it would make cookies that can be guessed
    assert len(shared_secret(one)) == 32


def test_cookies_that_were_changed_are_nobodys(guarded: Runtime, client: TestClient) -> None:
    good = cookie_of(guarded, WRITE, time.time())
    content, _, signature = good.partition(".")
    later = cookie_of(guarded, WRITE, time.time() + 1_000).partition(".")[0]
    foreign = Sessions([digest_of(WRITE)], lambda: b"x" * 32).begin(digest_of(WRITE), time.time()).cookie
    unknown = cookie_of(guarded, "not-a-key", time.time())
    for cookie in (
        f"{later}.{signature}",
        f"{content}.{signature[:-2]}",
        f"{content}.",
        content,
        f".{signature}",
        "....",
        "!" * 5_000,
        foreign,
        unknown,
    ):
        answer = client.get("/v1/categories", headers={"Cookie": f"{COOKIE}={cookie}"})
        assert answer.status_code == 401, cookie
    assert client.get("/v1/categories", headers={"Cookie": f"{COOKIE}={good}"}).status_code == 200


def test_wrong_keys_are_refused_and_then_slowed_down(client: TestClient) -> None:
    client.get("/v1/categories", headers={"X-API-Key": READ})
    for number in range(20):
        refused = client.post("/v1/session", json={"key": f"guess-{number}"})
        assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
    for guess in ("guess-0", WRITE):  # the answer does not say which of them is right
        for refused in (
            client.post("/v1/session", json={"key": guess}),
            client.get("/v1/categories", headers={"X-API-Key": guess}),
        ):
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
            assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert client.get("/v1/categories", headers={"X-API-Key": READ}).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"key": ""}, {"key": 5}, {"key": "x", "more": 1}, [], {"key": "x" * 1_001}]
)
def test_malformed_bodies_are_refused(client: TestClient, body: object) -> None:
    assert client.post("/v1/session", json=body).status_code == 422


def test_a_large_body_of_a_stranger_is_not_read(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000

    json = {"Content-Type": "application/json"}
    assert client.post("/v1/session", json={"key": "x" * 10_000}).status_code == 413
    assert client.post("/v1/session", content=endless(), headers=json).status_code == 413


def test_without_keys_everybody_may_do_everything(tmp_path: Path) -> None:
    everybody = {"needed": False, "scope": "write", "csrf": None, "expires_at": None}
    with runtime_in(settings_in(tmp_path)) as runtime, client_on(runtime) as client:
        assert client.get("/v1/session").json() == everybody
        answer = client.post("/v1/session", json={"key": "anything"})
        assert (answer.json(), "set-cookie" in answer.headers) == (everybody, False)
        assert client.delete("/v1/session").status_code == 204
        assert client.post("/v1/categories", json={"name": "pets"}).status_code == 201


def test_the_secret_is_no_category(client: TestClient) -> None:
    sign_in(client, READ)
    assert client.get("/v1/categories").json() == {"categories": [], "others": []}
