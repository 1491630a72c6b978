"""A process that deletes a category is killed, with its engine or alone; the next deletion completes the
work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.indexer.killed import Program, program
from tests.services.category.test_catalog import SPEC, belongings, fill_stores
from vitrine.services.category.catalog import Catalog
from vitrine.services.errors import NotFound
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.vector_store.edge.store import EdgeVectorStore

CODE = """
import signal
from pathlib import Path
from vitrine.services.category.catalog import Catalog
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.vector_store.edge.store import EdgeVectorStore

class Telling(LocalObjectStore):
    left = 0
    def replace(self, *arguments):
        super().replace(*arguments)
        self.step()
    def delete(self, key):
        super().delete(key)
        self.step()
    def step(self):
        self.left -= 1
        print("step", flush=True)
        if not self.left:
            signal.pause()  # until it is killed

def work(folder, after):
    Telling.left = int(after)
    vectors = EdgeVectorStore(Path(folder) / "vectors", min_free_mb=0)
    vectors.scroll("a", limit=1)  # starts the engine
    print(vectors.engine_pid, flush=True)
    Catalog(Telling(Path(folder) / "objects", min_free_mb=0), vectors).delete("a")
    vectors.close()

serve(work)
"""


@pytest.fixture(scope="module")
def deleting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with program(tmp_path_factory.mktemp("program"), CODE) as made:
        yield made


@pytest.mark.parametrize(("after", "engine"), [(1, True), (3, False), (7, True)])
def test_a_killed_deletion_is_found_and_completed(
    deleting: Program, tmp_path: Path, after: int, engine: bool
) -> None:
    objects = LocalObjectStore(tmp_path / "objects", min_free_mb=0)
    vectors = EdgeVectorStore(tmp_path / "vectors", min_free_mb=0)
    fill_stores(objects, vectors, "a", "ab")
    vectors.close()
    deleting.kill(tmp_path, after, after=after, engine=engine)
    vectors = EdgeVectorStore(tmp_path / "vectors", min_free_mb=0)
    catalog = Catalog(objects, vectors)
    assert [category.name for category in catalog.list()] == ["ab"]
    assert [(left.name, left.state) for left in catalog.remains()] == [("a", "deleting")]
    catalog.delete("a")
    there = [stat.key for stat in objects.list() if not stat.key.startswith("_journal/")]
    assert there == belongings("ab")
    assert vectors.collections() == ["ab"] and catalog.remains() == []
    assert catalog.get("ab").encoders == (SPEC,)
    with pytest.raises(NotFound):
        catalog.delete("a")
    vectors.close()
