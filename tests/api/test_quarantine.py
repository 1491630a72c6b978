"""One damaged category is named, and all others are served, whatever of it is damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import BASE, COLOURS, picture, settings_in, upload
from vitrine.api.app import create_app
from vitrine.services.runtime import open_runtime

NAMES = ("first", "second", "third")
GARBAGE = b"\xff\x00{garbage"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with three categories of a few pictures each, closed."""
    data = tmp_path_factory.mktemp("filled") / "data"
    with serving(data) as client:
        for name in NAMES:
            client.post("/v1/categories", json={"name": name})
            files = [(f"{colour}.png", picture(rgb)) for colour, rgb in COLOURS.items()]
            assert upload(client, name, *files).status_code == 201
    return data


class serving:
    """A client on the embedded stores of a data folder."""

    def __init__(self, data: Path) -> None:
        self._runtime = open_runtime(settings_in(data))

    def __enter__(self) -> TestClient:
        runtime = self._runtime.__enter__()
        app = create_app(runtime.settings, runtime=runtime)
        self._client = TestClient(app, base_url=BASE, raise_server_exceptions=False)
        return self._client.__enter__()

    def __exit__(self, *_: object) -> None:
        self._client.__exit__(None, None, None)
        self._runtime.__exit__(None, None, None)


@pytest.fixture
def data(filled: Path, tmp_path: Path) -> Iterator[Path]:
    yield shutil.copytree(filled, tmp_path / "data")


def _make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _lose_log(data: Path) -> None:
    for wal in (data / "vectors/collections/first").glob("gen-*/wal"):
        shutil.rmtree(wal)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty schema": lambda data: (data / "vectors/collections/first/collection.json").write_bytes(b""),
    "schema of other types": lambda data: (data / "vectors/collections/first/collection.json").write_bytes(
        b'{"name": "first", "vectors": [["colour", 64]], "indexes": [1]}'
    ),
    "unreadable schema": lambda data: _make_folder(data / "vectors/collections/first/collection.json"),
    "garbled pointer": lambda data: (data / "vectors/collections/first/current").write_bytes(GARBAGE),
    "too few points": lambda data: (data / "vectors/collections/first/points.json").write_bytes(b"500"),
    "log gone": _lose_log,
    "garbled manifest": lambda data: (data / "objects/_categories/first.json").write_bytes(GARBAGE),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_category_is_named_and_the_others_are_served(
    data: Path, damage: Callable[[Path], object]
) -> None:
    damage(data)
    with serving(data) as client:
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert (ready.json()["damaged"], ready.json()["damaged_categories"]) == (1, ["first"])
        listed = client.get("/v1/categories").json()
        assert [one["name"] for one in listed["categories"]] == ["second", "third"]
        assert [(one["name"], one["state"]) for one in listed["others"]] == [("first", "damaged")]
        refused = client.get("/v1/categories/first/images")
        assert (refused.status_code, refused.json()["code"]) == (503, "store_damaged")
        vector = [1.0] + [0.0] * 63
        assert len(client.post("/v1/categories/second/search", json={"vector": vector}).json()["hits"]) == 5
        several = client.post("/v1/search", json={"vector": vector}).json()
        assert {hit["category"] for hit in several["hits"]} == {"second", "third"}
        assert [(one["category"], one["code"]) for one in several["left_out"]] == [("first", "store_damaged")]


def test_a_damaged_note_of_the_format_keeps_nobody_out(data: Path) -> None:
    (data / "vitrine.json").write_bytes(b"")
    with serving(data) as client:
        assert len(client.get("/v1/categories").json()["categories"]) == 3
