"""What commands import: on the embedded engine and the local folder no client of a server, no web framework
and nothing of what trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import environment, fill_shop, runner

SERVERS = ("qdrant_client", "grpc", "minio", "urllib3")
HUB = ("huggingface_hub", "httpx", "requests")
TRAINING = ("torch", "transformers", "scipy", "sklearn")
HEAVY = (*SERVERS, *HUB, *TRAINING, "pyarrow", "fastapi", "uvicorn", "prometheus_client")
NO_ARRAYS = ("numpy", "PIL", "openvino", "tokenizers")
CONVERTER = ("openvino.tools.ovc", "absl")
FRAMES = ("pydantic", "rich", "dotenv", "asyncio", "ssl", "importlib.metadata")
"""What takes a tenth of a second in all, and plain questions do without."""
CODE = """
import atexit, json, sys
heavy = sys.argv.pop(1).split(",")
atexit.register(lambda: print("LOADED", json.dumps([name for name in heavy if name in sys.modules])))
"""
COMMAND = "sys.argv[0] = 'vitrine'\nfrom vitrine.cli.main import main\nmain()"
LIBRARY = "import vitrine, os\nwith vitrine.open(os.environ['VITRINE_DATA']) as v:\n    print(len(v['shop']))"
SEARCH = """
import vitrine, os
with vitrine.open(os.environ['VITRINE_DATA']) as v:
    print(len(v['words'].search(text='a red fish')))
"""
ENGINE = "import vitrine.services.vector_store.edge.process\nprint()"


def loaded(code: str, data: Path, arguments: Sequence[str], heavy: Sequence[str]) -> list[str]:
    """Which of the modules a fresh process has loaded when the command is done."""
    given = {**os.environ, **environment(data), "VITRINE_RUNTIME": "openvino"}
    env = {name: value for name, value in given.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-c", CODE + code, ",".join(heavy), *arguments],
        env=env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("LOADED")
    found: list[str] = json.loads(last.removeprefix("LOADED"))
    return found


@pytest.fixture(scope="module")
def shop_data(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A data folder with the category ``shop`` that no process has open."""
    return fill_shop(tmp_path_factory.mktemp("closed"), pictures)


@pytest.fixture(scope="module")
def image(shop_data: Path) -> str:
    code = "import sys; from vitrine.cli.main import main; main()"
    env = {
        name: value for name, value in {**os.environ, **environment(shop_data)}.items() if value is not None
    }
    listed = subprocess.run(
        [sys.executable, "-c", code, "images", "list", "-c", "shop", "--json"],
        env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: str = json.loads(listed.stdout)["hits"][0]["id"]
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["category", "--help"],
        ["category", "list"],
        ["category", "show", "shop"],
        ["images", "list", "-c", "shop", "--tag", "red"],
        ["images", "facets", "tags", "-c", "shop"],
        ["images", "show", "IMAGE", "-c", "shop"],
        ["search", "-c", "shop", "--where", "width.gte=1"],
        ["search", "-c", "shop", "--id", "IMAGE"],
    ],
    ids=" ".join,
)
def test_commands_that_read_no_picture_import_no_arrays(
    shop_data: Path, image: str, arguments: list[str]
) -> None:
    typed = [image if word == "IMAGE" else word for word in arguments]
    assert loaded(COMMAND, shop_data, typed, (*HEAVY, *NO_ARRAYS)) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["category", "list"],
        ["category", "show", "shop"],
    ],
    ids=" ".join,
)
def test_plain_questions_import_no_frames(shop_data: Path, arguments: list[str]) -> None:
    assert loaded(COMMAND, shop_data, arguments, FRAMES) == []


@pytest.mark.parametrize("arguments", [["--help"], ["images", "list", "--help"]], ids=" ".join)
def test_help_imports_what_it_shows(tmp_path: Path, arguments: list[str]) -> None:
    unused = [name for name in (*FRAMES, "rich.markdown", "markdown_it", "pygments") if name != "rich"]
    assert loaded(COMMAND, tmp_path, arguments, unused) == []


def test_the_engine_starts_without_arrays(tmp_path: Path) -> None:
    assert loaded(ENGINE, tmp_path, [], (*HEAVY, *NO_ARRAYS, *FRAMES, "typer")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor"],
        ["export", "table", "-c", "shop", "--to", "OUT"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_commands_import_nothing_that_they_do_not_need(
    shop_data: Path, tmp_path: Path, image: str, arguments: list[str]
) -> None:
    given = {"IMAGE": image, "OUT": str(tmp_path / "table.json")}
    typed = [given.get(word, word) for word in arguments]
    # doctor looks for weights in the cache of the hub's client
    heavy = [name for name in HEAVY if name not in HUB or arguments != ["doctor"]]
    assert loaded(COMMAND, shop_data, typed, heavy) == []


def test_the_library_imports_nothing_that_it_does_not_need(shop_data: Path) -> None:
    assert loaded(LIBRARY, shop_data, [], HEAVY) == []


@pytest.fixture(scope="module")
def data_for_words(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A data folder with the category ``words``, whose encoder reads texts."""
    data = tmp_path_factory.mktemp("words")
    picture = next(pictures.rglob("*.png"))
    added = runner(data)("index", "add", picture.parent, "-c", "words", "--create", "-e", "demo", "--json")
    assert added.json["added"], added.err
    return data


@pytest.mark.parametrize(
    "code, arguments",
    [(COMMAND, ["search", "-c", "words", "--text", "a red fish"]), (SEARCH, [])],
    ids=["command", "library"],
)
def test_a_search_by_words_imports_no_more_than_its_encoder(
    data_for_words: Path, code: str, arguments: list[str]
) -> None:
    assert loaded(code, data_for_words, arguments, (*HEAVY, *CONVERTER)) == []


def test_the_check_sees_what_is_imported(tmp_path: Path) -> None:
    assert loaded("import orjson, sqlite3", tmp_path, [], ("sqlite3", "torch")) == ["sqlite3"]
