from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, environment
from vitrine.cli.command_list import COMMANDS as COMMAND_LIST
from vitrine.cli.command_list import load
from vitrine.services.errors import StoreLocked

HEAVY = ["torch", "transformers", "qdrant_client", "numpy", "fastapi", "PIL"]
COMMANDS = [
    [],
    ["category"],
    ["category", "create"],
    ["category", "list"],
    ["category", "show"],
    ["category", "delete"],
    ["category", "add-encoder"],
    ["index"],
    ["index", "add"],
    ["index", "import"],
    ["search"],
    ["images"],
    ["images", "list"],
    ["images", "show"],
    ["images", "delete"],
    ["images", "tag"],
    ["images", "facets"],
    ["images", "histogram"],
    ["encoder"],
    ["encoder", "list"],
    ["encoder", "check"],
    ["serve"],
    ["doctor"],
    ["demo"],
]


def child(code: str, data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    wanted = {**os.environ, **environment(data)}
    env = {name: value for name, value in wanted.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(vitrine: Run, command: list[str]) -> None:
    answer = vitrine(*command, "--help")
    assert answer.code == 0
    assert "Usage: vitrine" in answer.out.replace("root", "vitrine")


@pytest.mark.parametrize("name", COMMAND_LIST)
def test_the_list_shows_each_command_as_it_describes_itself(name: str) -> None:
    told = load(name).help.split("\n\n")[0]
    assert COMMAND_LIST[name].summary == told


def test_the_exit_codes_are_documented(vitrine: Run) -> None:
    text = " ".join(vitrine("--help").out.split())
    assert all(part in text for part in ("0 done", "1 failed", "2 wrong usage", "3 done", "130 interrupted"))


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['vitrine', *sys.argv[1:]]\nfrom vitrine.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    for arguments in (["--help"], ["search", "--help"], ["index", "add", "--help"]):
        done = child(code, tmp_path, *arguments)
        assert done.stdout.splitlines()[-1].split() == ["LOADED"], done.stdout + done.stderr


def test_the_version_is_printed(vitrine: Run) -> None:
    assert vitrine("--version").out.startswith("vitrine ")


def test_an_error_is_one_sentence_with_its_code_on_stderr(vitrine: Run) -> None:
    answer = vitrine("category", "show", "nothing")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error (not_found): There is no category 'nothing'")
    assert "Traceback" not in answer.err


def test_an_error_is_json_on_stdout_where_json_is_asked_for(vitrine: Run) -> None:
    answer = vitrine("category", "show", "nothing", "--json")
    assert answer.code == 1
    assert answer.json["error"]["code"] == "not_found"
    assert answer.json["error"].keys() == {"code", "message", "details"}


def test_a_bug_is_named_without_a_traceback_unless_debugging(
    vitrine: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("vitrine.services.category.catalog.Catalog.list", broken)
    answer = vitrine("category", "list", "--json")
    assert answer.code == 1
    assert answer.json["error"]["code"] == "internal"
    assert "a bug" in answer.json["error"]["message"] and answer.json["error"]["details"] == {
        "type": "RuntimeError"
    }
    with pytest.raises(RuntimeError, match="a bug"):
        vitrine("category", "list", env={"VITRINE_DEBUG": "1"})


def test_ctrl_c_leaves_with_130(vitrine: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vitrine.services.category.catalog.Catalog.list", interrupted)
    assert vitrine("category", "list").code == 130
    as_json = vitrine("category", "list", "--json")
    assert as_json.code == 130 and as_json.json["error"]["code"] == "interrupted"


def test_a_wrong_setting_is_named(vitrine: Run) -> None:
    answer = vitrine("category", "list", env={"VITRINE_PORT": "many"})
    assert answer.code == 1
    assert "bad_request" in answer.err and "VITRINE_PORT" in answer.err


def test_the_data_flag_goes_before_the_environment(vitrine: Run, tmp_path: Path) -> None:
    assert vitrine("--data", tmp_path / "other", "category", "create", "here").code == 0
    assert (
        vitrine("--data", tmp_path / "other", "category", "list", "--json").json["categories"][0]["name"]
        == "here"
    )
    assert vitrine("category", "list", "--json").json == {"categories": [], "others": []}


def test_a_second_process_is_told_who_holds_the_data(vitrine: Run, tmp_path: Path) -> None:
    from vitrine.services.vector_store.edge.link.lock import DataLock

    lock = DataLock(tmp_path / "data" / "vectors", {"command": "vitrine serve"})
    try:
        lock.describe(url="http://127.0.0.1:8000")
        done = child(
            "from vitrine.cli.main import main; main()", tmp_path / "data", "category", "create", "a"
        )
        assert done.returncode == 1
        assert (
            "store_locked" in done.stderr
            and "vitrine serve" in done.stderr
            and str(os.getpid()) in done.stderr
        )
        assert "http://127.0.0.1:8000/docs" in done.stderr and "curl" not in done.stderr
        adding = child(
            "from vitrine.cli.main import main; main()",
            tmp_path / "data",
            "index",
            "add",
            str(tmp_path),
            "-c",
            "shop",
            "--create",
        )
        assert "curl -F file=@picture.jpg http://127.0.0.1:8000/v1/categories/" in adding.stderr
        told = json.loads(
            child(
                "from vitrine.cli.main import main; main()",
                tmp_path / "data",
                "category",
                "create",
                "a",
                "--json",
            ).stdout
        )
        assert told["error"]["code"] == StoreLocked.code
        assert told["error"]["details"]["pid"] == os.getpid()
    finally:
        lock.release()


def test_a_closed_pipe_is_no_error(filled_data: Path) -> None:
    code = "import subprocess, sys; from vitrine.cli.main import main; main()"
    env = {
        name: value for name, value in {**os.environ, **environment(filled_data)}.items() if value is not None
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code, "images", "list", "-c", "shop", "--json"],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.wait(timeout=120)
    process.stderr.close()
    assert "Traceback" not in errors and "BrokenPipe" not in errors


def test_brackets_in_help_texts_are_text_and_not_markup(vitrine: Run) -> None:
    told = vitrine("metric", "train", "--help", env={"COLUMNS": "200"}).out
    assert "[default: DATA/encoders/NAME/VERSION]" in told and "name=model[@revision]" in told
    assert "[default: vitrine-data]" in vitrine("--help", env={"COLUMNS": "200"}).out
