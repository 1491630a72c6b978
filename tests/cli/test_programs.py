"""Commands that work on one data folder at the same moment, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image

RUN = "import sys; sys.argv[0] = 'vitrine'; from vitrine.cli.main import main; main()"


def start(data: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, "--data", str(data), *map(str, arguments)],
        env={**os.environ, "VITRINE_ENCODER": "colour", "VITRINE_MIN_FREE_MB": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, Any]:
    """Return the exit code and the JSON of a command."""
    out, err = process.communicate(timeout=240)
    assert "Traceback" not in err, err
    return process.returncode, json.loads(out) if out.startswith("{") else out


def pictures(folder: Path, numbers: range) -> Path:
    folder.mkdir()
    for number in numbers:
        Image.new("RGB", (24, 24), (number * 5 % 256, number * 11 % 256, number)).save(
            folder / f"{number}.png"
        )
    return folder


def test_two_commands_index_into_one_category(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert ended(start(data, "category", "create", "shop"))[0] == 0
    folders = [pictures(tmp_path / "a", range(0, 60)), pictures(tmp_path / "b", range(30, 90))]
    both = [start(data, "index", "add", folder, "-c", "shop", "--json") for folder in folders]
    assert [ended(process)[0] for process in both] == [0, 0]
    code, listed = ended(start(data, "images", "list", "-c", "shop", "--limit", 200, "--json"))
    assert code == 0
    assert len({image["id"] for image in listed["hits"]}) == listed["count"] == 90


def test_two_commands_make_one_category(tmp_path: Path) -> None:
    both = [start(tmp_path / "data", "category", "create", "shop", "--json") for _ in range(2)]
    ends = sorted((ended(process) for process in both), key=lambda end: end[0])
    assert [code for code, _ in ends] == [0, 1]
    assert ends[1][1]["error"]["code"] == "already_exists"
    code, listed = ended(start(tmp_path / "data", "category", "list", "--json"))
    assert (code, [category["name"] for category in listed["categories"]]) == (0, ["shop"])


def test_category_that_is_deleted_while_it_is_filled(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert ended(start(data, "category", "create", "shop"))[0] == 0
    adding = start(data, "index", "add", pictures(tmp_path / "a", range(250)), "-c", "shop", "--json")
    deleting = start(data, "category", "delete", "shop", "--yes", "--json")
    assert ended(deleting)[0] == 0
    code, answer = ended(adding)
    if code != 0:  # else it had ended before, or has not begun before
        assert answer["error"]["code"] == "not_found"
    code, listed = ended(start(data, "category", "list", "--json"))
    assert (code, listed["categories"]) == (0, [])
    assert ended(start(data, "category", "create", "shop"))[0] == 0
    assert ended(start(data, "images", "list", "-c", "shop", "--json"))[1]["hits"] == []


def test_two_commands_edit_one_image(tmp_path: Path) -> None:
    data = tmp_path / "data"
    folder = pictures(tmp_path / "a", range(1))
    assert ended(start(data, "index", "add", folder, "-c", "shop", "--create"))[0] == 0
    id = ended(start(data, "images", "list", "-c", "shop", "--json"))[1]["hits"][0]["id"]
    edits = [start(data, "images", "tag", id, "-c", "shop", "--add", f"t{number}") for number in range(4)]
    assert [ended(edit)[0] for edit in edits] == [0] * 4
    image = ended(start(data, "images", "list", "-c", "shop", "--json"))[1]["hits"][0]
    assert set(image["payload"]["tags"]) == {f"t{number}" for number in range(4)}
