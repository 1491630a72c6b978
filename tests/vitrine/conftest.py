"""An open library with a small shop: twelve pictures of three colours, by the built-in colour encoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import vitrine
from tests.cli.conftest import draw


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``<colour>/<size>.png``."""
    return draw(tmp_path_factory.mktemp("pictures") / "shop")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[vitrine.Library]:
    data = tmp_path_factory.mktemp("library") / "vitrine-data"
    with vitrine.open(data, encoder="colour", offline=True, progress=False) as library:
        yield library


@pytest.fixture(scope="session")
def shop(library: vitrine.Library, pictures: Path) -> vitrine.Category:
    """Tests that only read share it."""
    shop = library.create("shop", description="Coloured cards")
    report = shop.add(pictures, tags_from_folders=1, class_from="folder")
    assert report.added == 12
    return shop


@pytest.fixture
def empty(library: vitrine.Library) -> Iterator[vitrine.Category]:
    """A category of the test's own."""
    yield library.create("own")
    library.delete("own")
