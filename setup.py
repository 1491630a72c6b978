"""Refuses to build from a checkout in which the links below vitrine/ are missing. All else stands in
pyproject.toml.

Git on Windows writes symbolic links as small text files unless it is told otherwise; a wheel built from such
a checkout would be nearly empty.
"""

from pathlib import Path

from setuptools import setup

PARTS = ("services", "indexer", "training", "api", "cli", "data")
HERE = Path(__file__).resolve().parent

missing = [part for part in PARTS if not (HERE / "vitrine" / part / "__init__.py").is_file()]
if missing:
    raise SystemExit(
        f"vitrine/{missing[0]} is no link to the folder {missing[0]}: this checkout has no symbolic links. "
        "Set `git config core.symlinks true`, check out again, and build from there."
    )
setup()
