"""`vitrine.open`, and what it gives."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vitrine
from vitrine.services import errors


def test_categories_are_found_by_name(library: vitrine.Library, shop: vitrine.Category) -> None:
    assert "shop" in library and "shoes" not in library and "?" not in library
    assert library["shop"].name == "shop" and [category.name for category in library.categories()] == ["shop"]
    assert list(library) == ["shop"] and shop.description == "Coloured cards" and shop.encoders == ["colour"]
    assert "shop" in repr(library) and repr(shop) == "<vitrine.Category shop: 12 images, encoders colour>"


def test_a_category_is_created_and_deleted(library: vitrine.Library) -> None:
    assert library.create("made", encoder=["colour"]).encoders == ["colour"]
    with pytest.raises(vitrine.AlreadyExists):
        library.create("made")
    library.delete("made")
    with pytest.raises(vitrine.NotFound, match="made"):
        library["made"]


def test_a_folder_may_be_open_twice(tmp_path: Path) -> None:
    with (
        vitrine.open(tmp_path / "data", encoder="colour") as library,
        vitrine.open(tmp_path / "data") as other,
    ):
        library.create("shop")
        assert [category.name for category in other.categories()] == ["shop"]


def test_a_library_is_not_open_after_it_is_closed(tmp_path: Path) -> None:
    library = vitrine.open(tmp_path / "data", encoder="colour")
    library.close()
    library.close()
    with pytest.raises(vitrine.BadRequest, match="closed"):
        library.categories()
    assert repr(library) == "<vitrine.Library, closed>"
    with vitrine.open(tmp_path / "data") as again:
        assert again.categories() == []


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(vitrine.BadRequest, match="VITRINE_THREADS must be at least 0"):
        vitrine.open(tmp_path, threads=-1)


def test_the_environment_says_what_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_DATA", str(tmp_path / "named"))
    monkeypatch.setenv("VITRINE_ENCODER", "vit")
    with vitrine.open(encoder="colour") as library:
        assert library.settings.data == tmp_path / "named" and library.settings.encoder == "colour"


def test_every_name_is_there_and_no_other() -> None:
    for name in vitrine.__all__:  # type: ignore[attr-defined]
        assert getattr(vitrine, name) is not None, name
    assert issubclass(vitrine.NotFound, vitrine.VitrineError) and "open" in dir(vitrine)
    with pytest.raises(AttributeError, match="opne"):
        _ = vitrine.opne  # type: ignore[attr-defined]


def test_every_error_is_there() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type)]
    raised = {one.__name__ for one in classes if issubclass(one, vitrine.VitrineError)}
    assert raised <= set(vitrine.__all__)  # type: ignore[attr-defined]


def test_type_checkers_see_the_same_names() -> None:
    assert vitrine.__file__
    tree = ast.parse(Path(vitrine.__file__).read_text())
    (seen,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in seen.body if isinstance(node, ast.ImportFrom)]
    names = {alias.asname: node.module for node in imports for alias in node.names}
    assert names == vitrine._NAMES  # type: ignore[attr-defined]


def test_importing_it_is_quick() -> None:
    """The best of five, less what Python itself takes; a busy machine is slow, never quick."""

    def seconds(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - started

    assert min(seconds("import vitrine") - seconds("pass") for _ in range(5)) < 0.15
