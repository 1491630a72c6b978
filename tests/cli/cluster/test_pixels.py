"""``vitrine cluster pixels``, as a command on its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Answer, Fill, runner
from tests.indexer.enrich.duplicates.scenes import scene
from tests.indexer.pictures import file_of, write
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.services.runtime import Runtime

NAME = "pixelled"


def run(data: Path, *arguments: object, input: str | None = None) -> Answer:
    return runner(data)("cluster", *arguments, input=input)


@pytest.fixture
def data(filled_by: Callable[[Fill], Path], tmp_path: Path) -> Path:
    """A category of twelve scenes, three of them twice, on the engine."""
    files = {f"{n}.png": file_of(scene(n)) for n in range(12)}
    files |= {f"{n}.jpg": file_of(scene(n), "JPEG") for n in range(3)}

    def fill(runtime: Runtime) -> None:
        runtime.catalog.create(NAME, [runtime.encoders.get("colour").spec])
        index_images(open_source(str(write(tmp_path / "shop", files))), runtime, NAME)

    return filled_by(fill)


def test_groups_are_found_shown_and_sheeted(data: Path, tmp_path: Path) -> None:
    made = run(data, "pixels", "px", "-c", NAME, "--measure", "phash", "--json")
    assert made.code == 0, made.err
    assert {
        key: made.json[key]
        for key in ("status", "method", "images", "groups", "grouped", "unreadable", "in_service")
    } == {
        "status": "complete",
        "method": "pixels-phash",
        "images": 15,
        "groups": 3,
        "grouped": 6,
        "unreadable": 0,
        "in_service": True,
    }
    assert made.err == ""  # what is quick needs no lines
    shown = run(data, "show", "px", "-c", NAME, "--to", tmp_path / "px.png", "--json").json
    assert [(child["id"], child["count"]) for child in shown["children"]] == [
        ("root-0", 2), ("root-1", 2), ("root-2", 2), ("root-noise", 9),
    ]  # fmt: skip
    assert [(child["radius"] is None, child["name"]) for child in shown["children"]][2:] == [
        (False, ""),
        (True, ""),
    ]
    assert Image.open(tmp_path / "px.png").width > 200
    told = run(data, "pixels", "px", "-c", NAME, "--propose", "embedding", "--similarity", "0.5")
    assert told.code == 0 and "3 groups of 6 images by pixels-ssim; 9 alone" in told.out


def test_a_time_budget_ends_it_with_its_own_code(data: Path) -> None:
    command = ("pixels", "slow", "-c", NAME, "--batch-size", "4", "--time-budget", "0.000001")
    first = run(data, *command)
    assert first.code == 4 and "Out of time" in first.out and "goes on from here" in first.out
    assert run(data, "show", "slow", "-c", NAME).code == 1
    codes = [run(data, *command, "--json").code for _ in range(30)]
    assert 0 in codes and set(codes[: codes.index(0)]) == {4}
    assert len(run(data, "show", "slow", "-c", NAME, "--json").json["children"]) == 4


def test_errors_say_what_to_do(data: Path) -> None:
    for arguments, words in (
        (("--measure", "magic"), "must be 'ssim', 'minhash'"),
        (("--stage", "half"), "stage must be 'batch', 'merge' or 'all'"),
        (("--stage", "merge"), "no cluster run"),
        (("--propose", "hash", "--stage", "batch"), "leave stage out"),
        (("--scale", "3"), "16..1024"),
    ):
        failed = run(data, "pixels", "none", "-c", NAME, *arguments)
        assert failed.code == 1 and words in failed.err, failed.err
