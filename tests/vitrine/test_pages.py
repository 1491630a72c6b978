"""The pages that show Python, run on the demo's catalogue: docs/python.md, the README and the notebook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import vitrine
from tests.vitrine.notebook import NOTEBOOK, pictures, run_notebook, stored_outputs, texts
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
    pytest.importorskip("torch")  # the page trains an encoder
    assert run_page((ROOT / "docs" / "python.md").read_text(), {}) >= 12


def test_the_section_of_the_readme() -> None:
    """It goes on from the category `toys` that the sections before it make."""
    text = (ROOT / "README.md").read_text()
    section = text[text.index("### From Python") :]
    with vitrine.open("vitrine-data") as v:
        if "toys" not in v:  # this test alone
            v.create("toys", encoder="demo").add("demo-output/catalogue/manifest.csv")
    assert run_page(section[: section.index("\n### ", 1)], {}) == 1


def test_the_notebook_shows_what_its_cells_give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found, stored = run_notebook(), stored_outputs()
    for number, (given, shown) in enumerate(zip(found, stored, strict=True), 1):
        assert texts(given) == texts(shown), (
            f"cell {number}: write it anew by `python -m tests.vitrine.notebook`"
        )
        assert pictures(given) == pictures(shown), f"cell {number}"
    assert sum(map(pictures, stored)) >= 20 and NOTEBOOK.stat().st_size < 500_000
