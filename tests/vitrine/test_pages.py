"""The pages that show Python: docs/python.md and the README's section, run on the demo's catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import vitrine
from tests.vitrine.pages import run_page
from vitrine.data.catalogue import draw_catalogue

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo has drawn its catalogue."""
    folder = tmp_path_factory.mktemp("pages")
    draw_catalogue(folder / "demo-output" / "catalogue", count=120)
    return folder


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    yield


def test_the_page_on_python() -> None:
    assert run_page((ROOT / "docs" / "python.md").read_text(), {}) >= 12


def test_the_section_of_the_readme() -> None:
    """It goes on from the category `toys` that the sections before it make."""
    text = (ROOT / "README.md").read_text()
    section = text[text.index("### From Python") :]
    with vitrine.open("vitrine-data") as v:
        if "toys" not in v:  # this test alone
            v.create("toys", encoder="demo").add("demo-output/catalogue/manifest.csv")
    assert run_page(section[: section.index("\n### ", 1)], {}) == 1
