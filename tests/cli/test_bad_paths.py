"""Every command that takes a file or folder, on paths that cannot be used: one sentence, exit 1 or 2, nothing
made or lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tests.cli.conftest import Answer, Run, environment, runner

SHOP = ("-c", "shop")
READING: dict[str, tuple[str, ...]] = {
    "index add SOURCE": ("index", "add", "{}", *SHOP),
    "index add --metadata": ("index", "add", "pictures", *SHOP, "--metadata", "{}"),
    "index import FILE": ("index", "import", "{}", *SHOP),
    "images annotate --table": ("images", "annotate", *SHOP, "--table", "{}"),
    "images hashtags --from": ("images", "hashtags", *SHOP, "--from", "caption"),
    "search --image": ("search", *SHOP, "--image", "{}"),
    "search --like": ("search", *SHOP, "--like", "{}"),
    "tagger convert FILE": ("tagger", "convert", "{}", *SHOP),
    "tagger zero-shot --words": ("tagger", "zero-shot", *SHOP, "--words", "{}"),
    "metric train --from": ("metric", "train", "m", "--from", "{}"),
    "metric promote ENCODER": ("metric", "promote", "{}", *SHOP),
    "metric eval ENCODER": ("metric", "eval", "{}", *SHOP),
    "autoencoder train --from": ("autoencoder", "train", "out", "--from", "{}"),
    "encoder check REF": ("encoder", "check", "x={}"),
    "category create --encoder": ("category", "create", "new", "--encoder", "x={}"),
}
WRITING: dict[str, tuple[str, ...]] = {
    "search --to": ("search", *SHOP, "--to", "{}.png"),
    "index add --refused": ("index", "add", "pictures", *SHOP, "--refused", "{}.jsonl"),
    "export table --to": ("export", "table", *SHOP, "--to", "{}.csv"),
    "export folders --to": ("export", "folders", *SHOP, "--by", "class", "--to", "{}"),
    "cluster dendrogram --to": ("cluster", "dendrogram", *SHOP, "--to", "{}.json"),
    "cluster dendrogram --to .png": ("cluster", "dendrogram", *SHOP, "--to", "{}.png"),
    "cluster threshold --answers": ("cluster", "threshold", *SHOP, "--answers", "{}.json"),
}


def in_plain_words(answer: Answer) -> str:
    """The error's sentence, checked to be one: no Python, no request to report it."""
    assert answer.code in (1, 2, 3), (answer.code, answer.out, answer.err)
    said = answer.err + answer.out
    for word in ("Traceback", "Errno", "report it", "Error:", "NoneType", "inside Vitrine"):
        assert word not in said, said
    return said


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "file").write_text("hello")
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 2)
    return {
        "missing": str(tmp_path / "missing"),
        "a file's child": str(tmp_path / "file" / "child"),
        "text": str(tmp_path / "file"),
        "binary": str(tmp_path / "binary"),
        "too long a name": str(tmp_path / ("n" * 300)),
    }


@pytest.mark.parametrize("command", READING)
def test_reading(filled: Run, odd: dict[str, str], pictures: Path, command: str) -> None:
    if command.startswith(("metric", "autoencoder")):
        pytest.importorskip("torch")
    os.symlink(pictures, "pictures")
    for name, path in odd.items():
        if (name in ("text", "binary") and "words" in command) or command == "images hashtags --from":
            continue  # a file of words may hold any text
        said = in_plain_words(filled(*(part.format(path) for part in READING[command])))
        assert said.strip(), (command, name)
    assert sorted(os.listdir()) == ["binary", "file", "pictures"]


@pytest.mark.parametrize("command", WRITING)
def test_writing(filled: Run, odd: dict[str, str], pictures: Path, command: str) -> None:
    os.symlink(pictures, "pictures")
    for path in (odd["a file's child"], odd["too long a name"], "/no-such-top-folder/x"):
        in_plain_words(filled(*(part.format(path) for part in WRITING[command])))
    assert not Path("/no-such-top-folder").exists()
    assert sorted(os.listdir()) == ["binary", "file", "pictures"]


def commands() -> Iterator[tuple[str, ...]]:
    """Every command that reads a category, with what it has to be given."""
    from vitrine.cli.main import app

    def below(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, child in getattr(command, "commands", {}).items():
            yield from below(child, (*path, name))
        if not getattr(command, "commands", None):
            needed = [parameter for parameter in command.params if parameter.required]
            options = [
                (parameter.opts[0], "x") for parameter in needed if parameter.param_type_name == "option"
            ]
            arguments = ["x"] * sum(parameter.param_type_name == "argument" for parameter in needed)
            yield (*path, *(part for pair in options for part in pair), *arguments)

    yield from below(get_command(app), ())


STANDALONE = {
    ("demo",),
    ("serve",),
    ("doctor",),
    ("encoder", "list"),
    ("category", "list"),
    ("category", "create"),
}


@pytest.mark.parametrize(
    "command", [c for c in commands() if c[:2] not in STANDALONE and c[:1] not in STANDALONE], ids=" ".join
)
def test_no_command_makes_a_data_folder_where_the_path_is_mistyped(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    os.chdir(tmp_path)
    answer = runner(tmp_path / "mistyped")(*command)
    if command[:2] != ("metric", "list"):
        in_plain_words(answer)
    assert not (tmp_path / "mistyped").exists()


@pytest.mark.parametrize("command", [("category", "list"), ("encoder", "list"), ("doctor",)])
def test_commands_that_look_around_answer_without_a_data_folder(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    answer = runner(tmp_path / "none")(*command, "--json")
    assert answer.code == 0 and answer.json is not None
    assert not (tmp_path / "none").exists()


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    run = runner(tmp_path / "data")
    said = in_plain_words(run("search", *SHOP))
    assert "unavailable" in said and "it is a file" in said
    doctor = run("doctor", "--json")
    assert doctor.code == 1
    assert "it is a file" in next(
        check["message"] for check in doctor.json["checks"] if check["name"] == "data folder"
    )


STREAMS = {
    "a full disk": (">/dev/full", 1, "cannot be written: no space left on device"),
    "closed output": (">&-", 0, ""),
    "closed errors": ("2>&-", 0, ""),
    "full errors": ("2>/dev/full", 0, ""),
    "nothing open": ("<&- >&- 2>&-", 0, ""),
}


@pytest.mark.parametrize("streams", STREAMS)
def test_output_that_cannot_be_written(tmp_path: Path, streams: str) -> None:
    redirection, code, words = STREAMS[streams]
    env = {
        name: value
        for name, value in {**os.environ, **environment(tmp_path / "none")}.items()
        if value is not None
    }
    command = f'"$0" -c "from vitrine.cli.main import main; main()" encoder list --json {redirection}'
    done = subprocess.run(["sh", "-c", command, sys.executable], env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    if streams == "full errors":
        assert json.loads(done.stdout)
