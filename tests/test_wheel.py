"""The wheel: what is in it, and that it works next to a project whose packages have the names of our
folders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import get_args

import pytest

from vitrine.services.extras import PACKAGES, Extra

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("services", "indexer", "training", "api", "cli", "data")
COPIED = ("vitrine", *PARTS, "tests", "benchmarks", "pyproject.toml", "setup.py", "README.md", "LICENSE")
BUILT = ("index.html", "main-ABC.js", "inter-DEF.woff2", "icon.svg")
"""What `make page` leaves behind, in small."""
PROJECT = """\
import sys
from pathlib import Path

from PIL import Image

import data, services
import vitrine

assert (data.MINE, services.MINE) == (1, 2)
assert "site-packages" in vitrine.__file__, vitrine.__file__
with vitrine.open(sys.argv[1], encoder="colour", offline=True, progress=False) as v:
    cards = v.create("cards")
    cards.add([Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")])
    print(*[hit.filename for hit in cards.search(image=Image.new("RGB", (9, 9), "blue"))])
"""
CONSUMER = """\
import vitrine


def first(folder: str) -> vitrine.Hit:
    with vitrine.open(folder, threads=1) as v:
        hits = v["shop"].search(text="a red mug", limit=3)
        reveal_type(hits)
        score: int = hits[0].similarity
        return hits[0]
"""

CONSUMERS_MYPY = """\
[mypy]
follow_imports = skip
[mypy-vitrine.*]
follow_imports = silent
[mypy-numpy.*,PIL.*]
follow_imports_for_stubs = True
"""
"""Vitrine's types alone: those of the packages that it uses take most of the time, and none of them is asked
for."""


def copy_checkout(to: Path) -> Path:
    """The checkout without what building and testing leave in it; links stay links."""
    junk = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache", "built_page")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, symlinks=True, ignore=junk)
        else:
            shutil.copy(ROOT / name, to / name)
    return to


def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python's modules are those of the program alone: PYTHONPATH would bring the checkout back."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VITRINE"))}
    return subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = copy_checkout(tmp_path_factory.mktemp("checkout"))
    (source / "api/built_page").mkdir()
    for name in BUILT:
        (source / "api/built_page" / name).write_text(name)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    built = run(
        *pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        source / "dist",
        source,
        cwd=source,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = (source / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel, and the packages that the tests run with, but not
    those of the extras: what runs here runs after ``pip install vitrine``."""
    home = tmp_path_factory.mktemp("environment")
    assert run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home).returncode == 0
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    options = ("--no-deps", "--no-index", "--no-compile", "--target", site)
    installed = run(sys.executable, "-m", "pip", "install", "--quiet", *options, wheel, cwd=home)
    assert installed.returncode == 0, installed.stderr
    missing = f"import sys; sys.modules.update(dict.fromkeys({sorted(PACKAGES)!r}))"
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n{missing}\n")
    return home / "bin" / "python"


def test_the_wheel_holds_vitrine_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"vitrine"}
    for part in PARTS:
        ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / part).rglob("*.py")}
        assert {f"vitrine/{path}" for path in ours} == {
            name for name in names if name.startswith(f"vitrine/{part}/") and name.endswith(".py")
        }
    assert {"vitrine/py.typed", "vitrine/data/demo-clip/model.safetensors"} <= {*names}
    assert {f"vitrine/api/built_page/{name}" for name in BUILT} <= {*names}
    assert not [name for name in names if "web/" in name or "node_modules" in name]
    assert not [name for name in names if "tests/" in name or "benchmarks/" in name or "demo_weights" in name]
    (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    extras = set(re.findall(r"^Provides-Extra: (.+)$", text, re.MULTILINE))
    assert {*get_args(Extra)} <= extras
    assert "License-Expression: Apache-2.0" in text and "\n# Vitrine" in text
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_it_works_next_to_packages_of_the_same_names(python: Path, tmp_path: Path) -> None:
    """The embedded engine as well, which is a program of its own."""
    for number, name in enumerate(("data", "services"), 1):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"MINE = {number}\n")
    (tmp_path / "main.py").write_text(PROJECT)
    done = run(python, "main.py", tmp_path / "vitrine-data", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "picture-2 picture-1\n"), done.stderr
    listed = run(
        python,
        "-c",
        "from vitrine.cli.main import main; main()",
        "--data",
        "vitrine-data",
        "category",
        "list",
        cwd=tmp_path,
    )
    assert listed.returncode == 0 and "cards\t2\tcolour" in listed.stdout, listed.stderr


def test_types_are_seen_from_outside(python: Path, tmp_path: Path) -> None:
    (tmp_path / "consumer.py").write_text(CONSUMER)
    (tmp_path / "mypy.ini").write_text(CONSUMERS_MYPY)
    cache = ROOT / ".mypy_cache" / "wheel"
    checked = run(
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        python,
        "--cache-dir",
        cache,
        "consumer.py",
        cwd=tmp_path,
    )
    lines = [line for line in checked.stdout.splitlines() if "note" not in line or "Revealed" in line]
    assert lines == [
        'consumer.py:7: note: Revealed type is "vitrine.hits.Hits"',
        'consumer.py:8: error: Incompatible types in assignment (expression has type "float | None", '
        'variable has type "int")  [assignment]',
        "Found 1 error in 1 file (checked 1 source file)",
    ], checked.stdout + checked.stderr


def test_a_checkout_without_links_is_refused(tmp_path: Path) -> None:
    source = copy_checkout(tmp_path)
    for part in PARTS:
        link = source / "vitrine" / part
        link.unlink()
        link.write_text(f"../{part}")  # as Git writes it on Windows
    built = run(sys.executable, "setup.py", "--version", cwd=source)
    assert built.returncode == 1 and "this checkout has no symbolic links" in built.stderr
