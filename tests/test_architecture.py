"""The imports are those that docs/architecture.md promises: floors, and the rooms of each floor."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text()
PICKLES = {"pickle", "joblib", "dill", "cloudpickle"}


def table(header: str) -> dict[str, list[str]]:
    """The last cell of each row, split at commas, by the first cell."""
    rows = PAGE[PAGE.index(header) :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {first: re.findall(r"[\w.]+", last) for first, *_, last in cells}


FLOORS = table("| floor | what it does |")
ROOMS = table("| floor | rooms, lowest first |")


def files(floor: str) -> list[Path]:
    found = (ROOT / floor).glob("*.py") if floor == "vitrine" else (ROOT / floor).rglob("*.py")
    return sorted(found)


@cache
def imports(path: Path) -> set[str]:
    """Names of modules, as dotted names; of ``from a import b`` both ``a`` and ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def floor_of(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] != "vitrine":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else "vitrine"


def room_of(name: str, floor: str) -> str | None:
    """The room that the rest of a dotted name begins with."""
    rest = name.removeprefix(f"vitrine.{floor}.")
    return next((room for room in ROOMS[floor] if f"{rest}.".startswith(f"{room}.")), None)


@pytest.mark.parametrize("floor", sorted(FLOORS))
def test_floors_import_only_what_lies_below_them(floor: str) -> None:
    assert files(floor)
    for path in files(floor):
        met = {found for name in imports(path) if name != "vitrine" and (found := floor_of(name))}
        assert met <= {floor, *FLOORS[floor]}, (
            f"{path.relative_to(ROOT)} imports {met - {floor, *FLOORS[floor]}}"
        )


@pytest.mark.parametrize("floor", sorted(ROOMS))
def test_rooms_import_only_rooms_below_them(floor: str) -> None:
    order = {room: number for number, room in enumerate(ROOMS[floor])}
    seen = set()
    for path in files(floor):
        if path.name == "__init__.py" and path.parent.name in (floor, "enrich"):
            continue
        own = room_of(".".join(("vitrine", *path.relative_to(ROOT).with_suffix("").parts)), floor)
        assert own, f"{path.relative_to(ROOT)} is in no room of the table"
        seen.add(own)
        for name in imports(path):
            other = room_of(name, floor) if floor_of(name) == floor else None
            assert other is None or order[other] <= order[own], f"{path.relative_to(ROOT)} imports {name}"
    assert seen == set(order), "rooms of the table that are not there"


def test_no_file_imports_a_part_by_its_bare_name() -> None:
    parts = set(FLOORS) - {"vitrine"}
    for folder in (*FLOORS, "tests", "benchmarks"):
        for path in files(folder):
            assert not parts & {name.split(".")[0] for name in imports(path)}, path


def test_nothing_unpickles_or_trusts_remote_code() -> None:
    for floor in FLOORS:
        for path in files(floor):
            source = path.read_text()
            assert not PICKLES & {name.split(".")[0] for name in imports(path)}, path
            assert "torch.load(" not in source and "trust_remote_code=True" not in source, path


def test_no_folder_is_a_hall() -> None:
    for floor in FLOORS:
        for folder in {path.parent for path in files(floor)}:
            rooms = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
            assert len(rooms) <= 16, folder


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        (
            "vitrine",
            ["torch", "transformers", "qdrant_client", "numpy", "PIL", "pydantic", "vitrine.services"],
        ),
        ("vitrine.cli.main", ["torch", "transformers", "qdrant_client", "numpy", "fastapi"]),
        ("vitrine.api.app", ["torch", "transformers", "vitrine.training"]),
        ("vitrine.services.runtime", ["torch", "transformers", "qdrant_client"]),
        ("vitrine.services.vector_store.edge.process", ["torch", "qdrant_client"]),
    ],
)
def test_light_modules_do_not_load_heavy_ones(module: str, heavy: list[str]) -> None:
    code = f"import sys, {module}; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("part", sorted(set(FLOORS) - {"vitrine"}))
def test_a_part_refuses_its_bare_name(part: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import {part}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and f"Import vitrine.{part}" in done.stderr
