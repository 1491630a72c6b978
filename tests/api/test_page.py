"""The web page as the server sends it: from a folder as `make page` builds it, and without one."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from vitrine.api import page


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "built_page"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>Vitrine</title>")
    (folder / "main-ABC.js").write_text("1")
    (folder / "icon.svg").write_text("<svg/>")
    (tmp_path / "secret").write_text("not for everyone")
    monkeypatch.setattr(page, "BUILT", folder)
    return folder


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/c/shop/search?q=a%20lamp", "/c/a/clusters/look/root-14", "/c/", "/docs", "/docs/search"),
        *("/jobs", "/jobs/5d01e8c2a7"),
    ],
)
def test_every_address_of_the_page_is_the_page(shared: TestClient, built: Path, path: str) -> None:
    answer = shared.get(path)
    assert (answer.status_code, answer.text) == (200, (built / "index.html").read_text())
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"  # it names the files of today
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"} <= {*policy}
    assert "require-trusted-types-for 'script'" in policy and "unsafe" not in " ".join(policy)
    assert "http" not in " ".join(policy)


def test_files_with_a_hash_are_kept_for_ever(shared: TestClient, built: Path) -> None:
    script = shared.get("/page/main-ABC.js")
    assert script.text == "1" and script.headers["cache-control"].endswith("immutable")
    assert "javascript" in script.headers["content-type"]
    assert shared.get("/page/icon.svg").headers["cache-control"] == "public, max-age=86400"


def test_files_are_sent_compressed_to_who_takes_that(shared: TestClient, built: Path) -> None:
    (built / "main-ABC.js.gz").write_bytes(gzip.compress(b"packed"))
    script = shared.get("/page/main-ABC.js", headers={"Accept-Encoding": "gzip, br"})
    assert (script.text, script.headers["content-encoding"]) == ("packed", "gzip")
    assert "javascript" in script.headers["content-type"] and script.headers["vary"] == "Accept-Encoding"
    plain = shared.get("/page/main-ABC.js", headers={"Accept-Encoding": "identity"})
    assert (plain.text, plain.headers["vary"]) == ("1", "Accept-Encoding")


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2fsecret", "%2e%2e/secret", ".hidden", "%2e", "a/b.js", "%00", "x" * 5_000]
)
def test_no_other_file_is_sent(shared: TestClient, built: Path, name: str) -> None:
    (built / ".hidden").write_text("hidden")
    answer = shared.get(f"/page/{name}")
    assert answer.status_code == 404 and answer.json()["code"] == "not_found"


def test_without_the_built_page_it_says_how_to_build_it(shared: TestClient, built: Path) -> None:
    (built / "index.html").unlink()
    answer = shared.get("/")
    assert answer.status_code == 503 and "make page" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert shared.get("/v1/categories").status_code == 200
