from __future__ import annotations

from pathlib import Path

import pytest

from vitrine.services.object_store.local import LocalObjectStore


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "objects", min_free_mb=0)
