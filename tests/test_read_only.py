"""A data folder that is only read: everything that asks works, what changes is refused, and not a byte, name
or time of change below it is touched."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import vitrine
from tests.cli.conftest import Run, runner
from vitrine.api.app import create_app
from vitrine.services.errors import ReadOnly, StoreLocked
from vitrine.services.jobs.jobs import Jobs
from vitrine.services.jobs.table import JobTable
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.read_only import Scratch, is_read_only
from vitrine.services.settings import Settings
from vitrine.services.vector_store.edge.store import EdgeVectorStore

State = dict[str, tuple[int, int, bytes]]


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of this test's own, short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="ro"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a category of three pictures, which no program uses."""
    folder = tmp_path_factory.mktemp("filled")
    pictures = folder / "pictures"
    pictures.mkdir()
    for name, colour in {"red": (220, 30, 30), "blue": (40, 80, 210), "green": (40, 160, 60)}.items():
        Image.new("RGB", (400, 300), colour).save(pictures / f"{name}.png")
    Image.new("RGB", (400, 300), (1, 2, 3)).save(folder / "new.png")
    with vitrine.open(folder / "data", encoder="colour", offline=True, progress=False) as library:
        library.create("shop").add(pictures)
    table = JobTable(folder / "data" / "jobs.sqlite")
    table.add("map-make", {"category": "shop"}, "light", "a test", id="0123456789")
    table.close()
    return folder


@pytest.fixture
def data(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, to be read only; at the end it is as it was."""
    monkeypatch.setenv("VITRINE_READ_ONLY", "1")
    before = state(filled / "data")
    yield filled / "data"
    assert state(filled / "data") == before


@pytest.fixture
def run(data: Path) -> Run:
    return runner(data)


def state(folder: Path) -> State:
    found: State = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = status.st_mtime_ns, status.st_mode, content
    return found


def client(data: Path) -> TestClient:
    settings = Settings(data=data, encoder="colour", offline=True, _env_file=None)
    return TestClient(create_app(settings), base_url="http://127.0.0.1:8000")


def test_commands_that_ask_are_answered(run: Run, data: Path, tmp_path: Path) -> None:
    assert [each["images"] for each in run("category", "list", "--json").json["categories"]] == [3]
    listed = run("images", "list", "-c", "shop", "--json").json["hits"]
    assert len(listed) == 3
    red = next(hit["id"] for hit in listed if hit["payload"]["filename"] == "red.png")
    for asked in (("--id", red), ("--text", "red"), ("--image", data.parent / "pictures" / "red.png")):
        answer = run("search", "-c", "shop", *asked, "--limit", 1, "--json")
        assert answer.code == 0 and len(answer.json["hits"]) == 1, answer.err
    table = tmp_path / "table.csv"
    assert run("export", "table", "-c", "shop", "--to", table).code == 0
    assert len(table.read_text().splitlines()) == 4
    assert run("check", "shop").code == 0
    assert "nothing in it can be changed" in run("doctor").out


def test_commands_that_change_are_refused(run: Run, data: Path) -> None:
    for change in (
        ("category", "create", "other"),
        ("category", "delete", "shop", "--yes"),
        ("duplicates", "find", "-c", "shop"),
        ("jobs", "cancel", "0123456789"),
        ("index", "add", data.parent, "-c", "shop"),
    ):
        answer = run(*change)
        assert answer.code != 0, change
        assert "read_only" in answer.err + answer.out, change


def test_the_api_shows_everything_and_refuses_changes(data: Path) -> None:
    with client(data) as api:
        assert api.get("/readyz").json()["ready"]
        (hit, *_) = api.get("/v1/categories/shop/images").json()["hits"]
        image = f"/v1/categories/shop/images/{hit['id']}"
        assert api.get(f"{image}/file").headers["content-type"] == "image/png"
        assert [api.get(f"{image}/thumbnail?w=160").headers["content-type"] for _ in range(2)] == [
            "image/webp"
        ] * 2
        search = {"positive": [hit["id"]], "limit": 2}
        assert len(api.post("/v1/categories/shop/search", json=search).json()["hits"]) == 2
        assert api.get("/v1/jobs").json()["jobs"][0]["id"] == "0123456789"
        sent = api.post("/v1/pictures", files={"file": (data.parent / "new.png").read_bytes()})
        assert sent.status_code == 201
        assert api.get(sent.json()["urls"]["thumbnail"]).status_code == 200
        asked = {"positive": [f"picture:{sent.json()['picture']}"], "limit": 1}
        assert len(api.post("/v1/categories/shop/search", json=asked).json()["hits"]) == 1
        for answer in (
            api.patch(image, json={"tags": ["new"]}),
            api.delete(image),
            api.post("/v1/categories/shop/images", files={"files": (data.parent / "new.png").read_bytes()}),
            api.post("/v1/jobs", json={"kind": "map-make", "arguments": {"category": "shop"}}),
            api.delete("/v1/categories/shop?confirm=shop"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "read_only"), answer.text
            assert str(data) not in answer.text


def test_a_library_reads(data: Path) -> None:
    with vitrine.open(data, offline=True) as library:
        shop = library["shop"]
        assert len(shop) == 3
        with pytest.raises(ReadOnly):
            library.create("other")


def test_nothing_is_left_of_a_program_nor_of_one_that_was_killed(data: Path, temporary: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from vitrine.services.vector_store.edge.store import EdgeVectorStore\n"
        "store = EdgeVectorStore(pathlib.Path(sys.argv[1]), read_only=True, min_free_mb=0)\n"
        "store.retrieve('shop', [])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(data / "vectors")], check=False)
    (above,) = temporary.glob("vitrine-*/read-only")
    (left,) = above.iterdir()
    store = EdgeVectorStore(data / "vectors", read_only=True, min_free_mb=0)
    assert not left.exists()
    assert len(store.scroll("shop").hits) == 3
    store.close()
    assert not list(above.iterdir())


def test_two_programs_keep_their_folders() -> None:
    one, other = Scratch(), Scratch()
    assert one.path.is_dir() and other.path.is_dir()
    one.remove()
    one.remove()
    assert not one.path.exists() and other.path.is_dir()
    other.remove()


def test_a_folder_that_an_engine_writes_to_is_not_copied(data: Path) -> None:
    lock = os.open(data / "vectors" / "lock", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    store = EdgeVectorStore(data / "vectors", read_only=True, min_free_mb=0)
    try:
        with pytest.raises(StoreLocked):
            store.scroll("shop")
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert len(store.scroll("shop").hits) == 3
    finally:
        store.close()
        os.close(lock)


def test_the_objects_of_a_folder_are_read(data: Path) -> None:
    objects = LocalObjectStore(data / "objects", read_only=True)
    objects.check()
    (key, *_) = [stat.key for stat in objects.list("shop/")]
    assert objects.get(key)
    for change in (
        lambda: objects.put("a/b", b""),
        lambda: objects.put_file("a/b", data / "vitrine.json"),
        lambda: objects.replace("a/b", b"", None),
        lambda: objects.delete(key),
    ):
        with pytest.raises(ReadOnly):
            change()


def test_jobs_are_read_with_what_is_in_the_log_of_their_table(tmp_path: Path) -> None:
    table = JobTable(tmp_path / "jobs.sqlite")
    table.add("map-make", {}, "light", "a test", id="0123456789")  # open, so it is in the log alone
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("jobs.sqlite*"):
        shutil.copy(file, copy)
    table.close()
    before = state(copy)
    jobs = Jobs(Settings(data=copy, read_only=True, _env_file=None))
    assert [job.id for job in jobs.find()] == ["0123456789"]
    for change in (lambda: jobs.cancel("0123456789"), lambda: jobs.start("map-make", {}, who="a test")):
        with pytest.raises(ReadOnly):
            change()
    jobs.close()
    assert state(copy) == before


def test_a_folder_that_may_not_be_written_is_only_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=tmp_path, _env_file=None)
    assert not is_read_only(settings)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # as of a read-only mount
    assert is_read_only(settings)
    servers = {"qdrant_url": "http://127.0.0.1:1", "minio_endpoint": "127.0.0.1:1"}
    assert not is_read_only(settings.changed(**servers))


def test_a_stored_cache_is_found_and_not_written(tmp_path: Path) -> None:
    (tmp_path / "cache" / "deep").mkdir(parents=True)
    (tmp_path / "cache" / "deep" / "proof.json").write_text(json.dumps(1))
    scratch = Scratch()
    found = scratch.mirror(tmp_path / "cache", "cache")
    assert json.loads((found / "deep" / "proof.json").read_text()) == 1
    (found / "deep" / "new.json").write_text("2")
    scratch.remove()
    assert [path.name for path in (tmp_path / "cache" / "deep").iterdir()] == ["proof.json"]
