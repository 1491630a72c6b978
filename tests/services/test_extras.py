"""What is said where a library of an extra is missing, and that the first install has none of them."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.indexer.enrich.clusters.blobs import blobs
from vitrine.indexer.enrich.clusters.flat.flat import fit
from vitrine.indexer.sources.tables import open_table
from vitrine.services.errors import MissingExtra
from vitrine.services.extras import PACKAGES, from_extra, load_extra, require_extra

ROOT = Path(__file__).parents[2]
PARTS = ("vitrine", "services", "indexer", "training", "api", "cli", "data")


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(MissingExtra, match=r"scikit-learn.*pip install 'vitrine\[cluster\]'") as raised:
        fit(blobs()[0], "dbscan", {"eps": 0.1})
    assert raised.value.code == "missing_extra"
    assert raised.value.details == {"extra": "cluster", "package": "scikit-learn"}


def test_what_needs_no_extra_runs_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    kmeans, agglomerative = (fit(blobs()[0], name, {"clusters": 3}) for name in ("kmeans", "agglomerative"))
    assert kmeans.max() == agglomerative.max() == 2


def test_other_missing_modules_are_faults_of_the_program() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load_extra("no_such_module", "train")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), from_extra("train"):
        import no_such_module  # noqa: F401


def test_a_parquet_file_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    table = tmp_path / "table.parquet"
    table.write_bytes(b"PAR1")
    with pytest.raises(MissingExtra, match=r"pyarrow.*pip install 'vitrine\[parquet\]'"):
        open_table(table)


def test_a_library_is_asked_for_before_work_that_needs_it_at_its_end() -> None:
    with pytest.raises(MissingExtra, match=r"nowhere.*pip install 'vitrine\[train\]'"):
        require_extra("nowhere", "train")
    require_extra("json", "train")


def test_a_module_that_trains_names_the_extra_where_it_imports_a_library() -> None:
    """An import at the top, without ``from_extra``, would end a command with "No module named 'torch'"."""
    trains = [path for part in ("indexer", "training", "api", "cli") for path in (ROOT / part).rglob("*.py")]
    assert len(trains) > 100
    for path in trains:
        body = ast.parse(path.read_text()).body
        named = [alias.name for node in body if isinstance(node, ast.Import) for alias in node.names]
        named += [node.module or "" for node in body if isinstance(node, ast.ImportFrom)]
        bare = {name.partition(".")[0] for name in named} & PACKAGES.keys()
        assert not bare, f"{path}: {bare} outside of `with from_extra(...)`"


def test_every_library_comes_with_the_extra_that_its_sentence_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {(path, *pair) for path in sources() for pair in imports_from_extras(path.read_text())}
    assert len(asked) > 20
    for path, module, extra in asked:
        assert PACKAGES[module] in brought_by(extra, project["optional-dependencies"]), f"{path}: {module}"


def sources() -> list[Path]:
    return [path for part in PARTS for path in (ROOT / part).rglob("*.py") if path.name != "extras.py"]


def imports_from_extras(source: str) -> set[tuple[str, str]]:
    """(module, extra) of each import that says which extra it needs."""
    found = set(re.findall(r'(?:load|require)_extra\(\s*"(\w+)[\w.]*", "(\w+)"\s*\)', source))
    for extra, block in re.findall(r'from_extra\("(\w+)"\):\n((?: +(?:import|from) .*\n)+)', source):
        found |= {(module, extra) for module in re.findall(r"^ +(?:import|from) (\w+)", block, re.MULTILINE)}
    return found


def brought_by(extra: str, extras: dict[str, list[str]]) -> set[str]:
    """The packages that an extra names, itself or by naming others; and SciPy, which scikit-learn brings."""
    found = {"scipy"} if any(name_of(one) == "scikit-learn" for one in extras[extra]) else set()
    for one in extras[extra]:
        others = re.fullmatch(r"vitrine\[([\w,]+)\]", one)
        found |= {name_of(one)} if others is None else set()
        for other in others[1].split(",") if others else []:
            found |= brought_by(other, extras)
    return found


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0]
