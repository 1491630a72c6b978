"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import vitrine

PACKAGE = Path(vitrine.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(("vitrine", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for part in PACKAGE.iterdir()
    for path in (part.rglob("*.py") if part.is_dir() else [part])
    if path.suffix == ".py" and ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_give_what_they_say(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted and not found.failed
