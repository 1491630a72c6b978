"""A data folder with a few coloured pictures, and the command line on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.settings import Settings

COLOURS = {"red": (220, 30, 30), "blue": (40, 80, 210), "green": (40, 160, 60)}
SIZES = (24, 32, 40, 48)


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Answer]


def environment(data: Path) -> dict[str, str | None]:
    """The environment of a command on ``data``; None removes a variable."""
    settings: dict[str, str | None] = {
        "VITRINE_DATA": str(data),
        "VITRINE_ENCODER": "colour",
        "VITRINE_OFFLINE": "1",
    }
    return settings | dict.fromkeys(
        ("QDRANT_URL", "MINIO_ENDPOINT", "VITRINE_DEBUG", "VITRINE_API_KEYS"), None
    )


def runner(data: Path) -> Run:
    """A function that runs the command line on ``data`` with its own stdout and stderr."""
    from vitrine.cli.main import app

    def run(*arguments: object, input: str | None = None, env: Mapping[str, str] | None = None) -> Answer:
        result = CliRunner().invoke(
            app, [str(a) for a in arguments], input=input, env={**environment(data), **(env or {})}
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


def draw(folder: Path) -> Path:
    """Pictures of three colours in four sizes, each with a bar of its own:
    ``<folder>/<colour>/<size>.png``."""
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number, size in enumerate(SIZES, 1):
            picture = Image.new("RGB", (size, 32), colour)
            picture.paste((250, 250, 250), (0, 0, size, 2 * number))
            picture.save(folder / name / f"{size}.png")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("pictures") / "shop")


@pytest.fixture(scope="session")
def filled_data(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A data folder with the category ``shop``; tests that read share it, and this process has it open."""
    return fill_shop(tmp_path_factory.mktemp("filled"), pictures)


def fill_shop(data: Path, pictures: Path) -> Path:
    """Index the pictures into the category ``shop`` of a data folder; returns the folder."""
    manifest = data / "manifest.csv"
    rows = [
        f"{colour}/{size}.png,{colour},small|{colour},{size / 50},{0.1 * number:.1f},{2000 + number}"
        for colour in COLOURS
        for number, size in enumerate(SIZES)
    ]
    manifest.write_text("\n".join(["path,class,tags,quality,scores.striped,year", *rows]))
    added = runner(data)("index", "add", manifest, "-c", "shop", "--create", "--root", pictures, "--json")
    assert added.json["added"] == len(rows), added.err
    return data


class Kept:
    """Runtimes that stay open between commands: opening the engine's process for each would take most of a
    test's time."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._open = open_runtime
        self._runtimes: dict[Path, Runtime] = {}

    @contextmanager
    def open_runtime(
        self, settings: Settings, *, command: str = "", make_data: bool = True, start: bool = True
    ) -> Iterator[Runtime]:
        if settings.data not in self._runtimes:
            self._runtimes[settings.data] = self._stack.enter_context(self._open(settings, command=command))
        yield self._runtimes[settings.data]

    def clear(self, data: Path) -> None:
        """Delete all categories there."""
        if data in self._runtimes:
            catalog = self._runtimes[data].catalog
            for category in catalog.list():
                catalog.delete(category.name)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def kept() -> Iterator[Kept]:
    kept = Kept()
    yield kept
    kept.close()


@pytest.fixture
def filled(filled_data: Path, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line on the shared, filled data folder, in a working directory without ``.env``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vitrine.services.runtime.open_runtime", kept.open_runtime)
    return runner(filled_data)


@pytest.fixture(scope="session")
def empty_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.fixture
def vitrine(empty_data: Path, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The command line on a data folder without categories, in a working directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vitrine.services.runtime.open_runtime", kept.open_runtime)
    run = runner(empty_data)
    yield run
    monkeypatch.undo()  # what a test broke on purpose must not be in the way of cleaning up
    kept.clear(empty_data)


Fill = Callable[[Runtime], object]


@pytest.fixture
def filled_by(
    empty_data: Path, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Fill], Path]]:
    """The data folder that a test fills by a function of the runtime; it is empty again after the test."""
    monkeypatch.chdir(tmp_path)

    def fill_data(fill: Fill) -> Path:
        with kept.open_runtime(Settings(data=empty_data, encoder="colour", _env_file=None)) as runtime:  # type: ignore[call-arg,unused-ignore]
            fill(runtime)
        monkeypatch.setattr("vitrine.services.runtime.open_runtime", kept.open_runtime)
        return empty_data

    yield fill_data
    monkeypatch.undo()
    kept.clear(empty_data)
