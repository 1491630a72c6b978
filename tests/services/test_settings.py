from __future__ import annotations

from pathlib import Path

import pytest

from vitrine.services.settings import Settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    older = ("QDRANT_HOST", "QDRANT_PORT", "MINIO_HOST", "MINIO_BUCKET_NAME", "MINIO_BUCKET")
    for name in ("VITRINE_DATA", "VITRINE_PORT", "QDRANT_URL", "MINIO_ENDPOINT", "VITRINE_API_KEYS", *older):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_flag_beats_environment_beats_env_file_beats_default(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings().port == 8000
    (elsewhere / ".env").write_text("VITRINE_PORT=8001\nQDRANT_URL=\n")
    assert Settings().port == 8001
    monkeypatch.setenv("VITRINE_PORT", "8002")
    assert Settings().port == 8002
    assert Settings(port=8003).port == 8003


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_URL", "")
    assert Settings().qdrant_url is None


def test_keys_are_split_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_API_KEYS", "read:abc, write:def,")
    settings = Settings()
    assert [key.get_secret_value() for key in settings.api_keys] == ["read:abc", "write:def"]
    assert "abc" not in repr(settings)


def test_names_of_older_systems_are_read_and_ours_win(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QDRANT_HOST", "qdrant-cloud")
    assert Settings().qdrant_url == "http://qdrant-cloud:6333"
    for name, value in {
        "QDRANT_PORT": "7333",
        "MINIO_HOST": "minio:9000",
        "MINIO_BUCKET_NAME": "photos",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.qdrant_url, settings.minio_endpoint) == ("http://qdrant-cloud:7333", "minio:9000")
    assert settings.minio_bucket == "photos"
    (elsewhere / ".env").write_text("QDRANT_URL=http://ours:6333\nMINIO_BUCKET=ours\n")
    assert (Settings().qdrant_url, Settings().minio_bucket) == (
        "http://ours:6333",
        "ours",
    )  # also over the environment
    assert Settings(qdrant_url="http://flag:1").qdrant_url == "http://flag:1"
    (elsewhere / ".env").unlink()
    monkeypatch.setenv("QDRANT_HOST", "https://qdrant:443")
    assert Settings().qdrant_url == "https://qdrant:443"
    monkeypatch.setenv("QDRANT_HOST", "")
    assert Settings().qdrant_url is None  # a port alone names no server
