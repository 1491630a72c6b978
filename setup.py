"""Refuse to build from a checkout in which the links in vitrine/ are missing; pyproject.toml says all else.

Git on Windows writes a symbolic link as a small text file unless `core.symlinks` is set. A wheel that is
built from such a checkout would be nearly empty.
"""

from pathlib import Path

from setuptools import setup

PARTS = ("services", "indexer", "training", "api", "cli", "data")
HERE = Path(__file__).resolve().parent

missing = [part for part in PARTS if not (HERE / "vitrine" / part / "__init__.py").is_file()]
if missing:
    raise SystemExit(
        f"vitrine/{missing[0]} is not a link to the folder {missing[0]}: this checkout has no symbolic "
        "links. Set `git config core.symlinks true`, check out again, and build from there."
    )
setup()
