from __future__ import annotations

from pathlib import Path

import pytest

from services.settings import Settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("VITRINE_DATA", "VITRINE_PORT", "QDRANT_URL", "MINIO_ENDPOINT", "VITRINE_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_flag_beats_environment_beats_env_file_beats_default(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
