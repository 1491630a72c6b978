from __future__ import annotations

from pathlib import Path

import pytest

from vitrine.services.errors import BadRequest
from vitrine.services.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    older = ("QDRANT_HOST", "QDRANT_PORT", "MINIO_HOST", "MINIO_BUCKET_NAME", "MINIO_BUCKET")
    for name in (
        "VITRINE_DATA",
        "VITRINE_MODELS",
        "VITRINE_PORT",
        "QDRANT_URL",
        "MINIO_ENDPOINT",
        "VITRINE_API_KEYS",
        *older,
    ):
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


def test_variables_of_other_programs_are_not_read(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "HOST", "DATA", "port"):
        monkeypatch.setenv(name, "9")
    (elsewhere / ".env").write_text("THREADS=9\nmodels=9\n")
    settings = Settings()
    assert (settings.port, settings.host, settings.threads) == (8000, "127.0.0.1", 0)
    assert (settings.data, settings.models) == (Path("vitrine-data"), Path("models"))


def test_our_variables_may_be_written_in_any_case(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("vitrine_port", "8001")
    (elsewhere / ".env").write_text("Vitrine_Host=0.0.0.0\n")
    assert (Settings().port, Settings().host) == (8001, "0.0.0.0")


def test_an_env_file_has_quotes_comments_and_references(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "shelf")
    (elsewhere / ".env").write_text(
        "# ours\nexport VITRINE_DATA='my data' # here\nVITRINE_MODELS=${PLACE}/models\nVITRINE_PORT\n"
        'QDRANT_API_KEY="a#b"\n'
    )
    settings = Settings()
    assert (settings.data, settings.models) == (Path("my data"), Path("shelf/models"))
    assert settings.port == 8000
    assert settings.qdrant_api_key is not None and settings.qdrant_api_key.get_secret_value() == "a#b"
    assert Settings(_env_file=None).data == Path("vitrine-data")


def test_what_is_wrong_is_named_by_its_variable(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_PORT", "many")
    with pytest.raises(BadRequest, match="The setting VITRINE_PORT must be a whole number") as caught:
        read_settings({})
    assert caught.value.details["setting"] == "VITRINE_PORT"
    assert read_settings({"port": 1, "host": None}).port == 1
    monkeypatch.setenv("QDRANT_PORT", "0")
    with pytest.raises(BadRequest, match="The setting QDRANT_PORT must be at least 1"):
        read_settings({"port": 1})


def test_changed_settings_differ_in_what_was_given_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_API_KEYS", "read:abc")
    settings = Settings(port=8003, minio_endpoint="minio:9000")
    monkeypatch.setenv("VITRINE_API_KEYS", "read:def")
    monkeypatch.setenv("MINIO_ENDPOINT", "other")
    changed = settings.changed(data=Path("there"), minio_endpoint=None)
    assert (changed.data, changed.minio_endpoint, changed.port) == (Path("there"), None, 8003)
    assert changed.api_keys == settings.api_keys
    assert changed.changed(data=settings.data, minio_endpoint="minio:9000") == settings
