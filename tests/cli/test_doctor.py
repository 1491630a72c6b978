from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Answer, Run, runner
from vitrine.services import doctor as checks
from vitrine.services.settings import VARIABLES
from vitrine.services.vector_store.edge.link.lock import DataLock


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``vitrine --data data doctor`` in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    run = runner(tmp_path / "data")

    def examine(*arguments: object, env: dict[str, str] | None = None) -> Answer:
        return run("doctor", *arguments, env=env)

    return examine


def states(answer: Answer) -> dict[str, str]:
    return {check["name"]: check["state"] for check in answer.json["checks"]}


def settings(answer: Answer) -> dict[str, Any]:
    return {row["variable"]: row for row in answer.json["settings"]}


def test_a_healthy_machine_is_exit_0(doctor: Run) -> None:
    answer = doctor("--json")
    assert answer.code == 0
    assert answer.json.keys() == {"ok", "checks", "settings", "models", "versions"}
    assert answer.json["ok"] is True
    expected = dict.fromkeys(
        ("disk space", "data folder", "vectors", "objects", "default encoder", "precision"), "ok"
    )
    assert states(answer) == expected
    assert settings(answer).keys() == set(VARIABLES.values())


def test_settings_that_need_torch_fail_where_it_is_not_installed(
    doctor: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "has_torch", lambda: False)
    assert "runtime" not in states(doctor("--json"))
    answer = doctor("--json", env={"VITRINE_RUNTIME": "torch"})
    assert (answer.code, states(answer)["runtime"]) == (1, "failed")


def test_every_setting_says_where_it_comes_from_and_secrets_are_masked(doctor: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VITRINE_PORT=9000\nVITRINE_THREADS=2\nQDRANT_API_KEY=hush-hush\n")
    env = {
        "VITRINE_THREADS": "3",
        "MINIO_SECRET_KEY": "hush-hush",
        "VITRINE_API_KEYS": "read:hush-hush,write:hush-hush",
    }
    answer = doctor("--json", env=env)
    rows = settings(answer)
    assert (rows["VITRINE_PORT"]["value"], rows["VITRINE_PORT"]["source"]) == ("9000", ".env")
    assert (rows["VITRINE_THREADS"]["value"], rows["VITRINE_THREADS"]["source"]) == ("3", "environment")
    assert rows["VITRINE_HOST"]["source"] == "default"
    assert rows["VITRINE_API_KEYS"]["value"] == "2 keys"
    assert "hush" not in answer.out + answer.err + doctor(env=env).out


def test_a_value_under_an_older_name_says_which(doctor: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MINIO_HOST=127.0.0.1:1\nMINIO_BUCKET=ours\n")
    rows = settings(
        doctor("--json", env={"QDRANT_HOST": "127.0.0.1", "QDRANT_PORT": "1", "MINIO_BUCKET_NAME": "theirs"})
    )
    told = {
        name: (rows[name]["value"], rows[name]["source"])
        for name in ("QDRANT_URL", "MINIO_ENDPOINT", "MINIO_BUCKET")
    }
    assert told == {
        "QDRANT_URL": ("http://127.0.0.1:1", "environment (QDRANT_HOST)"),
        "MINIO_ENDPOINT": ("127.0.0.1:1", ".env (MINIO_HOST)"),
        "MINIO_BUCKET": ("ours", ".env"),
    }


def test_the_data_flag_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = settings(runner(tmp_path / "data")("--data", tmp_path / "other", "doctor", "--json"))
    assert (rows["VITRINE_DATA"]["value"], rows["VITRINE_DATA"]["source"]) == (
        str(tmp_path / "other"),
        "flag",
    )


@pytest.mark.parametrize(
    ("env", "check", "state"),
    [
        ({"VITRINE_MIN_FREE_MB": "999999999"}, "disk space", "failed"),
        ({"VITRINE_ENCODER": "No Name=x"}, "default encoder", "failed"),
        (
            {"VITRINE_ENCODER": "clip", "VITRINE_MODELS": "none", "HF_HUB_CACHE": "none"},
            "default encoder",
            "warning",
        ),
        ({"MINIO_ENDPOINT": "127.0.0.1:1"}, "objects", "failed"),
    ],
)
def test_what_is_broken_is_exit_1_and_what_is_missing_a_warning(
    doctor: Run, env: dict[str, str], check: str, state: str
) -> None:
    answer = doctor("--json", env=env)
    assert states(answer)[check] == state
    assert answer.code == (1 if state == "failed" else 0)
    assert answer.json["ok"] is (state != "failed")


def test_whoever_holds_the_data_is_named(doctor: Run, tmp_path: Path) -> None:
    lock = DataLock(tmp_path / "data" / "vectors", {"command": "vitrine serve"})
    try:
        answer = doctor("--json")
        assert answer.code == 0
        assert states(answer)["vectors"] == "warning"
        assert any("vitrine serve" in check["message"] for check in answer.json["checks"])
    finally:
        lock.release()


def test_people_get_sections(doctor: Run) -> None:
    text = doctor().out
    assert all(heading in text for heading in ("Settings", "Encoders on this machine", "Versions", "Checks"))
    assert "ok       vectors: Qdrant embedded in" in text
