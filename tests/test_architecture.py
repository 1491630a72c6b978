"""The shape that design and docs promise, held by walking the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"services", "training", "indexer", "api", "cli", "data"}
MAY_IMPORT = {
    "services": set(),
    "training": {"services"},
    "indexer": {"services"},
    "api": {"services", "indexer"},
    "cli": OURS - {"cli"},
    "data": {"services"},
}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_what_lies_below_them(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        foreign = {name.split(".")[0] for name in imports(path)} & (OURS - {package})
        assert foreign <= MAY_IMPORT[package], (
            f"{path.relative_to(ROOT)} imports {foreign - MAY_IMPORT[package]}"
        )


def test_no_package_unpickles_or_trusts_remote_code() -> None:
    for package in OURS:
        for path in (ROOT / package).rglob("*.py"):
            source = path.read_text()
            assert not {"pickle", "joblib", "dill", "cloudpickle"} & {
                name.split(".")[0] for name in imports(path)
            }, path
            assert "torch.load(" not in source and "trust_remote_code=True" not in source, path


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("vitrine.cli.main", ["torch", "transformers", "qdrant_client", "numpy", "fastapi"]),
        ("vitrine.api.app", ["torch", "transformers", "training"]),
        ("vitrine.services.runtime", ["torch", "transformers", "qdrant_client"]),
        ("vitrine.services.vector_store.edge.process", ["torch", "qdrant_client"]),
    ],
)
def test_light_modules_do_not_load_heavy_ones(module: str, heavy: list[str]) -> None:
    code = f"import sys, {module}; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
