from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.indexer.pictures import make_runtime
from vitrine.services.runtime import Runtime


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    made = make_runtime(tmp_path / "data")
    yield made
    made.encoders.close()
